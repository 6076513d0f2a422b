"""How the data stands: which days are missing, what cannot be true, which tokens are near their end.

Asset checks and the doctor show these findings. Reads the database, changes nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.storage import sync_logs
from ig_pipeline.storage.connections import CONNECTED, Connection, list_connections
from ig_pipeline.storage.tables import NEGATIVE, is_negative, metadata, user_tokens
from ig_pipeline.sync.judgement import FIRST_BACKFILL_TAKES, NIGHT_IS_OVER
from ig_pipeline.sync.plan import Window, initial_window, missing_days
from ig_pipeline.sync.registry import streams

EXPIRES_SOON = timedelta(days=7)


@dataclass(frozen=True)
class Missing:
    """An account and the days it should have by now, ascending."""

    account_key: str
    days: tuple[date, ...]


@dataclass(frozen=True)
class Expiring:
    """A connected account whose token ends soon, or has ended. UTC. `assumed`: Meta did not say when."""

    account_key: str
    expires_at: datetime
    assumed: bool = False


def missing_by_account(db: sa.Connection, *, now: datetime, days: int, first_day: date) -> list[Missing]:
    """Connected accounts that lack days of their window: the last `days`, the first backfill's beginning at most.

    Reads the ledger of `daily_metrics`: it knows a day without any number from a day never asked for, and one that
    lacks what no rule explains from a complete one.
    """
    today = instagram_day(now - NIGHT_IS_OVER)
    window = initial_window(today, days, first_day=first_day)
    if window is None:
        return []
    complete = sync_logs.days_complete_by_account(db, "daily_metrics", first=window.first, last=window.last)
    found = []
    for connection in list_connections(db, statuses=[CONNECTED]):
        expected = _expected(connection, window, now)
        lacking = missing_days(expected, complete.get(connection.account_key, ())) if expected else []
        if lacking:
            found.append(Missing(connection.account_key, tuple(lacking)))
    return found


def impossible_rows(db: sa.Connection, *, now: datetime) -> list[str]:
    """A sentence for each kind of row that cannot be true: a negative number, a day that has not ended."""
    today = instagram_day(now)
    findings = []
    for stream in streams():
        if not stream.counts:
            continue
        table = metadata.tables[stream.tables[0]]
        below_zero = [table.c[column] < 0 for column in stream.counts]
        wrong = is_negative(table.name) if table.name in NEGATIVE else sa.or_(*below_zero)
        counts = [sa.func.count(sa.case((condition, 1))) for condition in below_zero]
        found = db.execute(sa.select(*counts).select_from(table).where(wrong)).one()
        findings += [
            f"{count} rows of {table.name} have a negative {column}."
            for column, count in zip(stream.counts, found, strict=True)
            if count
        ]
        if count := _of_days_from(db, table, today):
            findings.append(f"{count} rows of {table.name} are of days that have not ended (from {today}).")
    return findings


def expiring_tokens(db: sa.Connection, *, now: datetime, within: timedelta = EXPIRES_SOON) -> list[Expiring]:
    """Connected accounts whose token ends `within`, soonest first."""
    found = []
    for connection in list_connections(db, statuses=[CONNECTED]):
        end = connection.token_end
        if end is not None and end.at is not None and end.within(within, now=now):
            found.append(Expiring(connection.account_key, end.at, end.assumed))
    return sorted(found, key=lambda item: (item.expires_at, item.account_key))


def _expected(connection: Connection, window: Window, now: datetime) -> Window | None:
    """The days this account should have; None while its first backfill may still be running."""
    requested, first = connection.initial_backfill_requested_at, connection.initial_backfill_first
    if now - (requested or connection.connected_at) < FIRST_BACKFILL_TAKES:
        return None
    expected = Window(max(window.first, first) if first else window.first, window.last)
    return expected if expected.first <= expected.last else None


def _of_days_from(db: sa.Connection, table: sa.Table, today: date) -> int:
    """Rows of `today` or later, looked up account by account: that is what the indexes are by."""
    mine = (table.c.u_id == user_tokens.c.u_id, table.c.account_id == user_tokens.c.account_id, table.c.date >= today)
    ahead = sa.select(sa.func.count()).select_from(table).where(*mine).correlate(user_tokens).scalar_subquery()
    return int(db.execute(sa.select(sa.func.coalesce(sa.func.sum(ahead), 0)).select_from(user_tokens)).scalar_one())
