"""`sync_requests`: work asked for from outside Dagster, once each.

Whoever asks writes a row in the transaction that answers its caller; Dagster's sensor turns due rows into runs.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import sync_requests as table
from ig_pipeline.storage.upsert import insert_unless_there

QUEUED, LAUNCHED, DONE, FAILED = "queued", "launched", "done", "failed"
UNFINISHED = (QUEUED, LAUNCHED)
BY_A_PERSON = frozenset({"admin"})
"""Values of `requested_by` that stand for a person; the others are the pipeline's own doing."""


@dataclass(frozen=True)
class SyncRequest:
    """Days `first` to `last` (Instagram's, both included) of one account, not before `not_before` (UTC).

    `counts`: what a backfill of media files came to, None before its end and for other kinds.
    """

    id: int
    kind: str
    account_key: str
    first: date
    last: date
    requested_by: str
    reason: str
    options: Mapping[str, Any]
    counts: Mapping[str, int] | None
    not_before: datetime
    status: str
    run_id: str | None
    created_at: datetime
    launched_at: datetime | None
    detail: str | None


_FIELDS = tuple(SyncRequest.__dataclass_fields__)


def enqueue(
    db: sa.Connection,
    *,
    kind: str,
    account_key: str,
    first: date,
    last: date,
    requested_by: str,
    reason: str,
    options: Mapping[str, Any] | None = None,
    not_before: datetime | None = None,
    dedupe: str | None = None,
    now: datetime,
) -> SyncRequest:
    """Add a request; while one with the same `dedupe` is queued, that one is returned instead."""
    values = {
        "kind": kind,
        "account_key": account_key,
        "first": first,
        "last": last,
        "requested_by": requested_by,
        "reason": reason,
        "options": dict(options or {}),
        "not_before": not_before or now,
        "status": QUEUED,
        "dedupe_key": dedupe,
        "created_at": now,
    }
    if dedupe is None:
        made = db.execute(sa.insert(table).values(values).returning(table.c.id)).scalar_one()
        return _select(db, table.c.id == made)[0]
    while True:
        insert_unless_there(db, table, values)
        # The one that was in the way may be launched, and give its key back, before we look at it.
        if found := _select(db, table.c.dedupe_key == dedupe):
            return found[0]


def by_id(db: sa.Connection, request_id: int) -> SyncRequest | None:
    """The request with this id, or None."""
    found = _select(db, table.c.id == request_id)
    return found[0] if found else None


def due(db: sa.Connection, *, now: datetime, limit: int = 1000) -> list[SyncRequest]:
    """Queued requests whose time has come, oldest first."""
    return _select(db, table.c.status == QUEUED, table.c.not_before <= now, limit=limit)


def queued_for(db: sa.Connection, account_key: str, *, requested_by: str) -> list[SyncRequest]:
    """Queued requests of one account that `requested_by` made, due or not, oldest first."""
    mine = table.c.account_key == account_key, table.c.requested_by == requested_by
    return _select(db, table.c.status == QUEUED, *mine)


def asked_since(db: sa.Connection, account_key: str, *, kind: str, since: datetime) -> list[SyncRequest]:
    """Requests of one account that were made at `since` (UTC) or later, whatever became of them, oldest first."""
    return _select(db, table.c.account_key == account_key, table.c.kind == kind, table.c.created_at >= since)


def waiting(db: sa.Connection) -> int:
    """How many requests are queued, due or not."""
    return int(db.execute(sa.select(sa.func.count()).where(table.c.status == QUEUED)).scalar_one())


def launched(db: sa.Connection) -> list[SyncRequest]:
    """Requests that have become a run whose end is not known yet."""
    return _select(db, table.c.status == LAUNCHED)


def recent(db: sa.Connection, *, kind: str | None = None, limit: int = 20) -> list[SyncRequest]:
    """The newest requests, newest first."""
    conditions = [table.c.kind == kind] if kind else []
    return _select(db, *conditions, order=table.c.id.desc(), limit=limit)


def mark_launched(db: sa.Connection, request_id: int, *, run_id: str | None, now: datetime) -> bool:
    """Queued → launched; False if somebody else was first."""
    return _move(db, request_id, frm=(QUEUED,), to=LAUNCHED, run_id=run_id, launched_at=now)


def mark_done(db: sa.Connection, request_id: int, *, run_id: str | None = None, detail: str | None = None) -> bool:
    """The work is finished. False if it was already."""
    told = {name: value for name, value in (("run_id", run_id), ("detail", detail)) if value is not None}
    return _move(db, request_id, frm=UNFINISHED, to=DONE, **told)


def mark_failed(db: sa.Connection, request_id: int, *, detail: str, run_id: str | None = None) -> bool:
    """The work failed, with a sentence for whoever asked. False if its end was known already."""
    told = {"run_id": run_id} if run_id else {}
    return _move(db, request_id, frm=UNFINISHED, to=FAILED, detail=detail, **told)


def note_counts(
    db: sa.Connection, request_ids: Collection[int], account_key: str, *, counts: Mapping[str, int], detail: str | None
) -> list[int]:
    """Keep what a run brought for those of the requests that are the account's; their ids."""
    mine = sa.and_(table.c.id.in_(list(request_ids)), table.c.account_key == account_key)
    values = {"counts": dict(counts), **({"detail": detail} if detail else {})}
    return list(db.execute(sa.update(table).where(mine).values(values).returning(table.c.id)).scalars())


def _move(db: sa.Connection, request_id: int, *, frm: tuple[str, ...], to: str, **values: object) -> bool:
    # Whoever asks for the same again after this means another time.
    values["dedupe_key"] = None
    result = db.execute(
        sa.update(table).where(table.c.id == request_id, table.c.status.in_(frm)).values(status=to, **values)
    )
    return result.rowcount == 1


def _select(
    db: sa.Connection,
    *conditions: sa.ColumnElement[bool],
    order: sa.ColumnElement[Any] | None = None,
    limit: int | None = None,
) -> list[SyncRequest]:
    columns = [table.c[name] for name in _FIELDS]
    statement = sa.select(*columns).where(*conditions).order_by(table.c.id if order is None else order).limit(limit)
    return [SyncRequest(**row._mapping) for row in db.execute(statement)]
