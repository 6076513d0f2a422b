"""Rows of `sync_requests`: the queue of work that is asked for.

A request is queued, then claimed in a batch that one run answers, then done or failed; one that has to be tried again
is queued anew. When which of these happens is decided in `sync.requests`, the only module that writes here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.connections import CONNECTED
from ig_pipeline.storage.tables import sync_requests as table
from ig_pipeline.storage.tables import user_tokens
from ig_pipeline.storage.upsert import insert_unless_there

QUEUED, LAUNCHED, DONE, FAILED = "queued", "launched", "done", "failed"
UNFINISHED = (QUEUED, LAUNCHED)
FIRST_BACKFILL = "first_backfill"
"""`requested_by` of a connection's first backfill."""
BY_A_PERSON = frozenset({"admin"})
"""Values of `requested_by` that stand for a person; the others are the pipeline's own doing."""


@dataclass(frozen=True)
class SyncRequest:
    """Days `first` to `last` (Instagram's, both included) of one account, not before `not_before` (UTC).

    `batch`: the claim that its run carries as a tag, None while it is queued. `attempts`: how often it was claimed.
    `run_id`: None until the run has been seen. `counts`: what a backfill of media files came to, None before its end
    and for other kinds.
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
    batch: str | None
    attempts: int
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
        "attempts": 0,
        "dedupe_key": dedupe,
        "created_at": now,
    }
    if dedupe is None:
        made = db.execute(sa.insert(table).values(values).returning(table.c.id)).scalar_one()
        return _select(db, table.c.id == made)[0]
    while True:
        insert_unless_there(db, table, values)
        # The one that was in the way may be claimed, and give its key back, before we look at it.
        if found := _select(db, table.c.dedupe_key == dedupe):
            return found[0]


def by_id(db: sa.Connection, request_id: int) -> SyncRequest | None:
    """The request with this id, or None."""
    found = _select(db, table.c.id == request_id)
    return found[0] if found else None


def due(
    db: sa.Connection,
    *,
    now: datetime,
    first_backfills: bool | None = None,
    account_keys: Collection[str] | None = None,
    limit: int = 1000,
) -> list[SyncRequest]:
    """Queued requests whose time has come, oldest first: of first backfills, of everything else, or (None) of both.

    What the pipeline has asked for itself waits while its account is not connected.
    """
    connected = sa.exists().where(user_tokens.c.account_key == table.c.account_key, user_tokens.c.status == CONNECTED)
    conditions = [table.c.status == QUEUED, table.c.not_before <= now, *_first(first_backfills)]
    if account_keys is not None:
        conditions.append(table.c.account_key.in_(list(account_keys)))
    return _select(db, *conditions, sa.or_(table.c.requested_by.in_(BY_A_PERSON), connected), limit=limit)


def without_first_backfill(db: sa.Connection) -> list[str]:
    """Account keys of connected accounts whose first backfill was never asked for."""
    asked = sa.exists().where(table.c.account_key == user_tokens.c.account_key, table.c.requested_by == FIRST_BACKFILL)
    statement = sa.select(user_tokens.c.account_key).where(
        user_tokens.c.status == CONNECTED, user_tokens.c.initial_backfill_requested_at.is_(None), ~asked
    )
    return list(db.execute(statement.order_by(user_tokens.c.id)).scalars())


def unfinished_of(
    db: sa.Connection, account_key: str, *, kind: str, requested_by: str | None = None
) -> list[SyncRequest]:
    """Requests of one account that have no end yet, due or not, oldest first; of `requested_by` alone when given."""
    conditions = [table.c.account_key == account_key, table.c.kind == kind, table.c.status.in_(UNFINISHED)]
    if requested_by is not None:
        conditions.append(table.c.requested_by == requested_by)
    return _select(db, *conditions)


def launched(db: sa.Connection, *, first_backfills: bool | None = None) -> list[SyncRequest]:
    """Requests that are claimed and whose run's end is not known yet, oldest first; which, as in `due`."""
    return _select(db, table.c.status == LAUNCHED, *_first(first_backfills))


def recent(db: sa.Connection, *, limit: int = 20) -> list[SyncRequest]:
    """The newest requests, newest first."""
    return _select(db, order=table.c.id.desc(), limit=limit)


def claim(
    db: sa.Connection, request_ids: Collection[int], *, batch: str, first: date, last: date, now: datetime
) -> list[int]:
    """Queued → launched, as parts of `batch`, whose run covers `first` to `last`; the ids of those that still were.

    From now on the same may be asked for again: whoever does means another time.
    """
    return _update(
        db,
        table.c.id.in_(list(request_ids)),
        table.c.status == QUEUED,
        status=LAUNCHED,
        batch=batch,
        first=first,
        last=last,
        attempts=table.c.attempts + 1,
        launched_at=now,
        run_id=None,
        counts=None,
        detail=None,
        dedupe_key=None,
    )


def note_run(db: sa.Connection, batch: str, *, run_id: str) -> None:
    """The run of a batch exists."""
    _update(db, table.c.batch == batch, table.c.status == LAUNCHED, run_id=run_id)


def queue_again(db: sa.Connection, request_id: int, *, not_before: datetime, detail: str) -> None:
    """Unfinished → queued, for another attempt; `detail`: why there has to be one."""
    _update(
        db,
        table.c.id == request_id,
        table.c.status.in_(UNFINISHED),
        status=QUEUED,
        batch=None,
        not_before=not_before,
        detail=detail,
    )


def end(
    db: sa.Connection,
    request_ids: Collection[int],
    *,
    status: str,
    now: datetime,
    detail: str | None = None,
    run_id: str | None = None,
) -> list[int]:
    """Unfinished → `DONE` or `FAILED`, the latter with a sentence; the ids of those whose end was not known yet."""
    told = {name: value for name, value in (("run_id", run_id), ("detail", detail)) if value is not None}
    mine = table.c.id.in_(list(request_ids)), table.c.status.in_(UNFINISHED)
    return _update(db, *mine, status=status, ended_at=now, dedupe_key=None, **told)


def note_counts(
    db: sa.Connection, batch: str, account_key: str, *, counts: Mapping[str, int], detail: str | None
) -> list[SyncRequest]:
    """Keep what a batch's run brought for those of its requests that are the account's; these requests."""
    mine = table.c.batch == batch, table.c.account_key == account_key
    _update(db, *mine, counts=dict(counts), **({"detail": detail} if detail else {}))
    return _select(db, *mine)


def prune(db: sa.Connection, *, before: datetime) -> int:
    """Delete the requests that ended before `before` (UTC); how many."""
    ended = table.c.status.in_((DONE, FAILED)), table.c.ended_at < before
    return db.execute(sa.delete(table).where(*ended)).rowcount


def _first(first_backfills: bool | None) -> list[sa.ColumnElement[bool]]:
    if first_backfills is None:
        return []
    by = table.c.requested_by
    return [by == FIRST_BACKFILL if first_backfills else by != FIRST_BACKFILL]


def _update(db: sa.Connection, *conditions: sa.ColumnElement[bool], **values: object) -> list[int]:
    statement = sa.update(table).where(*conditions).values(**values).returning(table.c.id)
    return sorted(db.execute(statement).scalars())


def _select(
    db: sa.Connection,
    *conditions: sa.ColumnElement[bool],
    order: sa.ColumnElement[Any] | None = None,
    limit: int | None = None,
) -> list[SyncRequest]:
    columns = [table.c[name] for name in _FIELDS]
    statement = sa.select(*columns).where(*conditions).order_by(table.c.id if order is None else order).limit(limit)
    return [SyncRequest(**row._mapping) for row in db.execute(statement)]
