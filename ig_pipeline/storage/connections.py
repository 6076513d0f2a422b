"""Connections: who consented for which Instagram account, and the name the grid knows it by.

Tokens pass through here only as ciphertext; `vault` makes and reads them.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from ig_pipeline.storage.tables import user_tokens, users
from ig_pipeline.storage.upsert import insert_unless_there
from ig_pipeline.token_ends import Expiry, TokenEnd, token_end

CONNECTED = "connected"
RECONNECT_REQUIRED = "reconnect_required"
DISCONNECTED = "disconnected"
PROVIDER = "instagram"

# Instagram allows letters, digits, dots and underscores, 30 at most; Dagster refuses "...", and "|" and "," separate
# its keys. What is left is always legal in both.
_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]|\.{3,}")
_LONGEST_KEY = 60  # twice what Instagram allows


class UnknownAccountError(LookupError):
    """No connection has this account key."""

    def __init__(self, account_key: str) -> None:
        super().__init__(f"No connection is called {account_key}. `ig-pipeline connections list` shows them.")
        self.account_key = account_key


@dataclass(frozen=True)
class Connection:
    """One user's consent for one Instagram professional account. Times are UTC; days are Instagram's (Pacific)."""

    id: int
    u_id: int
    email: str
    provider: str
    login: str
    account_id: str
    username: str
    account_key: str
    status: str
    status_message: str | None
    scopes: str
    issued_at: datetime | None
    expires_at: datetime | None
    expiry: Expiry
    data_access_expires_at: datetime | None
    """Until when the token reads, where Meta has told (Facebook Login)."""
    connected_at: datetime
    initial_backfill_first: date | None
    initial_backfill_last: date | None
    initial_backfill_requested_at: datetime | None
    token_version: int

    @property
    def token_end(self) -> TokenEnd | None:
        """When its token ends, and how that is known; None when it is disconnected and has none."""
        if self.status == DISCONNECTED:
            return None
        return token_end(self.expires_at, self.expiry, issued_at=self.issued_at or self.connected_at)


_FIELDS = tuple(Connection.__dataclass_fields__)


def user_of(db: sa.Connection, email: str, *, now: datetime) -> int:
    """The `u_id` of `email`, made when it is new. Emails are compared as they are, trimmed and in lower case."""
    email = email.strip().lower()
    mine = sa.select(users.c.u_id).where(users.c.email == email)
    found = db.execute(mine).scalar_one_or_none()
    if found is None:
        insert_unless_there(db, users, {"email": email, "created_at": now})
        found = db.execute(mine).scalar_one()
    return int(found)


def connect(
    db: sa.Connection,
    *,
    email: str,
    login: str,
    account_id: str,
    username: str,
    encrypt: Callable[[int], str],
    expires_at: datetime | None,
    scopes: str,
    now: datetime,
    expiry: Expiry = "stated",
    data_access_expires_at: datetime | None = None,
) -> Connection:
    """Insert a connection, or connect an old one again: new token, same key, same history.

    `encrypt` gets the connection's id and returns the token's ciphertext bound to that row. Without `expires_at` the
    token's end was not told, unless `expiry` is "never". `data_access_expires_at`: as Meta has just told it.
    """
    same = {"u_id": user_of(db, email, now=now), "provider": PROVIDER, "account_id": account_id}
    mine = sa.select(user_tokens.c.id).where(*(user_tokens.c[name] == value for name, value in same.items()))
    known = db.execute(mine).scalar_one_or_none()
    while known is None:
        # Somebody else may take the key, or make this very connection, between our look and our insert.
        key = _free_key(db, username or account_id)
        first = {"login": login, "username": username, "account_key": key, "connected_at": now, "status": CONNECTED}
        insert_unless_there(db, user_tokens, same | first)
        known = db.execute(mine).scalar_one_or_none()
    db.execute(
        sa.update(user_tokens)
        .where(user_tokens.c.id == known)
        .values(
            login=login,
            username=username,
            access_token=encrypt(int(known)),
            token_version=user_tokens.c.token_version + 1,
            scopes=scopes,
            issued_at=now,
            **stored_end(expires_at, expiry, issued_at=now),
            data_access_expires_at=data_access_expires_at,
            inspected_at=now if data_access_expires_at else None,
            connected_at=now,
            status=CONNECTED,
            status_message=None,
            lease_owner=None,
            lease_until=None,
        )
    )
    return by_id(db, int(known))


def by_id(db: sa.Connection, connection_id: int) -> Connection:
    """The connection with this id. Raises `UnknownAccountError`."""
    found = _select(db, user_tokens.c.id == connection_id)
    if not found:
        raise UnknownAccountError(f"#{connection_id}")
    return found[0]


def by_account_key(db: sa.Connection, account_key: str) -> Connection:
    """The connection the grid knows by this name. Raises `UnknownAccountError`."""
    found = _select(db, user_tokens.c.account_key == account_key)
    if not found:
        raise UnknownAccountError(account_key)
    return found[0]


def list_connections(
    db: sa.Connection, *, statuses: Collection[str] | None = None, email: str | None = None
) -> list[Connection]:
    """Connections in the order they were first made, optionally of some statuses or one user."""
    conditions: list[sa.ColumnElement[bool]] = []
    if statuses is not None:
        conditions.append(user_tokens.c.status.in_(list(statuses)))
    if email is not None:
        conditions.append(users.c.email == email.strip().lower())
    return _select(db, *conditions)


def mark_initial_backfill_requested(
    db: sa.Connection, connection_id: int, *, first: date, last: date, now: datetime
) -> bool:
    """Fix the window of the first backfill. True for whoever came first; the window never changes afterwards."""
    result = db.execute(
        sa.update(user_tokens)
        .where(user_tokens.c.id == connection_id, user_tokens.c.initial_backfill_requested_at.is_(None))
        .values(initial_backfill_first=first, initial_backfill_last=last, initial_backfill_requested_at=now)
    )
    return result.rowcount == 1


def mark_reconnect_required(db: sa.Connection, connection_id: int, *, message: str, now: datetime) -> None:
    """The token is dead: out of every later plan until the owner connects again. `message` is for the owner."""
    _change(db, connection_id, status=RECONNECT_REQUIRED, status_message=message)


def disconnect(db: sa.Connection, connection_id: int, *, now: datetime) -> None:
    """Destroy the token and stop syncing; history stays."""
    _change(
        db,
        connection_id,
        status=DISCONNECTED,
        status_message=f"Disconnected on {now:%Y-%m-%d}.",
        access_token=None,
        expires_at=None,
        data_access_expires_at=None,
        lease_owner=None,
        lease_until=None,
    )


def stored_end(expires_at: datetime | None, expiry: Expiry, *, issued_at: datetime) -> dict[str, object]:
    """The columns that keep the end of a token issued at `issued_at`: an assumed one is written down as such."""
    end = token_end(expires_at, expiry, issued_at=issued_at)
    return {"expires_at": end.at, "expiry": end.expiry}


def lock(db: sa.Connection, connection_id: int) -> None:
    """Hold the connection's row until the transaction ends; others who lock it wait. SQLite has one writer anyway."""
    db.execute(sa.select(user_tokens.c.id).where(user_tokens.c.id == connection_id).with_for_update())


def _change(db: sa.Connection, connection_id: int, **values: object) -> None:
    db.execute(
        sa.update(user_tokens)
        .where(user_tokens.c.id == connection_id)
        .values(token_version=user_tokens.c.token_version + 1, **values)
    )


def _select(db: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Connection]:
    columns = [users.c.email if name == "email" else user_tokens.c[name] for name in _FIELDS]
    joined = user_tokens.join(users, user_tokens.c.u_id == users.c.u_id)
    rows = db.execute(sa.select(*columns).select_from(joined).where(*conditions).order_by(user_tokens.c.id))
    return [Connection(**row._mapping) for row in rows]


def _free_key(db: sa.Connection, name: str) -> str:
    base = _ILLEGAL.sub("_", name)[:_LONGEST_KEY].strip(".-") or "account"
    alike = user_tokens.c.account_key.startswith(base, autoescape=True)
    taken = set(db.execute(sa.select(user_tokens.c.account_key).where(alike)).scalars())
    if base not in taken:
        return base
    return next(key for number in range(2, len(taken) + 3) if (key := f"{base}-{number}") not in taken)
