"""Instagram's day: twice a year it has 23 or 25 hours, and a window must still hold exactly one bucket."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_pipeline.graph_api.days import (
    bucket_end,
    day_of_bucket,
    day_start,
    days_between,
    history_begins,
    instagram_day,
    last_complete_day,
    oldest_day_with_metrics,
    parse_end_time,
    posts_window,
    series_window,
    total_value_window,
    windows_of,
)

DAYS = st.dates(min_value=date(2012, 1, 1), max_value=date(2035, 12, 31))


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 12, 31), 24), (date(2024, 2, 29), 24)],
)
def test_a_day_has_its_own_number_of_hours(day: date, hours: int) -> None:
    assert bucket_end(day) - day_start(day) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 1, 1, 7, 59, 59, tzinfo=UTC), date(2025, 12, 31)),
        (datetime(2026, 1, 1, 8, 0, tzinfo=UTC), date(2026, 1, 1)),
        (datetime(2026, 7, 1, 6, 59, 59, tzinfo=UTC), date(2026, 6, 30)),
        (datetime(2026, 7, 1, 7, 0, tzinfo=UTC), date(2026, 7, 1)),
        (datetime(2026, 7, 1, 10, 0, tzinfo=ZoneInfo("Asia/Tokyo")), date(2026, 6, 30)),
    ],
)
def test_an_instant_belongs_to_a_pacific_day(instant: datetime, day: date) -> None:
    assert instagram_day(instant) == day


@pytest.mark.parametrize(
    ("end_time", "day"),
    [
        ("2026-04-14T07:00:00+0000", date(2026, 4, 13)),
        ("2026-01-01T08:00:00+0000", date(2025, 12, 31)),
        ("2026-03-09T07:00:00+0000", date(2026, 3, 8)),
        ("2026-11-02T08:00:00+0000", date(2026, 11, 1)),
    ],
)
def test_a_bucket_is_named_by_the_day_it_measured(end_time: str, day: date) -> None:
    assert day_of_bucket(parse_end_time(end_time)) == day
    assert bucket_end(day) == parse_end_time(end_time)


@given(DAYS)
def test_a_day_and_its_bucket_end_are_one_thing(day: date) -> None:
    assert day_of_bucket(bucket_end(day)) == day
    assert instagram_day(day_start(day)) == day


@given(DAYS)
def test_the_window_of_a_day_holds_the_end_of_that_bucket_and_no_other(day: date) -> None:
    since, until = total_value_window(day)
    near = [day + timedelta(days=offset) for offset in range(-3, 4)]
    assert [d for d in near if since <= bucket_end(d).timestamp() <= until] == [day]


@given(DAYS, st.integers(min_value=1, max_value=30))
def test_a_series_window_holds_its_days_and_fits_in_one_call(first: date, count: int) -> None:
    last = first + timedelta(days=count - 1)
    since, until = series_window(first, last)
    near = days_between(first - timedelta(days=3), last + timedelta(days=3))
    assert [d for d in near if since <= bucket_end(d).timestamp() <= until] == days_between(first, last)
    assert until - since <= 2_592_000


@given(DAYS)
def test_the_window_of_posts_is_the_whole_day_and_nothing_else(day: date) -> None:
    since, until = posts_window(day, day)
    assert instagram_day(datetime.fromtimestamp(since, UTC)) == day
    assert instagram_day(datetime.fromtimestamp(until, UTC)) == day
    assert instagram_day(datetime.fromtimestamp(since - 1, UTC)) != day
    assert instagram_day(datetime.fromtimestamp(until + 1, UTC)) != day


@given(DAYS, st.integers(min_value=0, max_value=100))
def test_windows_cover_every_day_once_with_the_newest_first(first: date, more: int) -> None:
    last = first + timedelta(days=more)
    windows = list(windows_of(first, last))
    assert sorted(day for window in windows for day in days_between(*window)) == days_between(first, last)
    assert windows[0][1] == last
    assert all(len(days_between(*window)) <= 30 for window in windows)


def test_yesterday_is_the_newest_complete_day() -> None:
    assert last_complete_day(datetime(2026, 1, 1, 7, 59, tzinfo=UTC)) == date(2025, 12, 30)
    assert last_complete_day(datetime(2026, 1, 1, 8, 0, tzinfo=UTC)) == date(2025, 12, 31)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        instagram_day(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake under test


@pytest.mark.parametrize(
    ("now", "edge", "oldest"),
    [
        # The window of a day begins at midnight UTC after it: at that very second the day before is still had.
        (datetime(2026, 9, 7, 0, 0, tzinfo=UTC), datetime(2024, 9, 7, 0, 0, tzinfo=UTC), date(2024, 9, 6)),
        (datetime(2026, 9, 7, 0, 0, 1, tzinfo=UTC), datetime(2024, 9, 7, 0, 0, 1, tzinfo=UTC), date(2024, 9, 7)),
        (datetime(2026, 9, 7, 23, 59, 59, tzinfo=UTC), datetime(2024, 9, 7, 23, 59, 59, tzinfo=UTC), date(2024, 9, 7)),
        # Calendar years, not 730 days: a leap day lies between these two.
        (datetime(2026, 2, 1, 12, 0, tzinfo=UTC), datetime(2024, 2, 1, 12, 0, tzinfo=UTC), date(2024, 2, 1)),
        (datetime(2028, 2, 29, 12, 0, tzinfo=UTC), datetime(2026, 3, 1, 12, 0, tzinfo=UTC), date(2026, 3, 1)),
        (
            datetime(2026, 11, 20, 9, 0, tzinfo=ZoneInfo("Asia/Tokyo")),
            datetime(2024, 11, 20, tzinfo=UTC),
            date(2024, 11, 19),
        ),
    ],
)
def test_account_insights_go_back_exactly_two_years(now: datetime, edge: datetime, oldest: date) -> None:
    assert history_begins(now) == edge
    assert oldest_day_with_metrics(now) == oldest


@given(st.datetimes(datetime(2014, 1, 1), datetime(2035, 1, 1)))  # noqa: DTZ001 - the zone comes next
def test_the_oldest_day_is_the_first_whose_windows_begin_late_enough(moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    edge, oldest = history_begins(now).timestamp(), oldest_day_with_metrics(now)
    assert total_value_window(oldest)[0] >= edge > total_value_window(oldest - timedelta(days=1))[0]
    assert series_window(oldest, oldest)[0] >= edge


def test_the_edge_of_history_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        oldest_day_with_metrics(datetime(2026, 9, 7))  # noqa: DTZ001 - that is the point
