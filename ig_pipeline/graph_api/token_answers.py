"""What the token endpoints answer, in each of its documented and observed shapes (facts §3).

Parsing only: JSON in, tokens out as `SecretStr`. A shape nobody documented raises `MalformedAnswerError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.errors import MalformedAnswerError


@dataclass(frozen=True)
class FreshToken:
    """A token and when it expires (UTC); None: Meta names no end."""

    token: SecretStr
    expires_at: datetime | None


@dataclass(frozen=True)
class CodeGrant:
    """What a login's code was exchanged for: a short-lived token. Facebook Login names neither user nor scopes."""

    token: SecretStr
    expires_at: datetime | None
    user_id: str | None
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class TokenFacts:
    """What `debug_token` knows of a token. `targets`: scope → ids of the objects a grant was limited to."""

    is_valid: bool
    expires_at: datetime | None
    data_access_expires_at: datetime | None
    scopes: tuple[str, ...]
    targets: Mapping[str, tuple[str, ...]]
    app_id: str | None
    user_id: str | None


def read_token(answer: Json, *, now: datetime) -> FreshToken:
    """A token that was exchanged or refreshed at `now`. Raises `MalformedAnswerError`."""
    return FreshToken(_token(answer), _expiry(answer, now))


def read_code_grant(answer: Json, *, now: datetime) -> CodeGrant:
    """A code's token: plain (Facebook), in a list (Instagram's documentation), or plain with a bare integer id."""
    data = answer.get("data")
    row = data[0] if isinstance(data, list) and data and isinstance(data[0], Mapping) else answer
    permissions = row.get("permissions", ())
    scopes = permissions.split(",") if isinstance(permissions, str) else permissions
    return CodeGrant(
        token=_token(row),
        expires_at=_expiry(row, now),
        user_id=_identifier(row.get("user_id")),
        scopes=tuple(str(scope).strip() for scope in scopes if str(scope).strip()) if isinstance(scopes, list) else (),
    )


def read_token_facts(answer: Json) -> TokenFacts:
    """The `data` of `debug_token`. Raises `MalformedAnswerError`."""
    data = answer.get("data")
    if not isinstance(data, Mapping):
        raise MalformedAnswerError("debug_token answered without data.")
    granular = data.get("granular_scopes")
    rows = [row for row in granular if isinstance(row, Mapping)] if isinstance(granular, list) else []
    scopes = data.get("scopes")
    return TokenFacts(
        is_valid=data.get("is_valid") is True,
        expires_at=_instant(data.get("expires_at")),
        data_access_expires_at=_instant(data.get("data_access_expires_at")),
        scopes=tuple(str(scope) for scope in scopes) if isinstance(scopes, list) else (),
        targets={str(row.get("scope")): _identifiers(row.get("target_ids")) for row in rows if row.get("target_ids")},
        app_id=_identifier(data.get("app_id")),
        user_id=_identifier(data.get("user_id")),
    )


def _token(row: Json) -> SecretStr:
    token = row.get("access_token")
    if not isinstance(token, str) or not token:
        raise MalformedAnswerError("The token endpoint answered without a token.")
    return SecretStr(token)


def _expiry(row: Json, now: datetime) -> datetime | None:
    seconds = row.get("expires_in")
    if isinstance(seconds, str) and seconds.isdecimal():
        seconds = int(seconds)
    return now + timedelta(seconds=seconds) if isinstance(seconds, int) and seconds > 0 else None


def _instant(seconds: object) -> datetime | None:
    """Unix seconds; 0 means never (facts §3.1)."""
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds > 0 else None


def _identifier(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value)


def _identifiers(values: object) -> tuple[str, ...]:
    return tuple(str(value) for value in values) if isinstance(values, list) else ()
