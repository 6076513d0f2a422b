"""Reads a `Call` from an HTTP request: any version or none, query and form together, the token wherever it travels."""

import json
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qs

from starlette.requests import Request

from ig_pipeline.simulator.requests import Call
from ig_pipeline.simulator.simulation import Simulation
from ig_pipeline.simulator.versions import served_version, split_version


async def read_call(request: Request, simulation: Simulation) -> Call:
    """The call in a request. A parameter given several times counts as a list."""
    params = _joined(parse_qs(request.url.query, keep_blank_values=True)) | _form(
        request.headers.get("content-type", ""), await request.body()
    )
    asked, path = split_version(request.url.path.strip("/"))
    token = params.pop("access_token", None) or _bearer(request)
    now = simulation.clock()
    return Call(
        method=request.method,
        path=path,
        params=params,
        version=served_version(asked, now.date()),
        base_url=str(request.base_url).rstrip("/"),
        now=now,
        token=token,
        host=request.url.hostname or "",
    )


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """Parameters of a body: urlencoded, multipart (as curl -F sends) or JSON. Nothing for a body of another kind."""
    if not body:
        return {}
    if content_type.startswith("application/json"):
        return _json_form(body)
    if content_type.startswith("multipart/form-data"):
        return _multipart_form(content_type, body)
    return _joined(parse_qs(body.decode(errors="replace"), keep_blank_values=True))


def _json_form(body: bytes) -> dict[str, str]:
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    pairs = given.items() if isinstance(given, dict) else ()
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in pairs}


def _multipart_form(content_type: str, body: bytes) -> dict[str, str]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    values: dict[str, list[str]] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            values.setdefault(name, []).append(payload.decode(errors="replace"))
    return _joined(values)


def _joined(values: dict[str, list[str]]) -> dict[str, str]:
    return {name: ",".join(given) for name, given in values.items()}


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() in {"bearer", "oauth"} else None
