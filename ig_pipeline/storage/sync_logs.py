"""`instagram_sync_logs`: the ledger. One row per cell and run, in the transaction of the rows it speaks of.

What is complete, what is missing and what failed is read from here, whoever filled it: Dagster or the command line.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage import cell_counts
from ig_pipeline.storage.cell_counts import WRITTEN
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.tables import instagram_sync_logs as table
from ig_pipeline.storage.upsert import upsert


@dataclass(frozen=True)
class Entry:
    """One cell in one run. Times are UTC. `actor`: who must act after a failure, `operator`, `owner` or `no_one`."""

    u_id: int
    account_id: str
    account_key: str
    asset: str
    date: date
    run_id: str
    status: str
    rows: int
    calls: int
    absences: Mapping[str, str]
    lacking: Sequence[str]
    error_type: str | None
    error_message: str | None
    actor: str | None
    started_at: datetime
    finished_at: datetime


_FIELDS = tuple(Entry.__dataclass_fields__)


def record(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ledger rows, and count them; the same cell in the same run again replaces its row."""
    upsert(db, table, rows, observed=None)
    cell_counts.add(db, rows)


def last_written(db: sa.Connection, connection: Connection, asset: str, day: date) -> Entry | None:
    """The newest entry of a cell whose rows are in the database."""
    statement = (
        _entries()
        .where(
            table.c.u_id == connection.u_id,
            table.c.account_id == connection.account_id,
            table.c.asset == asset,
            table.c.date == day,
            table.c.status.in_(WRITTEN),
        )
        .order_by(table.c.finished_at.desc(), table.c.id.desc())
        .limit(1)
    )
    row = db.execute(statement).first()
    return Entry(**row._mapping) if row else None


def days_written(
    db: sa.Connection, connection: Connection, asset: str, *, first: date | None = None, last: date | None = None
) -> list[date]:
    """The days of an asset whose rows are in the database, ascending, ends included."""
    conditions = [
        table.c.u_id == connection.u_id,
        table.c.account_id == connection.account_id,
        table.c.asset == asset,
        table.c.status.in_(WRITTEN),
    ]
    if first is not None:
        conditions.append(table.c.date >= first)
    if last is not None:
        conditions.append(table.c.date <= last)
    return list(db.execute(sa.select(table.c.date).where(*conditions).distinct().order_by(table.c.date)).scalars())


def days_standing(db: sa.Connection, connection: Connection, asset: str) -> set[date]:
    """The days of an asset whose newest entry says that they are written."""
    mine = (table.c.u_id == connection.u_id, table.c.account_id == connection.account_id, table.c.asset == asset)
    newest = sa.select(sa.func.max(table.c.id)).where(*mine).group_by(table.c.date)
    statement = sa.select(table.c.date).where(table.c.id.in_(newest), table.c.status.in_(WRITTEN))
    return set(db.execute(statement).scalars())


def days_complete_by_account(db: sa.Connection, asset: str, *, first: date, last: date) -> dict[str, set[date]]:
    """Account key → its days of an asset that were complete once, ends included, in one query."""
    statement = (
        sa.select(table.c.account_key, table.c.date)
        .where(table.c.asset == asset, table.c.status == "complete", table.c.date.between(first, last))
        .distinct()
    )
    complete: dict[str, set[date]] = {}
    for account_key, day in db.execute(statement):
        complete.setdefault(account_key, set()).add(day)
    return complete


def recent_failures(db: sa.Connection, *, account_key: str | None = None, limit: int = 20) -> list[Entry]:
    """The newest failed cells, newest first."""
    statement = _entries().where(table.c.status == "failed")
    if account_key is not None:
        statement = statement.where(table.c.account_key == account_key)
    rows = db.execute(statement.order_by(table.c.finished_at.desc(), table.c.id.desc()).limit(limit))
    return [Entry(**row._mapping) for row in rows]


def attempts(
    db: sa.Connection, connection: Connection, *, first: date, last: date, failed_since: datetime, but: str
) -> dict[tuple[str, date, str], int]:
    """(asset, day, status) → runs in which the cell failed for a moment's reason, or was partial; not the run `but`.

    Failures count from `failed_since` (UTC) on, partial cells always.
    """
    failed = sa.and_(table.c.status == "failed", table.c.is_retryable, table.c.finished_at >= failed_since)
    statement = (
        sa.select(table.c.asset, table.c.date, table.c.status, sa.func.count())
        .where(
            table.c.u_id == connection.u_id,
            table.c.account_id == connection.account_id,
            table.c.date.between(first, last),
            sa.or_(failed, table.c.status == "partial"),
            table.c.run_id != but,
        )
        .group_by(table.c.asset, table.c.date, table.c.status)
    )
    return {(asset, day, status): number for asset, day, status, number in db.execute(statement)}


def newest_of_cells(
    db: sa.Connection, connections: Sequence[Connection], *, assets: Collection[str], first: date, last: date
) -> list[Entry]:
    """The newest entry of each cell of these connections, assets and days; cells never asked for are left out."""
    if not connections:
        return []
    mine = (
        table.c.u_id.in_(sorted({connection.u_id for connection in connections})),
        table.c.account_id.in_(sorted({connection.account_id for connection in connections})),
        table.c.asset.in_(list(assets)),
        table.c.date.between(first, last),
    )
    cell = (table.c.u_id, table.c.account_id, table.c.asset, table.c.date)
    newest = sa.select(sa.func.max(table.c.id)).where(*mine).group_by(*cell)
    return [Entry(**row._mapping) for row in db.execute(_entries().where(table.c.id.in_(newest)))]


def lacks(db: sa.Connection, connection: Connection, *, assets: Collection[str], first: date, last: date) -> bool:
    """Whether the newest entry of one of these cells says that it failed or is partial."""
    mine = (
        table.c.u_id == connection.u_id,
        table.c.account_id == connection.account_id,
        table.c.asset.in_(assets),
        table.c.date.between(first, last),
    )
    newest = sa.select(sa.func.max(table.c.id)).where(*mine).group_by(table.c.asset, table.c.date)
    lacking = sa.select(table.c.id).where(table.c.id.in_(newest), table.c.status.in_(("failed", "partial")))
    return db.execute(lacking.limit(1)).first() is not None


def _entries() -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in _FIELDS))
