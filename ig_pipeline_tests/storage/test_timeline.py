"""The chart's rows: thirty points, whatever is missing."""

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.storage import daily_metrics
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.day_rows import DayRow, day_rows, total
from ig_pipeline_tests.storage.test_connections import connect

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = date(2026, 11, 19)
FIRST = LAST - timedelta(days=29)


def day_of(connection: Connection, day: date, reach: int | None, engagement: int) -> dict[str, object]:
    return {
        "u_id": connection.u_id,
        "account_id": connection.account_id,
        "date": day,
        "source": "instagram",
        "reach": reach,
        "engagement": engagement,
        "observed_at": NOW,
    }


def test_every_day_has_a_row_and_a_missing_one_is_null(db: sa.Connection) -> None:
    one = connect(db)
    daily_metrics.save(db, [day_of(one, LAST, 7, 3), day_of(one, LAST - timedelta(days=31), 9, 9)])
    rows = day_rows(db, [one], first=FIRST, last=LAST)[one.id]
    assert [row.date for row in rows] == [FIRST + timedelta(days=n) for n in range(30)]
    assert rows[-1] == DayRow(LAST, 7, 3)
    assert sum(row.reach is None for row in rows) == 29


def test_an_account_without_history_has_thirty_empty_points(db: sa.Connection) -> None:
    one = connect(db)
    rows = day_rows(db, [one], first=FIRST, last=LAST)[one.id]
    assert [row.engagement for row in rows] == [None] * 30


def test_the_total_adds_accounts_and_leaves_a_day_nobody_has_missing(db: sa.Connection) -> None:
    one, other = connect(db), connect(db, account_id="17841400000000002", username="other")
    before = LAST - timedelta(days=1)
    daily_metrics.save(db, [day_of(one, LAST, 7, 3), day_of(other, LAST, None, 4), day_of(other, before, 5, 0)])
    rows = day_rows(db, [one, other], first=before - timedelta(days=1), last=LAST)
    both = total(list(rows.values()))
    assert [row.reach for row in both] == [None, 5, 7]
    assert [row.engagement for row in both] == [None, 0, 7]
