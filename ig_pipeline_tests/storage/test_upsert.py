"""Writes that may be repeated, and never let an older observation win."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ig_pipeline.storage import daily_metrics, insights, media
from ig_pipeline.storage.connections import user_of
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.tables import instagram_insights, media_engagement_snapshots, metrics
from ig_pipeline.storage.upsert import WriteMismatchError, Written, upsert
from ig_pipeline_tests.storage.side_by_side import at_once

DAY = date(2026, 11, 19)
SEEN = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
ACCOUNT = "17841400000000001"


def metric_row(u_id: int, reach: int | None, seen: datetime = SEEN, day: date = DAY) -> dict[str, object]:
    return {
        "u_id": u_id,
        "account_id": ACCOUNT,
        "date": day,
        "source": "instagram",
        "reach": reach,
        "engagement": 1,
        "observed_at": seen,
    }


def insight_row(u_id: int, metric: str, value: int, seen: datetime) -> dict[str, object]:
    return {
        "u_id": u_id,
        "account_id": ACCOUNT,
        "metric": metric,
        "end_time": SEEN,
        "date": DAY,
        "metric_type": "total_value",
        "value": value,
        "observed_at": seen,
    }


def post_row(u_id: int, media_id: str, likes: int, seen: datetime) -> dict[str, object]:
    return {
        "u_id": u_id,
        "account_id": ACCOUNT,
        "media_id": media_id,
        "date": DAY,
        "posted_at": SEEN - timedelta(days=1),
        "media_type": "IMAGE",
        "media_product_type": "FEED",
        "permalink": None,
        "caption": None,
        **dict.fromkeys(("comments_count", "saved", "reach", "views", "shares", "total_interactions"), 0),
        "like_count": likes,
        "engagement": likes,
        "absences": {},
        "observed_at": seen,
    }


def reaches(db: sa.Connection) -> list[int | None]:
    return list(db.execute(sa.select(metrics.c.reach).order_by(metrics.c.date)).scalars())


def test_the_same_rows_again_leave_the_same_rows_and_no_others(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=SEEN)
    rows = [metric_row(u_id, n, day=DAY - timedelta(days=n)) for n in range(30)]
    assert daily_metrics.save(db, rows) == Written(30, 30, 0)
    assert daily_metrics.save(db, rows) == Written(30, 30, 0)
    assert len(reaches(db)) == 30


def test_an_older_observation_never_overwrites_a_newer_one(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=SEEN)
    daily_metrics.save(db, [metric_row(u_id, 2)])
    assert daily_metrics.save(db, [metric_row(u_id, 1, SEEN - timedelta(microseconds=1))]) == Written(1, 0, 1)
    assert reaches(db) == [2]


def test_a_newer_observation_replaces_an_older_one_nulls_included(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=SEEN)
    daily_metrics.save(db, [metric_row(u_id, 2)])
    daily_metrics.save(db, [metric_row(u_id, None, SEEN + timedelta(seconds=1))])
    assert reaches(db) == [None]


def test_rows_that_the_database_did_not_write_are_an_error(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=SEEN)
    unwanted = {"sqlite": "select raise(ignore)", "postgresql": None}[db.dialect.name]
    if unwanted:
        db.execute(sa.text(f"create trigger swallow before insert on metrics begin {unwanted}; end"))
    else:
        db.execute(sa.text("create function swallow() returns trigger language plpgsql as 'begin return null; end'"))
        db.execute(sa.text("create trigger swallow before insert on metrics for each row execute function swallow()"))
    with pytest.raises(WriteMismatchError, match="sent 1 rows, the database wrote 0"):
        daily_metrics.save(db, [metric_row(u_id, 2)])


def test_more_rows_than_a_statement_can_carry_are_all_written(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=SEEN)
    rows = [insight_row(u_id, f"m{number}", 2**40, SEEN) for number in range(4200)]
    assert insights.save(db, rows) == Written(4200, 4200, 0)
    assert insights.values_of(db, u_id, ACCOUNT, DAY)["m4199"] == 2**40


def test_a_post_keeps_its_latest_numbers_and_a_snapshot_of_every_day(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=SEEN)
    for days, likes in ((0, 3), (1, 5), (1, 6)):
        row = post_row(u_id, "1", likes, SEEN + timedelta(days=days))
        media.save_posts(db, [row], observed_on=DAY + timedelta(days=days))
    assert [row["like_count"] for row in media.posts_of(db, u_id, ACCOUNT, DAY)] == [6]
    snapshots = media_engagement_snapshots
    assert list(db.execute(sa.select(snapshots.c.like_count).order_by(snapshots.c.observed_on)).scalars()) == [3, 6]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 99)), min_size=1, max_size=12))
def test_in_whatever_order_observations_arrive_the_newest_stands(
    database: sa.Engine, observations: list[tuple[int, int, int]]
) -> None:
    """Cells, instants and values at random; the value of an instant is made unique so that the newest is one."""
    with database.connect() as db:
        u_id = user_of(db, "a@b.example", now=SEEN)
        truth: dict[date, tuple[datetime, int]] = {}
        for cell, instant, value in observations:
            day, seen = DAY - timedelta(days=cell), SEEN + timedelta(hours=instant)
            daily_metrics.save(db, [metric_row(u_id, value, seen, day)])
            if day not in truth or seen >= truth[day][0]:
                truth[day] = (seen, value)
        assert reaches(db) == [truth[day][1] for day in sorted(truth)]
        db.rollback()


def test_two_writers_of_the_same_cells_end_in_the_same_rows(database: sa.Engine) -> None:
    with database.begin() as db:
        u_id = user_of(db, "a@b.example", now=SEEN)

    def write(value: int, seen: datetime) -> None:
        for offset in range(20):
            with database.begin() as db:
                daily_metrics.save(db, [metric_row(u_id, value, seen, DAY - timedelta(days=offset))])

    at_once(*(partial(write, value, SEEN + timedelta(seconds=value)) for value in (1, 2, 3)))
    with database.connect() as db:
        assert reaches(db) == [3] * 20


def test_a_row_that_comes_twice_is_written_once_with_its_newest_observation(db: sa.Connection) -> None:
    u_id = user_of(db, "a@b.example", now=SEEN)
    later = SEEN + timedelta(seconds=1)
    sent = [metric_row(u_id, 1, later), metric_row(u_id, 2), metric_row(u_id, 3, later)]
    assert daily_metrics.save(db, sent) == Written(1, 1, 0)
    assert reaches(db) == [3]


def test_writers_that_come_from_opposite_ends_do_not_deadlock(database: sa.Engine) -> None:
    with database.begin() as db:
        u_id = user_of(db, "a@b.example", now=SEEN)
    rows = [metric_row(u_id, number, day=DAY - timedelta(days=number)) for number in range(200)]

    def write(these: list[dict[str, object]]) -> None:
        for _ in range(15):
            with database.begin() as db:
                assert daily_metrics.save(db, these) == Written(200, 200, 0)

    at_once(lambda: write(rows), lambda: write(rows[::-1]))
    with reading(database) as db:
        assert reaches(db) == list(range(199, -1, -1))


def test_two_roll_outs_of_one_account_day_end_in_the_newer_one_whole(database: sa.Engine) -> None:
    """Insights, posts, snapshots and the ledger of a day in one transaction each, by an older and a newer run."""
    with database.begin() as db:
        u_id = user_of(db, "a@b.example", now=SEEN)

    def fill(run: str, likes: int, seen: datetime) -> None:
        for _ in range(10):
            with database.begin() as db:
                insights.save(db, [insight_row(u_id, f"m{number}", likes, seen) for number in range(14)])
                media.save_posts(
                    db, [post_row(u_id, str(number), likes, seen) for number in range(5)], observed_on=seen.date()
                )
                daily_metrics.save(db, [metric_row(u_id, likes, seen)])

    at_once(lambda: fill("older", 1, SEEN), lambda: fill("newer", 2, SEEN + timedelta(seconds=1)))
    with reading(database) as db:
        assert set(insights.values_of(db, u_id, ACCOUNT, DAY).values()) == {2}
        assert {row["like_count"] for row in media.posts_of(db, u_id, ACCOUNT, DAY)} == {2}
        assert reaches(db) == [2]
        assert {row.like_count for row in db.execute(sa.select(media_engagement_snapshots))} == {2}


def test_an_empty_write_is_no_statement_at_all(db: sa.Connection) -> None:
    assert upsert(db, instagram_insights, []) == Written(0, 0, 0)
