"""Reads any recorded exchange with the Graph API the way our client would: which parser takes it, what it finds.

For checking the parsers against recordings, those nobody has seen yet included. Decides by the shape of the request,
never by a file or an account; makes no call.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from httpx import Headers

from ig_pipeline.bounded_answers import Received
from ig_pipeline.graph_api.accounts import read_page, read_profile_fields
from ig_pipeline.graph_api.answers import Json, read_answer, rows_of
from ig_pipeline.graph_api.errors import GraphError, MalformedAnswerError
from ig_pipeline.graph_api.insight_values import (
    read_breakdown,
    read_media_insights,
    read_parts,
    read_series,
    read_totals,
)
from ig_pipeline.graph_api.media_nodes import read_node
from ig_pipeline.graph_api.pages import next_cursor
from ig_pipeline.graph_api.token_answers import read_code_grant, read_token, read_token_facts

Parser = Callable[[Json], dict[str, Any]]

_HOSTS = frozenset({"graph.facebook.com", "graph.instagram.com", "api.instagram.com"})
_VERSION = re.compile(r"v\d+\.\d+")
_PROFILE_ONLY = frozenset({"followers_count", "follows_count", "media_count", "biography", "account_type"})


@dataclass(frozen=True)
class Reading:
    """What our client makes of an exchange.

    `parser`: which one took it, "error" for a refusal, "none" when our client never asks so. `values`: what it found,
    by a readable path. `error`: the error our callers would get. `problem`: set when an answer could not be read.
    """

    parser: str
    values: Mapping[str, Any] = field(default_factory=dict)
    error: GraphError | None = None
    problem: str | None = None

    @property
    def summary(self) -> str:
        """One line for a table."""
        if self.problem:
            return f"unreadable: {self.problem}"
        if self.error is not None:
            return f"{type(self.error).__name__}: {self.error}"
        return "not asked by our client" if self.parser == "none" else f"{self.parser}: {len(self.values)} values"


def read_exchange(
    url: str, status: int, headers: Mapping[str, str], body: str | bytes, *, now: datetime, method: str = "GET"
) -> Reading:
    """The reading of one exchange: `url` as recorded, `body` as received, `now` (UTC) when it was."""
    asked = _asked(url, method)
    content = body.encode() if isinstance(body, str) else body
    try:
        answer = read_answer(Received(status, Headers(headers), content), now=now)
    except MalformedAnswerError as error:
        if status != 200:
            return Reading("error", error=error)
        # Batches, multi-reads and files answer in shapes of their own.
        return Reading("none") if asked.by_others else Reading("error", error=error, problem=str(error))
    except GraphError as error:
        return Reading("error", error=error)
    name, parser = _parser_for(asked, answer, now)
    try:
        return Reading(name, values=parser(answer))
    except GraphError as error:
        return Reading(name, error=error, problem=str(error))


@dataclass(frozen=True)
class _Asked:
    """A request taken apart. `by_others`: our client never asks in this way at all."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    by_others: bool


def _asked(url: str, method: str) -> _Asked:
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    path = tuple(part for part in parts.path.split("/") if part)
    if path and _VERSION.fullmatch(path[0]):
        path = path[1:]
    foreign = parts.hostname not in _HOSTS and not _is_local(parts.hostname)
    return _Asked(method, path, query, foreign or not path or "ids" in query or path[0].startswith("act_"))


def _is_local(host: str | None) -> bool:
    return host in {"localhost", "127.0.0.1", "::1"}


def _parser_for(asked: _Asked, answer: Json, now: datetime) -> tuple[str, Parser]:
    if asked.by_others:
        return "none", _nothing
    by_code = asked.method == "POST" or "code" in asked.query
    by_edge: dict[str, tuple[str, Parser]] = {
        "refresh_access_token": ("token", lambda found: vars(read_token(found, now=now))),
        "access_token": ("token", lambda found: _granted(found, now, by_code=by_code)),
        "debug_token": ("debug_token", lambda found: vars(read_token_facts(found))),
        "insights": ("insights", _insights) if _has_metrics(answer) else ("none", _nothing),
        "accounts": ("accounts", _accounts),
        "media": ("media", _media),
        "stories": ("media", _media),
        "children": ("media", _media),
    }
    last = asked.path[-1]
    if last in by_edge:
        return by_edge[last]
    if len(asked.path) == 1 and ("id" in answer or "user_id" in answer):
        return _node_parser(answer)
    return "none", _nothing


