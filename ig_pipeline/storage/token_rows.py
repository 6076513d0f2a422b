"""A connection's token as ciphertext, its version and the lease of whoever renews it.

Kept apart from `connections`, whose objects travel everywhere: these rows are for the vault alone.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ig_pipeline.storage.connections import CONNECTED, UnknownAccountError, stored_end
from ig_pipeline.storage.tables import user_tokens as table
from ig_pipeline.token_ends import Expiry, TokenEnd, token_end


@dataclass(frozen=True)
class TokenRow:
    """One connection's token. `ciphertext` is None once it is disconnected. Times are UTC.

    `inspected_at`: when Meta was last asked about this token; None: not since it was stored.
    """

    id: int
    account_key: str
    login: str
    ciphertext: str | None
    version: int
    issued_at: datetime
    expires_at: datetime | None
    expiry: Expiry
    data_access_expires_at: datetime | None
    inspected_at: datetime | None
    status: str
    status_message: str | None
    lease_until: datetime | None

    @property
    def end(self) -> TokenEnd:
        """When it ends, and how that is known."""
        return token_end(self.expires_at, self.expiry, issued_at=self.issued_at)


# Format and the key's fingerprint, `v1.0123456789ab.`: what begins alike is under the same key.
_KEY_PREFIX = 16

_ISSUED_AT = sa.func.coalesce(table.c.issued_at, table.c.connected_at)

_COLUMNS = (
    table.c.id,
    table.c.account_key,
    table.c.login,
    table.c.access_token.label("ciphertext"),
    table.c.token_version.label("version"),
    _ISSUED_AT.label("issued_at"),
    table.c.expires_at,
    table.c.expiry,
    table.c.data_access_expires_at,
    table.c.inspected_at,
    table.c.status,
    table.c.status_message,
    table.c.lease_until,
)


def read(db: sa.Connection, account_key: str) -> TokenRow:
    """The token row of an account. Raises `UnknownAccountError`."""
    row = db.execute(sa.select(*_COLUMNS).where(table.c.account_key == account_key)).first()
    if row is None:
        raise UnknownAccountError(account_key)
    return TokenRow(**row._mapping)


def all_with_tokens(db: sa.Connection) -> list[TokenRow]:
    """Every row that holds a token, whatever its status."""
    rows = db.execute(sa.select(*_COLUMNS).where(table.c.access_token.is_not(None)).order_by(table.c.id))
    return [TokenRow(**row._mapping) for row in rows]


def by_key(db: sa.Connection) -> list[tuple[int, str, int]]:
    """For each key that tokens are under: connection id and ciphertext of its newest one, and how many there are."""
    of_a_key = (
        sa.select(sa.func.max(table.c.id).label("newest"), sa.func.count().label("number"))
        .where(table.c.access_token.is_not(None))
        .group_by(sa.func.substr(table.c.access_token, 1, _KEY_PREFIX))
        .subquery()
    )
    rows = db.execute(
        sa.select(table.c.id, table.c.access_token, of_a_key.c.number).join(of_a_key, table.c.id == of_a_key.c.newest)
    )
    return [(row.id, row.access_token, row.number) for row in rows]


def take_lease(db: sa.Connection, row: TokenRow, *, owner: str, now: datetime, until: datetime) -> bool:
    """True for the one who may renew this version of the token, until `until` (UTC)."""
    free = sa.or_(table.c.lease_until.is_(None), table.c.lease_until < now)
    result = db.execute(
        sa.update(table)
        .where(*_same_version(row), table.c.status == CONNECTED, free)
        .values(lease_owner=owner, lease_until=until)
    )
    return result.rowcount == 1


def holds_lease(db: sa.Connection, row: TokenRow, *, owner: str) -> bool:
    """Whether `owner` is the last who took the lease of this version of the token, expired or not."""
    return (
        db.execute(sa.select(table.c.id).where(*_same_version(row), table.c.lease_owner == owner)).first() is not None
    )


def release_lease(db: sa.Connection, row: TokenRow, *, owner: str) -> None:
    """Let others try; does nothing when the lease has passed on."""
    db.execute(
        sa.update(table)
        .where(table.c.id == row.id, table.c.lease_owner == owner)
        .values(lease_owner=None, lease_until=None)
    )


def replace(
    db: sa.Connection,
    row: TokenRow,
    *,
    ciphertext: str,
    expires_at: datetime | None,
    expiry: Expiry,
    owner: str,
    now: datetime,
) -> bool:
    """Store a renewed token and end the owner's lease; False when the row has another token, or none, by now.

    Without the lease, which may have passed on while the owner was held up, a token is kept as long as there is no
    other; whoever has the lease replaces it. Connecting and disconnecting end every lease.
    Until when it reads stays as it was: no renewal moves that (docs/graph_api.md#facebook-login).
    """
    is_holder = table.c.lease_owner == owner
    result = db.execute(
        sa.update(table)
        .where(table.c.id == row.id, sa.or_(is_holder, table.c.token_version == row.version))
        .values(
            access_token=ciphertext,
            **stored_end(expires_at, expiry, issued_at=now),
            issued_at=now,
            token_version=table.c.token_version + 1,
            lease_owner=sa.case((is_holder, sa.null()), else_=table.c.lease_owner),
            lease_until=sa.case((is_holder, sa.null()), else_=table.c.lease_until),
        )
    )
    return result.rowcount == 1


def note_inspection(
    db: sa.Connection, row: TokenRow, *, end: TokenEnd | None, data_access_expires_at: datetime | None, now: datetime
) -> bool:
    """Keep what Meta has told of this version of the token at `now`; False and nothing when it was replaced meanwhile.

    `end`: None when it said nothing of that, and what is stored stays.
    """
    told = {"expires_at": end.at, "expiry": end.expiry} if end else {}
    result = db.execute(
        sa.update(table)
        .where(*_same_version(row))
        .values(inspected_at=now, data_access_expires_at=data_access_expires_at, **told)
    )
    return result.rowcount == 1


def reencrypt(db: sa.Connection, row: TokenRow, ciphertext: str) -> bool:
    """Store the same token under another key; False if it was renewed meanwhile."""
    result = db.execute(sa.update(table).where(*_same_version(row)).values(access_token=ciphertext))
    return result.rowcount == 1


def _same_version(row: TokenRow) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.id == row.id, table.c.token_version == row.version
