"""`deletion_requests`: somebody asked to be forgotten. Until it is done the row says whom; then it is a tombstone.

The caller's transaction ends syncing and deletes what it can; files and Dagster's storage follow, by whoever calls
`unname` and `done` at the end. A tombstone holds a code, two instants and counts, and nothing that names anybody.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection, disconnect, list_connections, lock
from ig_pipeline.storage.tables import deletion_requests as table
from ig_pipeline.storage.tables import instagram_sync_logs, media_backfills
from ig_pipeline.storage.user_data import erase_account, erase_person

Origin = Literal["admin", "meta", "command_line"]
REQUESTED, DONE = "requested", "done"

# Without 0/O and 1/I: people read it out on the telephone. 16 of 32 letters are 80 bits, not to be guessed.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH = 16


@dataclass(frozen=True)
class Target:
    """One account to forget; its user goes too when this was their last one.

    `run_ids`: runs that the ledger, which is gone, knew to have written about it.
    """

    connection_id: int
    u_id: int
    email: str
    account_id: str
    account_key: str
    username: str = ""
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeletionRequest:
    """A request and what became of it. Times are UTC; `erased`: kind of thing → how many.

    Without targets and not completed: everything is erased, and files of databases still have to be written anew.
    """

    id: int
    code: str
    origin: str
    status: str
    targets: tuple[Target, ...]
    erased: Mapping[str, int]
    requested_at: datetime
    not_before: datetime | None
    completed_at: datetime | None


def request(
    db: sa.Connection, connections: Sequence[Connection], *, origin: Origin, now: datetime, email: str | None = None
) -> DeletionRequest:
    """Stop syncing, destroy the tokens, delete the history, and queue the rest. With nothing to delete: done at once.

    `email`: of a person who wants to be forgotten altogether; the logins they only began go too.
    Who asks again while it is under way gets the request that is there.
    """
    for connection in connections:
        lock(db, connection.id)
    asked = {target.connection_id: earlier for earlier in waiting(db) for target in earlier.targets}
    new = [connection for connection in connections if connection.id not in asked]
    if connections and not new:
        return asked[connections[0].id]
    targets: list[Target] = []
    erased = erase_person(db, email) if email else {}
    for connection in new:
        disconnect(db, connection.id, now=now)
        run_ids = _runs_about(db, connection)
        _add(erased, erase_account(db, connection))
        targets.append(
            Target(
                connection.id,
                connection.u_id,
                connection.email,
                connection.account_id,
                connection.account_key,
                connection.username,
                run_ids,
            )
        )
    values = {
        "code": new_code(),
        "origin": origin,
        "status": REQUESTED if targets or erased else DONE,
        "targets": [asdict(target) for target in targets],
        "erased": erased,
        "requested_at": now,
        "completed_at": None if targets or erased else now,
    }
    made = db.execute(sa.insert(table).values(values).returning(table.c.id)).scalar_one()
    return _one(db, table.c.id == made)


def waiting(db: sa.Connection) -> list[DeletionRequest]:
    """Requests that are not completed, oldest first."""
    return _select(db, table.c.status == REQUESTED)


def due(db: sa.Connection, *, now: datetime) -> list[DeletionRequest]:
    """Those of them that need not wait any longer."""
    return _select(
        db, sa.and_(table.c.status == REQUESTED, sa.or_(table.c.not_before.is_(None), table.c.not_before <= now))
    )


def defer(db: sa.Connection, deletions: Collection[DeletionRequest], *, until: datetime) -> None:
    """Leave what is not completed of `deletions` until then."""
    ids = [deletion.id for deletion in deletions]
    db.execute(sa.update(table).where(table.c.id.in_(ids), table.c.status == REQUESTED).values(not_before=until))


def by_code(db: sa.Connection, code: str) -> DeletionRequest | None:
    """The request with this confirmation code, or None."""
    found = _select(db, table.c.code == code)
    return found[0] if found else None


def unname(db: sa.Connection, deletion: DeletionRequest, counts: Mapping[str, int]) -> None:
    """Everything is erased: the row names nobody any more. `counts` adds to what was counted before."""
    total = dict(deletion.erased)
    _add(total, counts)
    db.execute(sa.update(table).where(table.c.id == deletion.id).values(targets=[], erased=total))


def done(db: sa.Connection, deletion: DeletionRequest, *, now: datetime) -> None:
    """The files are written anew too: from now on the row is a tombstone."""
    db.execute(sa.update(table).where(table.c.id == deletion.id).values(status=DONE, completed_at=now))


def names_of(db: sa.Connection, deletion: DeletionRequest) -> set[str]:
    """Words that mean the accounts of `deletion` and nobody who stays: keys, usernames, account ids, emails.

    Two users may have connected the same account, and one user two: what a connection that stays goes by is no such
    word.
    """
    leaving = {target.connection_id for target in deletion.targets}
    stay = {
        word
        for connection in list_connections(db)
        if connection.id not in leaving
        for word in (connection.account_key, connection.username, connection.account_id, connection.email)
    }
    words = {
        word
        for target in deletion.targets
        for word in (target.account_key, target.username, target.account_id, target.email)
    }
    return {word for word in words if word} - stay


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
    return [DeletionRequest(**{**row._mapping, "targets": tuple(map(_target, row.targets))}) for row in rows]


def _target(stored: Mapping[str, Any]) -> Target:
    return Target(**{**stored, "run_ids": tuple(stored.get("run_ids", ()))})


def _runs_about(db: sa.Connection, connection: Connection) -> tuple[str, ...]:
    """Ids of the runs that wrote about an account, Dagster's and the command line's."""
    found: set[str] = set()
    for ledger in (instagram_sync_logs, media_backfills):
        mine = ledger.c.u_id == connection.u_id, ledger.c.account_id == connection.account_id
        found.update(db.execute(sa.select(ledger.c.run_id).where(*mine).distinct()).scalars())
    return tuple(sorted(found))
