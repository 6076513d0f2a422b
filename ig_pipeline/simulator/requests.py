"""A request and an answer of the simulated Graph API, free of HTTP machinery, and how parameters are read.

The server turns HTTP into a `Call`, a batch turns its parts into several.
"""

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode

from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.refusals import Envelope, RefusalError
from ig_pipeline.simulator.tokens import Grant, Login

Json = dict[str, Any]
Delivery = Literal["whole", "truncated", "reset"]


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
    """`since` or `until`: Unix seconds, a date (00:00 UTC, facts §1.2), ISO, or a few words of strtotime."""
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
