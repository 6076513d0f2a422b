"""`media_backfills`: one row per backfill of media files: who asked for it, with which options, what became of it.

A row that never got its end belongs to a process that died: the next backfill of that user looks for what it left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.tables import media_backfills as table
from ig_pipeline.storage.tables import media_items

RUNNING, INTERRUPTED, RECOVERED = "running", "interrupted", "recovered"
UNFINISHED = (RUNNING, INTERRUPTED)


@dataclass(frozen=True)
class MediaBackfill:
    """One backfill. Times are UTC; `finished_at` None: not ended.

    `status`: running, complete, partial, failed, deferred; interrupted when it broke off or its process died,
    recovered once a later backfill has looked after what it left.
    """

    id: int
    account_key: str
    run_id: str
    triggered_by: str
    options: Mapping[str, Any]
    status: str
    counts: Mapping[str, int]
    errors: Sequence[str]
    started_at: datetime
    finished_at: datetime | None


_FIELDS = tuple(MediaBackfill.__dataclass_fields__)


def begin(
    db: sa.Connection,
    connection: Connection,
    *,
    run_id: str,
    triggered_by: str,
    options: Mapping[str, Any],
    now: datetime,
) -> int:
    """Note the start of a backfill; the row's id."""
    values = {
        "u_id": connection.u_id,
        "account_id": connection.account_id,
        "account_key": connection.account_key,
        "run_id": run_id,
        "triggered_by": triggered_by,
        "options": dict(options),
        "status": RUNNING,
        "counts": {},
        "errors": [],
        "started_at": now,
    }
    return int(db.execute(sa.insert(table).values(values).returning(table.c.id)).scalar_one())


def finish(
    db: sa.Connection, backfill_id: int, *, status: str, counts: Mapping[str, int], errors: Sequence[str], now: datetime
) -> None:
    """Note its end."""
    values = {"status": status, "counts": dict(counts), "errors": list(errors), "finished_at": now}
    db.execute(sa.update(table).where(table.c.id == backfill_id).values(values))


def interrupt(db: sa.Connection, connection: Connection) -> list[int]:
    """Ids of the account's backfills whose leftovers nobody has looked after; those still running are marked.

    One that runs in another process at this moment is marked too, and gets its true status when it ends.
    """
    mine = sa.and_(table.c.u_id == connection.u_id, table.c.account_id == connection.account_id)
    db.execute(sa.update(table).where(mine, table.c.status == RUNNING).values(status=INTERRUPTED))
    return list(db.execute(sa.select(table.c.id).where(mine, table.c.status == INTERRUPTED)).scalars())


def files_of_interrupted(db: sa.Connection, connection: Connection, triggered_by: str) -> int:
    """How many of the account's files have come since the first backfill by `triggered_by` that was interrupted."""
    began = sa.select(sa.func.min(table.c.started_at)).where(
        table.c.u_id == connection.u_id,
        table.c.account_id == connection.account_id,
        table.c.triggered_by == triggered_by,
        table.c.status == INTERRUPTED,
    )
    statement = sa.select(sa.func.count()).where(
        media_items.c.u_id == connection.u_id,
        media_items.c.account_id == connection.account_id,
        media_items.c.backfilled_at >= began.scalar_subquery(),
    )
    return int(db.execute(statement).scalar_one())


def recovered(db: sa.Connection, backfill_ids: Sequence[int]) -> None:
    """Note that nothing of these interrupted backfills is left lying about."""
    chosen = sa.and_(table.c.id.in_(list(backfill_ids)), table.c.status == INTERRUPTED)
    db.execute(sa.update(table).where(chosen).values(status=RECOVERED))


def recent(db: sa.Connection, *, account_key: str | None = None, limit: int = 10) -> list[MediaBackfill]:
    """The newest backfills, newest first."""
    statement = sa.select(*(table.c[name] for name in _FIELDS)).order_by(table.c.started_at.desc(), table.c.id.desc())
    if account_key is not None:
        statement = statement.where(table.c.account_key == account_key)
    return [MediaBackfill(**row._mapping) for row in db.execute(statement.limit(limit))]