def _nothing(_: Json) -> dict[str, Any]:
    return {}


def _has_metrics(answer: Json) -> bool:
    """Insights of advertisements share the edge's name but have rows without metrics."""
    rows = answer.get("data")
    return not isinstance(rows, list) or not rows or any(isinstance(row, dict) and "name" in row for row in rows)


def _node_parser(answer: Json) -> tuple[str, Parser]:
    if "instagram_business_account" in answer:
        return "accounts", lambda found: {str(found.get("id")): _linked(found)}
    if not str(answer.get("user_id", answer.get("id"))).isdecimal():
        return "none", _nothing  # a Page's post, a comment of it: objects of other products
    if _PROFILE_ONLY & answer.keys() or "media_type" not in answer:
        return "profile", lambda found: {
            k: v for k, v in vars(read_profile_fields(found)).items() if v not in (None, "")
        }
    return "media", lambda found: _node_values("", found)


def _granted(answer: Json, now: datetime, *, by_code: bool) -> dict[str, Any]:
    return vars(read_code_grant(answer, now=now) if by_code else read_token(answer, now=now))


def _insights(answer: Json) -> dict[str, Any]:
    """By what each row is: buckets with an end, a total, a total by breakdown, or a post's lifetime value."""
    values: dict[str, Any] = {}
    rows = rows_of(answer)
    timed = [row for row in rows if _has_buckets(row.get("values"))]
    for metric, points in read_series({"data": timed}).items():
        values.update({f"{metric}/{day}": point.value for day, point in points.items()})
    for metric, days in read_parts({"data": timed}).items():
        values.update({f"{metric}/{day}": parts for day, parts in days.items() if parts})
    untimed = [row for row in rows if row not in timed]
    values.update(read_media_insights({"data": untimed}))
    values.update(read_totals({"data": untimed}))
    for row in untimed:
        metric = str(row.get("name"))
        for names, people in (read_breakdown({"data": [row]}, metric) or {}).items():
            values[f"{metric}/{', '.join(names)}"] = people
    return values


def _has_buckets(values: object) -> bool:
    return isinstance(values, list) and any(isinstance(bucket, dict) and "end_time" in bucket for bucket in values)


def _accounts(answer: Json) -> dict[str, Any]:
    next_cursor(answer)
    return {str(row.get("id")): _linked(row) for row in rows_of(answer)}


def _linked(page: Json) -> list[Any]:
    """The Page's Instagram account; its bare id where nothing more was asked for."""
    node = page.get("instagram_business_account")
    return [node.get("id")] if isinstance(node, Mapping) and "username" not in node else [*read_page(page)]


def _media(answer: Json) -> dict[str, Any]:
    next_cursor(answer)
    values: dict[str, Any] = {}
    for row in rows_of(answer):
        values.update(_node_values(f"{row.get('id')}/", row))
    return values


def _node_values(prefix: str, row: Json) -> dict[str, Any]:
    node = read_node(row)
    return {f"{prefix}{name}": value for name, value in node if name in row and value is not None}


def recorded_exchanges(cassette: str) -> list[tuple[str, str, int, dict[str, str], str]]:
    """Method, URL, status, headers and body of every interaction of a VCR cassette in JSON."""
    return [
        (
            item["request"]["method"],
            item["request"]["uri"],
            item["response"]["status"]["code"],
            {name: values[0] for name, values in item["response"]["headers"].items() if values},
            _body(item["response"]["body"]),
        )
        for item in json.loads(cassette)["interactions"]
    ]


def _body(body: object) -> str:
    return str(body.get("string", "")) if isinstance(body, Mapping) else str(body or "")
