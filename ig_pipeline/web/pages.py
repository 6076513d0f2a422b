"""Turns data into HTML: the templates' environment, the filters they use, and the page every refusal gets.

No database and no rules here; what a page shows is gathered in `page_data`.
"""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

STATIC = Path(__file__).parent / "static"
MISSING = "\N{EN DASH}"


class ProblemText(Protocol):
    """What a refusal says."""

    type: str
    title: str
    status: int
    detail: str


def page(name: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any) -> HTMLResponse:  # noqa: ANN401  # templates take anything
    """The page of a template. Whatever it is given is escaped."""
    return HTMLResponse(render(name, **context), status, headers=dict(headers or {}))


def render(name: str, **context: Any) -> str:  # noqa: ANN401  # templates take anything
    """The text of a template."""
    return _environment().get_template(name).render(**context)


def problem_page(request: Request, problem: ProblemText, *, headers: Mapping[str, str]) -> HTMLResponse:
    """A refusal, for a person."""
    services = getattr(request.app.state, "services", None)
    signed_out = problem.type == "token_missing" and request.method == "GET"
    # A browser that is told `Bearer` would open its own dialog over our page.
    kept = {name: value for name, value in headers.items() if name.lower() != "www-authenticate"}
    if signed_out:
        return reader_sign_in_page(request.url.path, wrong=False, status=problem.status, headers=kept)
    return page(
        "problem.html",
        status=problem.status,
        headers=kept,
        problem=problem,
        destination="/",
        ready=services is not None,
    )


def reader_sign_in_page(
    destination: str, *, wrong: bool, status: int, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Where a person signs in to read the pages, and is then led to `destination`."""
    return sign_in_page(
        what="",
        setting="IG_PIPELINE_API_TOKEN",
        destination=destination,
        wrong=wrong,
        status=status,
        headers=headers,
    )


def sign_in_page(
    *, what: str, setting: str, destination: str, wrong: bool, status: int, headers: Mapping[str, str] | None
) -> HTMLResponse:
    """The form for the token in `setting`, which opens `what` (empty: these pages). `wrong`: another was tried."""
    return page(
        "sign_in.html",
        status=status,
        headers=headers,
        what=what,
        setting=setting,
        destination=destination,
        wrong=wrong,
    )


def local_path(destination: str) -> str:
    """A path of ours, never someone else's address (`//evil.example` is one); else the start."""
    safe = destination.startswith("/") and not destination.startswith(("//", "/\\")) and destination.isprintable()
    return destination if safe else "/"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ig_pipeline.web", "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, compact=compact, day=day, moment=moment, excerpt=excerpt)
    environment.globals.update(static=static_url)
    return environment


@lru_cache(maxsize=32)
def static_url(name: str) -> str:
    """The address of one of our files; it changes when the file does, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def number(value: int | None) -> str:
    """12,345; a dash for what is not there."""
    return MISSING if value is None else f"{value:,}"


def compact(value: int | None) -> str:
    """12.3k, 4.5M; a dash for what is not there."""
    if value is None:
        return MISSING
    for limit, divisor, unit in ((1_000_000, 1_000_000, "M"), (10_000, 1_000, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.1f}".removesuffix(".0") + unit
    return f"{value:,}"


def day(value: date | None) -> str:
    """3 November."""
    return MISSING if value is None else f"{value:%-d %B}"


def moment(value: datetime | None) -> str:
    """3 November 2026, 14:05 UTC."""
    return MISSING if value is None else f"{value:%-d %B %Y, %H:%M} UTC"


def excerpt(text: str | None, length: int = 90) -> str:
    """The beginning of a caption, on one line."""
    line = " ".join((text or "").split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
