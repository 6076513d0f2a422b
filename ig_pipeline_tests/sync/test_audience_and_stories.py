"""What is beside the grid: demographics, followers online, stories while they live."""

from datetime import UTC, datetime, time, timedelta

import pytest

from ig_pipeline.graph_api.catalogue import DEMOGRAPHIC_BREAKDOWNS, DEMOGRAPHICS, STORY_METRICS
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.simulator.accounts import LARGEST_GROUPS, demographics
from ig_pipeline.storage import sync_requests, tables
from ig_pipeline.sync.engine import due, open_services, take_snapshots
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = pytest.mark.anyio


async def run(small: SmallWorld, asset: str, keys: list[str]) -> list[AccountDayResult]:
    small.runs.append(f"run-{len(small.runs)}")
    async with open_services(small.settings, clock=small.clock) as services:
        return [result async for result in take_snapshots(services, keys, asset=asset, run_id=small.runs[-1])]


async def test_demographics_are_the_worlds_by_every_breakdown(small: SmallWorld) -> None:
    small.connect("acme.studio")
    (result,) = await run(small, "demographics", ["acme.studio"])
    assert (result.status, result.date, result.absences) == ("complete", small.today, {})
    assert result.calls == small.calls_of("acme.studio") <= 8
    account = small.world.account("acme.studio")
    rows = small.rows(tables.audience_demographics, "acme.studio")
    found = {(row["metric"], row["breakdown"], row["value"]): row["people"] for row in rows}
    truth = {
        (metric, breakdown, group["dimension_values"][0]): group["value"]
        for metric in DEMOGRAPHICS
        for breakdown in DEMOGRAPHIC_BREAKDOWNS
        for group in demographics(account, metric, (breakdown,))
    }
    assert found == truth
    assert len([row for row in rows if row["breakdown"] == "country"]) <= LARGEST_GROUPS * len(DEMOGRAPHICS)


@sqlite_only
async def test_a_snapshot_of_the_audience_and_one_of_a_post_stand_under_the_same_day(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.clock.now = datetime.combine(small.today, time(3), tzinfo=UTC)
    evening = instagram_day(small.clock())
    assert evening == small.clock().date() - timedelta(days=1)
    await small.sync(["acme.studio"], days=10)
    await run(small, "demographics", ["acme.studio"])
    for table in (tables.media_engagement_snapshots, tables.audience_demographics):
        assert {row["observed_on"] for row in small.rows(table, "acme.studio")} == {evening}


@sqlite_only
async def test_an_account_with_too_few_people_is_complete_without_demographics(small: SmallWorld) -> None:
    small.connect("little.letterpress")
    (result,) = await run(small, "demographics", ["little.letterpress"])
    assert (result.status, result.rows) == ("complete", 0)
    assert set(result.absences) == set(DEMOGRAPHICS)
    small.simulator.calls.reset()
    (again,) = await run(small, "demographics", ["little.letterpress"])
    assert again.status == "complete"
    assert small.calls_of("little.letterpress") == 0


async def test_demographics_are_due_once_a_week(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.connect("harbor.bakery")

    def whose_turn() -> list[str]:
        with small.engine.connect() as db:
            return due(db, "demographics", now=small.clock())

    assert whose_turn() == ["acme.studio", "harbor.bakery"]
    await run(small, "demographics", ["acme.studio"])
    small.throttle("harbor.bakery")
    (put_off,) = await run(small, "demographics", ["harbor.bakery"])
    assert put_off.status == "deferred"
    # Its own schedule comes back to it: no request, which would fetch thirty days of the grid.
    with small.engine.connect() as db:
        assert sync_requests.recent(db) == []
    assert whose_turn() == ["harbor.bakery"]
    small.clock.advance(timedelta(days=7))
    assert whose_turn() == ["acme.studio", "harbor.bakery"]


async def test_groups_that_left_the_largest_leave_the_snapshot_of_that_day(small: SmallWorld) -> None:
    connection = small.connect("acme.studio")
    await run(small, "demographics", ["acme.studio"])
    before = small.rows(tables.audience_demographics, "acme.studio")
    stale = {**before[0], "value": "Atlantis", "people": 1}
    del stale["id"]
    with small.engine.begin() as db:
        db.execute(tables.audience_demographics.insert().values(stale))
    small.clock.advance(timedelta(hours=1))
    await run(small, "demographics", ["acme.studio"])
    after = small.rows(tables.audience_demographics, "acme.studio")
    assert {row["value"] for row in after} == {row["value"] for row in before}
    assert connection.account_id == after[0]["account_id"]


async def test_followers_online_are_kept_by_hour(small: SmallWorld) -> None:
    small.connect("acme.studio")
    (result,) = await run(small, "online_followers", ["acme.studio"])
    rows = small.rows(tables.online_followers, "acme.studio")
    days = {row["date"] for row in rows}
    assert result.status == "complete"
    assert result.values["days"] == len(days) > 25
    assert days <= set(small.window(30))
    assert {row["hour"] for row in rows} == set(range(24))
    assert small.calls_of("acme.studio") == 1


@sqlite_only
async def test_below_a_hundred_followers_nobody_is_known_to_be_online(small: SmallWorld) -> None:
    small.connect("little.letterpress")
    (result,) = await run(small, "online_followers", ["little.letterpress"])
    assert (result.status, result.rows) == ("complete", 0)
    assert "100 followers" in result.absences["online_followers"]


async def test_polled_stories_keep_their_last_numbers(small: SmallWorld) -> None:
    small.connect("acme.studio")
    account = small.world.account("acme.studio")
    seen: dict[str, dict[str, int | float]] = {}
    for _ in range(8):
        alive = account.live_stories(small.clock())
        (result,) = await run(small, "stories", ["acme.studio"])
        assert (result.status, result.rows) == ("complete", len(alive))
        seen |= {story.id: {name: story.metric(name, small.clock()) for name in STORY_METRICS} for story in alive}
        small.clock.advance(timedelta(hours=6))
    assert seen
    rows = {row["media_id"]: row for row in small.rows(tables.stories, "acme.studio")}
    assert rows.keys() == seen.keys()
    for media_id, row in rows.items():
        assert row["expires_at"] - row["posted_at"] == timedelta(hours=24)
        if not row["absences"]:
            assert {name: row[name] for name in STORY_METRICS} == seen[media_id]


@sqlite_only
async def test_a_story_with_too_few_viewers_is_kept_with_the_reason(small: SmallWorld) -> None:
    small.connect("little.letterpress")
    absences: set[str] = set()
    for _ in range(12):
        (result,) = await run(small, "stories", ["little.letterpress"])
        assert result.status == "complete"
        absences |= {why for row in small.rows(tables.stories) for why in row["absences"].values()}
        small.clock.advance(timedelta(hours=20))
    assert small.rows(tables.stories)
    assert absences <= {"too_few_viewers", "withheld"}


@sqlite_only
async def test_a_dead_token_is_told_here_as_well(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.revoke("acme.studio")
    (result,) = await run(small, "stories", ["acme.studio"])
    assert result.status == "failed"
    assert small.connection("acme.studio").status == "reconnect_required"


def test_the_stories_table_has_a_column_for_every_metric_of_the_catalogue() -> None:
    assert set(STORY_METRICS) <= set(tables.stories.c.keys())
