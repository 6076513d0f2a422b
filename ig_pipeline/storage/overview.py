"""A connection and how far it has come, as the front door shows it: last day, first backfill, days that failed.

Read for every status request, so one query without the ledger; the ledger is asked only while a backfill lacks days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import sqlalchemy as sa

from ig_pipeline.storage.connections import CONNECTED, Connection
from ig_pipeline.storage.daily_metrics import MADE_OF, SOURCE, STREAM
from ig_pipeline.storage.sync_requests import LAUNCHED, UNFINISHED
from ig_pipeline.storage.tables import instagram_sync_logs, metrics, sync_requests, user_tokens, users

BackfillState = Literal["queued", "running", "done", "incomplete"]


@dataclass(frozen=True)
class Backfill:
    """The first backfill. `incomplete`: every day was tried, `failed` days need another look.

    `next_try_at` (UTC): when they get it by themselves; None when a person has to ask.
    """

    state: BackfillState
    done: int
    total: int
    failed: int
    first: date | None
    last: date | None
    next_try_at: datetime | None = None

    @property
    def percent(self) -> int:
        """Share of the days that are there, 0 to 100."""
        return 100 * self.done // self.total if self.total else 0


@dataclass(frozen=True)
class Standing:
    """A connection, its newest day with numbers (Instagram's day) and its first backfill."""

    connection: Connection
    last_day: date | None
    backfill: Backfill


_FIELDS = tuple(Connection.__dataclass_fields__)


def standings(
    db: sa.Connection,
    *,
    initial_days: int,
    email: str | None = None,
    account_keys: Sequence[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Standing]:
    """Connections in the order they were made. `initial_days`: length of a backfill nobody has begun yet."""
    columns = [users.c.email if name == "email" else user_tokens.c[name] for name in _FIELDS]
    mine = sa.and_(
        metrics.c.u_id == user_tokens.c.u_id,
        metrics.c.account_id == user_tokens.c.account_id,
        metrics.c.source == SOURCE,
    )
    window = metrics.c.date.between(user_tokens.c.initial_backfill_first, user_tokens.c.initial_backfill_last)
    newest = sa.select(sa.func.max(metrics.c.date)).where(mine).scalar_subquery()
    done = sa.select(sa.func.count()).where(mine, window).scalar_subquery()
    statement = (
        sa.select(*columns, newest.label("newest"), done.label("done"))
        .join_from(user_tokens, users)
        .order_by(user_tokens.c.id)
        .limit(limit)
        .offset(offset)
    )
    if email is not None:
        statement = statement.where(users.c.email == email.strip().lower())
    if account_keys is not None:
        statement = statement.where(user_tokens.c.account_key.in_(list(account_keys)))
    found = []
    for row in db.execute(statement):
        connection = Connection(**{name: row._mapping[name] for name in _FIELDS})
        found.append(Standing(connection, row.newest, _backfill(db, connection, row.done, initial_days)))
    return found


def count(db: sa.Connection) -> int:
    """How many connections there are, whatever their state."""
    return int(db.execute(sa.select(sa.func.count()).select_from(user_tokens)).scalar_one())


def _backfill(db: sa.Connection, connection: Connection, done: int, initial_days: int) -> Backfill:
    first, last = connection.initial_backfill_first, connection.initial_backfill_last
    if connection.initial_backfill_requested_at is None or first is None or last is None:
        return Backfill("queued", 0, initial_days, 0, None, None)
    total = (last - first).days + 1
    if done >= total:
        return Backfill("done", total, total, 0, first, last)
    failed = _failed_days(db, connection, first, last)
    status, at = (_asked_again(db, connection) if done + failed >= total else None) or ("", None)
    if done + failed < total or status == LAUNCHED:
        return Backfill("running", done, total, failed, first, last)
    return Backfill("incomplete", done, total, failed, first, last, at)


def _asked_again(db: sa.Connection, connection: Connection) -> tuple[str, datetime] | None:
    """Status and time of the first request for the account that has no end yet; none is due until it is connected."""
    if connection.status != CONNECTED:
        return None
    mine = sync_requests.c.account_key == connection.account_key, sync_requests.c.kind == "insights"
    unfinished = sync_requests.c.status.in_(UNFINISHED)
    columns = sa.select(sync_requests.c.status, sync_requests.c.not_before)
    found = db.execute(columns.where(*mine, unfinished).order_by(sync_requests.c.not_before).limit(1)).first()
    return (found.status, found.not_before) if found else None


def _failed_days(db: sa.Connection, connection: Connection, first: date, last: date) -> int:
    log = instagram_sync_logs
    there = sa.exists().where(
        metrics.c.u_id == log.c.u_id,
        metrics.c.account_id == log.c.account_id,
        metrics.c.date == log.c.date,
        metrics.c.source == SOURCE,
    )
    statement = sa.select(sa.func.count(log.c.date.distinct())).where(
        log.c.u_id == connection.u_id,
        log.c.account_id == connection.account_id,
        log.c.date.between(first, last),
        log.c.asset.in_((*MADE_OF, STREAM)),  # a media file that could not be had leaves no day without numbers
        log.c.status == "failed",
        ~there,
    )
    return int(db.execute(statement).scalar_one())
