"""Days of 23 and 25 hours, New Year, an office in Tokyo, a clock off by a day: the same rows, the world's truth."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline.graph_api.days import bucket_end, day_start
from ig_pipeline.storage import tables
from ig_pipeline_tests.sync.harness import SmallWorld, small_world, sqlite_only

pytestmark = pytest.mark.anyio

SPRING, AUTUMN = date(2026, 3, 8), date(2026, 11, 1)


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that lives in Tokyo."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def filled_with_the_truth(small: SmallWorld, days: list[date]) -> None:
    small.connect("acme.studio")
    results = await small.sync(["acme.studio"], days=days)
    assert {result.status for result in results} == {"complete"}
    assert small.daily("acme.studio") == small.truth("acme.studio", days)
    account = small.world.account("acme.studio")
    posts = {row["media_id"]: row["date"] for row in small.rows(tables.media_engagement)}
    assert posts == {post.id: day for day in days for post in account.posts_on(day)}


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 3, 20, 21, tzinfo=UTC), {SPRING: 23}),
        (datetime(2026, 11, 15, 21, tzinfo=UTC), {AUTUMN: 25}),
        (datetime(2027, 1, 10, 21, tzinfo=UTC), {date(2026, 12, 31): 24, date(2027, 1, 1): 24}),
        (datetime(2028, 3, 10, 21, tzinfo=UTC), {date(2028, 2, 29): 24}),
    ],
    ids=["spring", "autumn", "new year", "leap day"],
)
async def test_odd_days_measure_what_the_world_measured(
    database_url: SecretStr, tmp_path: Path, now: datetime, hours: dict[date, int]
) -> None:
    with small_world(database_url, tmp_path, now=now) as small:
        days = small.window()
        assert set(hours) <= set(days)
        assert {day: (bucket_end(day) - day_start(day)) // timedelta(hours=1) for day in hours} == hours
        await filled_with_the_truth(small, days)


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 11, 20, 8, 5, tzinfo=UTC),  # 00:05 in Los Angeles
        datetime(2026, 11, 20, 7, 55, tzinfo=UTC),  # 23:55 the evening before
    ],
)
async def test_an_office_in_tokyo_writes_the_same_rows(
    database_url: SecretStr, tmp_path: Path, tokyo: None, now: datetime
) -> None:
    with small_world(database_url, tmp_path, now=now) as small:
        await filled_with_the_truth(small, small.window(5))


@sqlite_only
@pytest.mark.parametrize("off_by", [timedelta(days=1), timedelta(days=-1)], ids=["ahead", "behind"])
async def test_a_clock_off_by_a_day_heals_with_the_nightly_window(small: SmallWorld, off_by: timedelta) -> None:
    right = small.clock()
    small.connect("acme.studio")
    small.simulator.simulation.clock.offset = -off_by
    small.clock.advance(off_by)
    results = await small.sync(["acme.studio"])
    assert {result.status for result in results} == {"complete"}
    assert small.daily("acme.studio") == small.truth("acme.studio", small.window(), at=right)
    # Two nights later, the clock set right, the trailing window has replaced what was asked too early.
    small.simulator.simulation.clock.offset = timedelta()
    for night in (1, 2):
        small.clock.now = right + timedelta(days=night)
        await small.sync(["acme.studio"], days=3)
    assert small.daily("acme.studio").items() >= small.truth("acme.studio", small.window(5)).items()


@sqlite_only
async def test_the_initial_window_touches_the_edge_of_the_thirty_days_the_api_keeps(small: SmallWorld) -> None:
    small.connect("acme.studio")
    # One minute to midnight in Los Angeles: the oldest day leaves Meta's window while the run is under way.
    small.clock.now = day_start(small.today + timedelta(days=1)) - timedelta(minutes=1)
    days = small.window()
    results = await small.sync(["acme.studio"])
    assert {result.status for result in results} == {"complete"}
    followers = [row["date"] for row in small.rows(tables.instagram_insights) if row["metric"] == "follower_count"]
    assert sorted(followers) == days
