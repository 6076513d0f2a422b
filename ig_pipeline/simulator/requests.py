"""Calls of the simulated Graph API and their answers, free of HTTP: version, parameters, and the grammar of `fields`.

The server turns HTTP into a `Call`, a batch turns its parts into several. Which fields exist is decided in `views` and
`graph`.
"""

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode

from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.refusals import Envelope, RefusalError, bad_syntax
from ig_pipeline.simulator.tokens import Grant, Login

# Version → first and last day it is served (docs/graph_api.md#versions; releases not given there are approximate).
_LIVES: dict[str, tuple[date, date]] = {
    "v19.0": (date(2024, 1, 23), date(2026, 5, 21)),
    "v20.0": (date(2024, 5, 21), date(2026, 9, 24)),
    "v21.0": (date(2024, 10, 2), date(2027, 1, 21)),
    "v22.0": (date(2025, 1, 21), date(2027, 5, 20)),
    "v23.0": (date(2025, 5, 29), date(2027, 10, 8)),
    "v24.0": (date(2025, 10, 8), date(2028, 2, 18)),
    "v25.0": (date(2026, 2, 18), date(2028, 7, 29)),
    "v26.0": (date(2026, 7, 29), date(2029, 7, 29)),
    "v27.0": (date(2026, 11, 4), date(2029, 11, 4)),
}
_VERSION = re.compile(r"v\d{1,3}\.\d")


def is_version(segment: str) -> bool:
    """Whether a path's first segment is written like a version, whether it exists or not."""
    return bool(_VERSION.fullmatch(segment))


def split_version(path: str) -> tuple[str | None, str]:
    """The version a path (without slashes at its ends) begins with, and the rest; None when it names none there is.

    A version that does not exist is part of the path, and no object lies there. Those of the table exist at any clock,
    for a test may set it back; older ones are retired, but known.
    """
    first, _, rest = path.partition("/")
    known = is_version(first) and (first in _LIVES or float(first[1:]) < float(next(iter(_LIVES))[1:]))
    return (first, rest) if known else (None, path)


def served_version(asked: str | None, today: date) -> str:
    """The version that serves a call: a live one as asked, the newest for a retired one, the oldest live for none.

    At a clock before every version in the table the asked one serves: a recording may be older than the table.
    """
    live = [name for name, (first, last) in _LIVES.items() if first <= today < last]
    if asked is None:
        return live[0] if live else next(iter(_LIVES))
    number = float(asked[1:])
    if asked in live or not live or number > float(live[-1][1:]):
        return asked
    return live[-1]


Json = dict[str, Any]
Delivery = Literal["whole", "truncated", "reset"]


# ---- calls and answers ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One call: `path` without version and slashes at its ends, `params` of query and form together.

    `version` is the served one, `base_url` the address the caller used, for links back.
    """

    method: str
    path: str
    params: dict[str, str]
    version: str
    base_url: str
    now: datetime
    token: str | None = None
    host: str = ""

    @property
    def segments(self) -> list[str]:
        """The path's parts."""
        return [part for part in self.path.split("/") if part]

    def at(self, path: str, params: dict[str, str] | None = None) -> "Call":
        """The same caller at another path."""
        return replace(self, path=path, params=self.params if params is None else params)

    def link(self, path: str, params: dict[str, str]) -> str:
        """An address of paging: with the served version and, as Meta does, the token."""
        token = {"access_token": self.token} if self.token else {}
        query = urlencode(
            {**token, **{k: v for k, v in params.items() if k not in {"access_token", "appsecret_proof"}}}
        )
        return f"{self.base_url}/{self.version}/{path}?{query}"


@dataclass(frozen=True)
class Caller:
    """Who calls: what their token grants, and the account it belongs to (Instagram Login)."""

    grant: Grant
    own_account: Account | None

    @property
    def login(self) -> Login:
        """Which login gave the token."""
        return self.grant.login

    @property
    def envelope(self) -> Envelope:
        """The shape of errors of the host this login talks to."""
        return "OAuthException" if self.grant.login == "facebook" else "IGApiException"

    def may(self, *scopes: str) -> bool:
        """Whether the token has one of `scopes`."""
        return bool(self.grant.scopes.intersection(scopes))


