"""`oauth_states`: one row per started login. Single-use, ten minutes, bound to the browser that started it.

Only hashes of `state` and of the browser's cookie are kept: whoever reads the table can finish nobody's login.
What a login led to stays with its row for a day, so that the same browser may watch its backfill.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from ig_pipeline.storage.tables import oauth_states as table

LIFETIME = timedelta(minutes=10)
"""How long a person may take in the consent dialog."""

KEPT = timedelta(days=1)
"""How long the browser that consented may watch the progress; then the row goes."""

StateFault = Literal["unknown", "foreign", "replayed", "expired"]


class StateRefusedError(Exception):
    """The `state` of a callback is not one to go on with. `fault` says why; nothing was stored."""

    def __init__(self, fault: StateFault) -> None:
        super().__init__(f"The state is {fault}.")
        self.fault: StateFault = fault


@dataclass(frozen=True)
class LoginAttempt:
    """A login that may go on: for whom, and with which of Meta's logins."""

    id: int
    email: str
    login: str


@dataclass(frozen=True)
class FinishedLogin:
    """A login that came back well: for whom, and the connections it made."""

    email: str
    account_keys: tuple[str, ...]
    used_at: datetime


def start(db: sa.Connection, *, state: str, browser: str, email: str, login: str, now: datetime) -> None:
    """Remember a login that starts now; rows that are no use any more go."""
    db.execute(sa.delete(table).where(table.c.created_at < now - KEPT))
    db.execute(
        sa.insert(table).values(
            state_hash=hash_of(state),
            browser_hash=hash_of(browser),
            email=email,
            login=login,
            created_at=now,
            expires_at=now + LIFETIME,
        )
    )


def claim(db: sa.Connection, *, state: str, browser: str | None, now: datetime) -> LoginAttempt:
    """Use a state up: the first caller with the right cookie gets it, nobody after. Raises `StateRefusedError`.

    A foreign browser does not use it up, or anybody who saw the address could spoil the login.
    """
    row = db.execute(sa.select(table).where(table.c.state_hash == hash_of(state))).first()
    if row is None:
        raise StateRefusedError("unknown")
    if browser is None or row.browser_hash != hash_of(browser):
        raise StateRefusedError("foreign")
    if row.used_at is not None:
        raise StateRefusedError("replayed")
    if row.expires_at <= now:
        raise StateRefusedError("expired")
    taken = db.execute(sa.update(table).where(table.c.id == row.id, table.c.used_at.is_(None)).values(used_at=now))
    if taken.rowcount != 1:
        raise StateRefusedError("replayed")
    return LoginAttempt(row.id, row.email, row.login)


def finish(db: sa.Connection, attempt: LoginAttempt, account_keys: Sequence[str]) -> None:
    """Note which connections came of it."""
    db.execute(sa.update(table).where(table.c.id == attempt.id).values(outcome=list(account_keys)))


def finished_by(db: sa.Connection, *, browser: str, now: datetime) -> FinishedLogin | None:
    """The newest login this browser finished within a day, or None."""
    statement = (
        sa.select(table.c.email, table.c.outcome, table.c.used_at)
        .where(
            table.c.browser_hash == hash_of(browser),
            table.c.used_at.is_not(None),
            table.c.used_at > now - KEPT,
            table.c.outcome.is_not(None),
        )
        .order_by(table.c.used_at.desc(), table.c.id.desc())
        .limit(1)
    )
    row = db.execute(statement).first()
    # JSON columns hold 'null' for None, which is not NULL.
    if row is None or not row.outcome:
        return None
    return FinishedLogin(row.email, tuple(row.outcome), row.used_at)


def hash_of(secret: str) -> str:
    """SHA-256: the secrets are 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
