"""The chart's rows: thirty points, whatever is missing."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import sqlalchemy as sa

from ig_pipeline.storage import daily_metrics, timeline
from ig_pipeline.storage.connections import user_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = date(2026, 11, 19)
FIRST = LAST - timedelta(days=29)


def day_of(u_id: int, account_id: str, day: date, reach: int | None, engagement: int) -> dict[str, object]:
    return {
        "u_id": u_id,
        "account_id": account_id,
        "date": day,
        "source": "instagram",
        "reach": reach,
        "engagement": engagement,
        "observed_at": NOW,
    }


def test_every_day_has_a_row_and_a_missing_one_is_null(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=NOW)
    daily_metrics.save(db, [day_of(u_id, "1", LAST, 7, 3), day_of(u_id, "1", LAST - timedelta(days=31), 9, 9)])
    frame = timeline.account_timeline(db, u_id, "1", first=FIRST, last=LAST)
    assert len(frame) == 30
    assert frame.iloc[-1].to_dict() == {"date": LAST, "reach": 7, "engagement": 3}
    assert frame["reach"].isna().sum() == 29


def test_an_account_without_history_has_thirty_empty_points(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=NOW)
    frame = timeline.account_timeline(db, u_id, "1", first=FIRST, last=LAST)
    assert frame["engagement"].isna().sum() == len(frame) == 30


def test_the_total_adds_accounts_and_leaves_a_day_nobody_has_missing(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=NOW)
    before = LAST - timedelta(days=1)
    daily_metrics.save(
        db,
        [day_of(u_id, "1", LAST, 7, 3), day_of(u_id, "2", LAST, None, 4), day_of(u_id, "2", before, 5, 0)],
    )
    frames = timeline.by_account(db, u_id, ["1", "2"], first=before - timedelta(days=1), last=LAST)
    total = timeline.total(list(frames.values()))
    assert total["reach"].tolist() == [pd.NA, 5, 7]
    assert total["engagement"].tolist()[1:] == [0, 7]
