"""What the token endpoints answer, in each of its documented and observed shapes (docs/graph_api.md#facebook-login).

Parsing only: JSON in, tokens out as `SecretStr`. A shape nobody documented raises `MalformedAnswerError`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

from pydantic import SecretStr

from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.errors import MalformedAnswerError
from ig_pipeline.token_ends import Expiry

# No token lives that long: a larger number is not one of seconds.
_CENTURY_S = 100 * 366 * 86_400
_SECONDS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class FreshToken:
    """A token and when it expires (UTC); None: Meta did not say, unless `expiry` is "never".

    `data_access_expires_at` (UTC) is None where it was not asked for.
    """

    token: SecretStr
    expires_at: datetime | None
    expiry: Expiry = "stated"
    data_access_expires_at: datetime | None = None


@dataclass(frozen=True)
class CodeGrant:
    """What a login's code was exchanged for: a short-lived token. Facebook Login names neither user nor scopes.

    `expires_at` (UTC) is None when Meta did not say.
    """

    token: SecretStr
    expires_at: datetime | None
    user_id: str | None
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class TokenFacts:
    """What `debug_token` knows of a token. `targets`: scope → ids of the objects a grant was limited to.

    `expires_at` (UTC) is None when it does not say, or when `expiry` is "never". `data_access_expires_at` (UTC): until
    when the token reads; None when it does not say, or reads for ever.
    """

    is_valid: bool
    expires_at: datetime | None
    expiry: Expiry
    data_access_expires_at: datetime | None
    scopes: tuple[str, ...]
    targets: Mapping[str, tuple[str, ...]]
    app_id: str | None
    user_id: str | None


def read_token(answer: Json, *, now: datetime) -> FreshToken:
    """A token that was exchanged or refreshed at `now`. Raises `MalformedAnswerError`."""
    expires_at = _expiry(answer, now)
    return FreshToken(_token(answer), expires_at, "stated" if expires_at else "assumed")


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
    expires_at = _instant(data.get("expires_at"))
    return TokenFacts(
        is_valid=data.get("is_valid") is True,
        expires_at=expires_at,
        expiry="stated" if expires_at else "never" if _says_never(data.get("expires_at")) else "assumed",
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
    """When the token ends; None when `expires_in` is missing or says nothing."""
    seconds = row.get("expires_in")
    if isinstance(seconds, str) and _SECONDS.fullmatch(seconds):
        seconds = int(seconds)
    return now + timedelta(seconds=seconds) if _is_number(seconds) and 0 < seconds < _CENTURY_S else None


def _instant(seconds: object) -> datetime | None:
    """Unix seconds; None for anything else."""
    return datetime.fromtimestamp(seconds, UTC) if _is_number(seconds) and 0 < seconds < 2 * _CENTURY_S else None


def _says_never(seconds: object) -> bool:
    """0 is Meta's word for never (docs/graph_api.md#facebook-login); a missing or odd value says nothing."""
    return _is_number(seconds) and seconds == 0


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _identifier(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value)


def _identifiers(values: object) -> tuple[str, ...]:
    return tuple(str(value) for value in values) if isinstance(values, list) else ()
