"""The batch API: up to fifty calls in one request, each counted, each with an answer of its own (facts §4)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.refusals import RefusalError
from ig_pipeline.simulator.requests import Answer, Call
from ig_pipeline.simulator.versions import split_version

MOST = 50


def run_batch(call: Call, answer: Callable[[Call], Answer]) -> list[dict[str, Any] | None]:
    """Each part's `{"code", "headers", "body"}`, in order; None for one that timed out. Raises RefusalError."""
    try:
        parts = json.loads(call.params["batch"])
    except ValueError:
        parts = None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise RefusalError("Invalid parameter: batch must be a JSON array", code=100)
    if len(parts) > MOST:
        raise RefusalError(f"Too many requests in batch message. Maximum batch size is {MOST}", code=100)
    with_headers = call.params.get("include_headers", "true").lower() not in {"false", "0"}
    return [_shown(answer(_part(call, part)), with_headers=with_headers) for part in parts]


def _part(call: Call, part: Mapping[str, Any]) -> Call:
    url = urlsplit(str(part.get("relative_url", "")))
    if not part.get("relative_url") and "method" not in part:
        raise refusals.parameter_missing("relative_url")
    _, path = split_version(url.path.strip("/"))
    params = {**dict(parse_qsl(url.query)), **dict(parse_qsl(str(part.get("body", ""))))}
    token = params.pop("access_token", None) or call.token
    return replace(call, method=str(part.get("method", "GET")).upper(), path=path, params=params, token=token)


def _shown(answer: Answer, *, with_headers: bool) -> dict[str, Any] | None:
    if answer.delivery != "whole":
        return None
    shown: dict[str, Any] = {"code": answer.status, "body": answer.encoded().decode()}
    if with_headers:
        headers = {**answer.headers, "Content-Type": answer.content_type}
        shown["headers"] = [{"name": name, "value": value} for name, value in headers.items()]
    return shown
