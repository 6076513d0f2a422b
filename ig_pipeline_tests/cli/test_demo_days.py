"""What the demo waits for."""

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.cli.demo import days_wanted
from ig_pipeline.storage.connections import Connection, by_id, connect, mark_initial_backfill_requested
from ig_pipeline.sync.plan import Window

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
PLANNED = Window(date(2026, 10, 21), date(2026, 11, 19))
A_DAY_LATER = Window(date(2026, 10, 22), date(2026, 11, 20))


def connected(db: sa.Connection) -> Connection:
    return connect(
        db,
        email="a@b.example",
        login="facebook",
        account_id="17",
        username="ana",
        encrypt=str,
        expires_at=None,
        scopes="",
        now=NOW,
    )


def ask(db: sa.Connection, connection: Connection, window: Window) -> None:
    mark_initial_backfill_requested(db, connection.id, first=window.first, last=window.last, now=NOW)


def test_days_that_dagster_asked_for_after_midnight_are_waited_for_instead_of_those_planned(db: sa.Connection) -> None:
    ana = connected(db)
    assert days_wanted(db, ana, PLANNED) == PLANNED
    ask(db, ana, A_DAY_LATER)
    assert days_wanted(db, ana, PLANNED) == A_DAY_LATER


def test_a_demo_that_carries_on_waits_for_the_days_of_today(db: sa.Connection) -> None:
    ana = connected(db)
    ask(db, ana, Window(PLANNED.first - timedelta(days=9), PLANNED.last - timedelta(days=9)))
    assert days_wanted(db, by_id(db, ana.id), PLANNED) == PLANNED