@dataclass(frozen=True)
class Answer:
    """What goes back: JSON or a page.

    `delivery`: whole, or cut in the middle, or a reset connection; `delay`: seconds before anything of it goes out.
    """

    status: int
    body: Json | list[Any] | str
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"
    delivery: Delivery = "whole"
    delay: float = 0.0

    def encoded(self) -> bytes:
        """The body's bytes."""
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, separators=(",", ":")).encode()


# ---- parameters ----------------------------------------------------------------------------------------------------


def names_in(text: str | None) -> list[str]:
    """A list parameter: comma-separated, or a JSON array as the official SDK sends it."""
    if not text:
        return []
    if text.lstrip().startswith("["):
        try:
            return [str(item).strip() for item in json.loads(text)]
        except ValueError:
            return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


def number_in(params: dict[str, str], name: str, *, default: int, highest: int) -> int:
    """A positive whole parameter, cut to `highest`. Raises RefusalError for anything else."""
    text = params.get(name)
    if text is None or text == "":
        return default
    if not re.fullmatch(r"\d{1,9}", text.strip()):
        raise RefusalError(f"Param {name} must be a positive integer", code=100)
    return max(1, min(int(text), highest))


_RELATIVE = re.compile(r"([+-]?\d+)\s*(second|minute|hour|day|week)s?(\s+ago)?")


def instant_in(params: dict[str, str], name: str, now: datetime) -> datetime | None:
    """`since` or `until`: Unix seconds, a date (00:00 UTC), ISO, or a few words of strtotime."""
    text = (params.get(name) or "").strip()
    if not text:
        return None
    try:
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        if text in {"now", "today", "yesterday"}:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            return {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}[text]
        if match := _RELATIVE.fullmatch(text):
            amount = int(match[1]) * (-1 if match[3] else 1)
            return now + timedelta(**{f"{match[2]}s": amount})
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise RefusalError(f"Invalid parameter: {name} is not a timestamp or a date", code=100) from None


# ---- the grammar of `fields` ---------------------------------------------------------------------------------------

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass(frozen=True)
class Field:
    """One requested field: `insights.metric(reach).period(day){name}` has two modifiers and one child."""

    name: str
    modifiers: dict[str, str] = field(default_factory=dict)
    children: tuple["Field", ...] = ()

    @property
    def shown_as(self) -> str:
        """The key of the answer: `.as(alias)` renames."""
        return self.modifiers.get("as", self.name)


def parse_fields(text: str | None) -> tuple[Field, ...]:
    """Read a field list; empty or None gives no fields. Raises RefusalError for a malformed one."""
    if not text or not text.strip():
        return ()
    reader = _Reader(text)
    fields = reader.fields()
    reader.expect_end()
    return fields


class _Reader:
    """A position in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fields(self) -> tuple[Field, ...]:
        found = [self.one()]
        while self.take(","):
            if self.peek() in {"", "}"}:  # a comma at the end is forgiven
                break
            found.append(self.one())
        return tuple(found)

    def one(self) -> Field:
        name, modifiers = self.name(), {}
        while self.take("."):
            modifier = self.name()
            modifiers[modifier] = self.value()
        children: tuple[Field, ...] = ()
        if self.take("{"):
            children = () if self.peek() == "}" else self.fields()
            if not self.take("}"):
                raise self.error("}")
        return Field(name, modifiers, children)

    def name(self) -> str:
        self.skip()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _NAME:
            self.at += 1
        if start == self.at:
            raise self.error("a name")
        return self.text[start : self.at]

    def value(self) -> str:
        if not self.take("("):
            raise self.error("(")
        depth, start = 1, self.at
        while self.at < len(self.text) and depth:
            depth += {"(": 1, ")": -1}.get(self.text[self.at], 0)
            self.at += 1
        if depth:
            raise self.error(")")
        return self.text[start : self.at - 1].strip()

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def take(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self.at += 1
        return True

    def expect_end(self) -> None:
        if self.peek():
            raise self.error("end of string")

    def error(self, wanted: str) -> Exception:
        found = self.text[self.at : self.at + 1] or "end of string"
        return bad_syntax(f'"Expected {wanted} instead of "{found}"." at character {self.at}: {self.text}')
