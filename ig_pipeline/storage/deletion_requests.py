"""`deletion_requests`: somebody asked to be forgotten. Until it is done the row says whom; then it is a tombstone.

The caller's transaction ends syncing and deletes what it can; files and Dagster's storage follow, by whoever runs
`done` at the end. A tombstone holds a code, two instants and counts, and nothing that names anybody.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection, disconnect, lock
from ig_pipeline.storage.tables import deletion_requests as table
from ig_pipeline.storage.user_data import erase_account

Origin = Literal["admin", "meta", "command_line"]
REQUESTED, DONE = "requested", "done"

# Without 0/O and 1/I: people read it out on the telephone. 16 of 32 letters are 80 bits, not to be guessed.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH = 16


@dataclass(frozen=True)
class Target:
    """One account to forget; its user goes too when this was their last one."""

    connection_id: int
    u_id: int
    email: str
    account_id: str
    account_key: str


@dataclass(frozen=True)
class DeletionRequest:
    """A request and what became of it. Times are UTC; `erased`: kind of thing → how many."""

    id: int
    code: str
    origin: str
    status: str
    targets: tuple[Target, ...]
    erased: Mapping[str, int]
    requested_at: datetime
    completed_at: datetime | None


def request(db: sa.Connection, connections: Sequence[Connection], *, origin: Origin, now: datetime) -> DeletionRequest:
    """Stop syncing, destroy the tokens, delete the history, and queue the rest. Without connections: done at once."""
    targets: list[Target] = []
    erased: dict[str, int] = {}
    for connection in connections:
        lock(db, connection.id)
        disconnect(db, connection.id, now=now)
        _add(erased, erase_account(db, connection))
        targets.append(
            Target(connection.id, connection.u_id, connection.email, connection.account_id, connection.account_key)
        )
    values = {
        "code": new_code(),
        "origin": origin,
        "status": REQUESTED if targets else DONE,
        "targets": [asdict(target) for target in targets],
        "erased": erased,
        "requested_at": now,
        "completed_at": None if targets else now,
    }
    made = db.execute(sa.insert(table).values(values).returning(table.c.id)).scalar_one()
    return _one(db, table.c.id == made)


def waiting(db: sa.Connection) -> list[DeletionRequest]:
    """Requests whose files and cells are still there, oldest first."""
    return _select(db, table.c.status == REQUESTED)


def by_code(db: sa.Connection, code: str) -> DeletionRequest | None:
    """The request with this confirmation code, or None."""
    found = _select(db, table.c.code == code)
    return found[0] if found else None


def done(db: sa.Connection, deletion: DeletionRequest, erased: Mapping[str, int], *, now: datetime) -> None:
    """Turn a request into its tombstone: nobody is named any more. `erased` adds to what was counted before."""
    total = dict(deletion.erased)
    _add(total, erased)
    db.execute(
        sa.update(table)
        .where(table.c.id == deletion.id)
        .values(status=DONE, targets=[], erased=total, completed_at=now)
    )


def new_code() -> str:
    """A confirmation code nobody guesses."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def _one(db: sa.Connection, condition: sa.ColumnElement[bool]) -> DeletionRequest:
    return _select(db, condition)[0]


def _select(db: sa.Connection, condition: sa.ColumnElement[bool]) -> list[DeletionRequest]:
    rows = db.execute(sa.select(table).where(condition).order_by(table.c.id))
    return [
        DeletionRequest(**{**row._mapping, "targets": tuple(Target(**target) for target in row.targets)})
        for row in rows
    ]
