"""Reads cassettes of recorded HTTP exchanges, in VCR's JSON or YAML. Nothing is judged here."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from ig_pipeline.simulator.requests import is_version


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer. `path` is without version and outer slashes."""

    number: int
    method: str
    url: str
    host: str
    version: str | None
    path: str
    params: dict[str, str]
    status: int
    headers: dict[str, str]
    text: str

    @property
    def answer(self) -> Any:
        """The answer's JSON; None when it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    def parts(self) -> list["Exchange"]:
        """Itself, or the exchanges a multi-read (`ids=`) or a batch is made of."""
        if "ids" in self.params:
            answers = self.answer if isinstance(self.answer, dict) else {}
            rest = {name: value for name, value in self.params.items() if name != "ids"}
            return [
                replace(
                    self,
                    path=f"{object_id}/{self.path}".rstrip("/"),
                    params=rest,
                    text=json.dumps(answers.get(object_id, {})) if self.status == 200 else self.text,
                )
                for object_id in self.params["ids"].split(",")
            ]
        if "batch" in self.params:
            return list(self._batched())
        return [self]

    def _batched(self) -> Iterator["Exchange"]:
        answers = self.answer if isinstance(self.answer, list) else []
        for part, answer in zip(json.loads(self.params["batch"]), answers, strict=False):
            url = urlsplit(str(part.get("relative_url", "")))
            first, _, rest = url.path.strip("/").partition("/")
            yield replace(
                self,
                method=str(part.get("method", "GET")),
                path=rest if is_version(first) else url.path.strip("/"),
                params={name: values[-1] for name, values in parse_qs(url.query).items()},
                status=int((answer or {}).get("code", 0)),
                text=str((answer or {}).get("body", "")),
            )

    @property
    def error(self) -> Mapping[str, Any]:
        """The error object; empty for an answer that is none."""
        answer = self.answer
        error = answer.get("error") if isinstance(answer, dict) else None
        return error if isinstance(error, dict) else {}

    @property
    def segments(self) -> list[str]:
        """The path's parts."""
        return [part for part in self.path.split("/") if part]

    @property
    def edge(self) -> str:
        """The part behind the object's id; empty for a read of the object itself."""
        return self.segments[1] if len(self.segments) > 1 else ""


@dataclass(frozen=True)
class Recording:
    """A cassette: what was asked and answered at one time. `now` is the recorder's clock, UTC."""

    name: str
    now: datetime
    exchanges: tuple[Exchange, ...]


def load_recordings(folder: Path) -> list[Recording]:
    """Every cassette in a folder, by name. Files that are no cassettes are passed over."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".json", ".yaml", ".yml"})
    return [recording for path in files if (recording := _load(path)) is not None]


def _load(path: Path) -> Recording | None:
    text = path.read_text()
    try:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return None
    interactions = content.get("interactions") if isinstance(content, dict) else None
    if not isinstance(interactions, list):
        return None
    metadata = content.get("_metadata", {})
    moment = metadata.get("freeze_time") or metadata.get("recorded_at") or _date_header(interactions)
    return Recording(path.name, _utc(moment), tuple(_exchanges(interactions)))


def _utc(moment: str) -> datetime:
    instant = datetime.fromisoformat(moment)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _date_header(interactions: list[Any]) -> str:
    for item in interactions:
        for name, values in item["response"].get("headers", {}).items():
            if name.lower() == "date":
                value = values[0] if isinstance(values, list) else values
                return datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).isoformat()
    raise ValueError("a cassette without freeze_time, recorded_at or a Date header tells no time")


def _exchanges(interactions: list[Any]) -> Iterator[Exchange]:
    for number, item in enumerate(interactions):
        request, response = item["request"], item["response"]
        url = urlsplit(request["uri"])
        form = request.get("body")
        given = parse_qs(url.query, keep_blank_values=True)
        if form and "=" in _text(form):
            given |= parse_qs(_text(form), keep_blank_values=True)
        first, _, rest = url.path.strip("/").partition("/")
        status = response["status"]
        yield Exchange(
            number=number,
            method=request["method"],
            url=request["uri"],
            host=url.hostname or "",
            version=first if is_version(first) else None,
            path=rest if is_version(first) else url.path.strip("/"),
            params={name: values[-1] for name, values in given.items()},
            status=status["code"] if isinstance(status, dict) else int(status),
            headers={k: v[0] if isinstance(v, list) and v else str(v) for k, v in response.get("headers", {}).items()},
            text=_text(response.get("body", "")),
        )


def _text(body: Any) -> str:
    if isinstance(body, dict):
        if "base64_string" in body:
            return _text(base64.b64decode(body["base64_string"]))
        body = body.get("string", "")
    if isinstance(body, bytes):
        plain: bytes = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        return plain.decode(errors="replace")
    return str(body or "")
