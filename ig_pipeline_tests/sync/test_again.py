"""The same cells once more: later, twice at once, with older and newer numbers."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import DEFAULT_SERIES, DEFAULT_TOTALS
from ig_pipeline.graph_api.days import days_between, oldest_day_with_metrics
from ig_pipeline.storage import tables
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = pytest.mark.anyio

RESULTS = (tables.instagram_insights, tables.media_engagement, tables.media_engagement_snapshots, tables.metrics)


def contents(small: SmallWorld, key: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of all result tables without what differs from run to run."""

    def stripped(table: sa.Table) -> list[dict[str, Any]]:
        rows = [{k: v for k, v in row.items() if k not in ("id", "observed_at")} for row in small.rows(table, key)]
        return sorted(rows, key=repr)

    return {table.name: stripped(table) for table in RESULTS}


async def test_the_same_range_again_writes_the_same_rows_and_no_others(small: SmallWorld) -> None:
    small.connect("acme.studio")
    await small.sync(["acme.studio"], days=10)
    before = contents(small, "acme.studio")
    small.clock.advance(timedelta(hours=1))
    await small.sync(["acme.studio"], days=10)
    assert contents(small, "acme.studio") == before


async def test_two_runs_over_the_same_cells_at_once_end_in_the_same_rows(small: SmallWorld) -> None:
    keys = small.connect_all()[:2]
    first, second = await asyncio.gather(small.sync(keys, days=5, run_id="one"), small.sync(keys, days=5, run_id="two"))
    assert {result.status for result in (*first, *second)} == {"complete"}
    for key in keys:
        both = contents(small, key)
        assert small.daily(key) == small.truth(key, small.window(5))
        await small.sync([key], days=5)
        assert contents(small, key) == both


async def test_the_nightly_window_replaces_provisional_numbers_by_settled_ones(small: SmallWorld) -> None:
    small.connect("acme.studio")
    yesterday = small.window(1)[0]
    await small.sync(["acme.studio"], days=[yesterday])
    provisional = small.daily("acme.studio")[yesterday]
    for _ in range(2):
        small.clock.advance(timedelta(days=1))
        await small.sync(["acme.studio"], days=3)
    settled = small.daily("acme.studio")
    assert settled == small.truth("acme.studio", [day for day in small.window(5) if day >= yesterday - timedelta(1)])
    account = small.world.account("acme.studio")
    assert settled[yesterday][0] == account.reach(yesterday, small.clock() + timedelta(days=30))
    assert settled[yesterday][0] != provisional[0]


async def test_an_older_observation_changes_nothing(small: SmallWorld) -> None:
    small.connect("acme.studio")
    yesterday = small.window(1)[0]
    now = small.clock()
    small.clock.advance(timedelta(days=3))
    await small.sync(["acme.studio"], days=[yesterday])
    newest = contents(small, "acme.studio")
    # A run that was held up for three days writes at last: what it saw is older than what is there.
    small.clock.now = now
    late = await small.sync(["acme.studio"], days=[yesterday])
    assert {result.status for result in late} == {"complete"}
    assert contents(small, "acme.studio")["instagram_insights"] == newest["instagram_insights"]
    assert contents(small, "acme.studio")["media_engagement"] == newest["media_engagement"]
    assert small.daily("acme.studio") == small.truth("acme.studio", [yesterday], at=now + timedelta(days=3))


@sqlite_only
async def test_days_with_gaps_fill_exactly_those_days(small: SmallWorld) -> None:
    small.connect("acme.studio")
    window = small.window(10)
    days: list[date] = [window[0], window[3], window[4], window[9]]
    results = await small.sync(["acme.studio"], days=days)
    assert sorted({result.date for result in results}) == days
    assert small.daily("acme.studio") == small.truth("acme.studio", days)
    assert {row["date"] for row in small.rows(tables.media_engagement)} <= set(days)


@sqlite_only
async def test_days_older_than_two_years_are_complete_by_rule_and_never_asked_for(small: SmallWorld) -> None:
    small.connect("harbor.bakery")
    edge = oldest_day_with_metrics(small.clock())
    days = days_between(edge - timedelta(days=2), edge + timedelta(days=1))
    results = await small.sync(["harbor.bakery"], days=days, assets=["account_insights"])
    assert {(result.date, result.status) for result in results} == {(day, "complete") for day in days}
    old, new = ([r for r in results if (r.date < edge) is older] for older in (True, False))
    assert small.calls_of("harbor.bakery") == 1 + len(new)
    for result in old:
        assert not result.values
        assert set(result.absences) == {*DEFAULT_SERIES, *DEFAULT_TOTALS}
        assert "last 2 years" in result.absences["reach"]
    assert all(result.values["reach"] for result in new)
    assert not small.rows(tables.metric_absences)


@sqlite_only
async def test_more_than_thirty_days_are_filled_in_windows_of_thirty(small: SmallWorld) -> None:
    small.connect("harbor.bakery")
    results = await small.sync(["harbor.bakery"], days=40)
    assert {result.status for result in results} == {"complete"}
    assert small.daily("harbor.bakery") == small.truth("harbor.bakery", small.window(40))
    old = next(r for r in results if r.asset == "account_insights" and r.date == small.window(40)[0])
    new = next(r for r in results if r.asset == "account_insights" and r.date == small.window(40)[-1])
    assert "last 30 days" in old.absences["follower_count"]
    assert "follower_count" in new.values
