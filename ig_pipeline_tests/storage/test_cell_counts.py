"""The ledger's sums: always what the ledger adds up to, whoever writes it and whenever they were begun."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import command

from ig_pipeline.storage import cell_counts, sync_logs
from ig_pipeline.storage.cell_counts import CellCount
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import _alembic, _migrating, migrate
from ig_pipeline.storage.tables import metadata
from ig_pipeline_tests.storage.side_by_side import at_once
from ig_pipeline_tests.storage.test_connections import connect

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def entry(one: Connection, *, day: int, status: str = "complete", rows: int = 3, hours: int = 0) -> dict[str, Any]:
    return {
        "u_id": one.u_id,
        "account_id": one.account_id,
        "account_key": one.account_key,
        "asset": "daily_metrics",
        "date": date(2026, 11, day),
        "run_id": "a-run",
        "status": status,
        "rows": rows,
        "calls": 1,
        "absences": {},
        "lacking": [],
        "is_retryable": False,
        "error_type": None,
        "error_message": None,
        "started_at": NOW,
        "finished_at": NOW + timedelta(hours=hours),
    }


def test_what_is_recorded_is_counted_by_asset_and_outcome(db: sa.Connection) -> None:
    one, other = connect(db), connect(db, email="c@d.example", account_id="17841400000000002", username="other")
    sync_logs.record(db, [entry(one, day=1), entry(one, day=2, hours=2), entry(other, day=1, hours=1)])
    sync_logs.record(db, [entry(one, day=3, status="failed", rows=0, hours=9)])
    sync_logs.record(db, [])
    assert cell_counts.totals(db) == [
        CellCount("daily_metrics", "complete", 3, 9),
        CellCount("daily_metrics", "failed", 1, 0),
    ]
    # A failed cell is no sign of life, and an older one takes nothing back.
    sync_logs.record(db, [entry(one, day=4, hours=1)])
    assert cell_counts.last_written(db) == {
        "acme.studio": NOW + timedelta(hours=2),
        "other": NOW + timedelta(hours=1),
    }
    assert cell_counts.last_written(db, "daily_metrics") == cell_counts.last_written(db)
    assert cell_counts.last_written(db, "demographics") == {}


def test_writers_of_one_account_at_once_are_all_counted(database: sa.Engine) -> None:
    with database.begin() as db:
        one = connect(db)

    def write(day: int) -> None:
        with database.begin() as db:
            sync_logs.record(db, [entry(one, day=day)])

    at_once(*(lambda day=day: write(day) for day in range(1, 13)))
    with database.connect() as db:
        assert cell_counts.totals(db) == [CellCount("daily_metrics", "complete", 12, 36)]


def test_a_ledger_from_before_the_counts_is_counted_when_its_database_is_brought_up_to_date(
    database: sa.Engine,
) -> None:
    with database.begin() as db:
        one = connect(db)
        sync_logs.record(db, [entry(one, day=day, hours=day) for day in range(1, 5)])
        sync_logs.record(db, [entry(one, day=9, status="failed", rows=0)])
        counted = db.execute(sa.select(metadata.tables["cell_counts"]).order_by("status")).all()
    with _migrating(database) as db:
        command.downgrade(_alembic(db), "0006")
    migrate(database)
    with database.connect() as db:
        again = db.execute(sa.select(metadata.tables["cell_counts"]).order_by("status")).all()
    assert [row[1:] for row in again] == [row[1:] for row in counted]
