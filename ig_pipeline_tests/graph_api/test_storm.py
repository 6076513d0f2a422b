"""A storm in which one call in three fails, in all ways a call can: the truth comes out, within twice the calls."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from ig_pipeline.graph_api.account_insights import fetch_totals
from ig_pipeline.graph_api.catalogue import DEFAULT_MEDIA_METRICS
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.days import days_between, instagram_day
from ig_pipeline.graph_api.errors import PermissionMissingError
from ig_pipeline.graph_api.hosts import MetaHosts
from ig_pipeline.graph_api.media import iterate_media
from ig_pipeline.simulator.faults import STORM, FaultError, FaultPlan, FaultRule
from ig_pipeline.simulator.server import running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.graph_api.fake import Time
from ig_pipeline_tests.graph_api.test_against_simulator import (
    assert_true,
    client_at,
    credentials_of,
    fetch,
    month_before,
)

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
# Hangs are short here: what a time-out would do, the dropped connection at their end does.
ONE_IN_THREE = FaultRule(kinds=STORM, probability=1 / 3, seconds=0.01)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def calls_for_thirty_days(*, kind: str, seed: int | None) -> int:
    """Fetch everything of thirty days, compare it with the truth, and count what the simulator was asked."""
    world = World(seed=11, accounts=1, kinds=(kind,))
    plan = FaultPlan(seed=seed or 0, faults=(ONE_IN_THREE,) if seed else ())
    [account], days = world.accounts, month_before(NOW)
    with running_simulator(world, clock=lambda: NOW, faults=plan) as simulator:
        async with client_at(simulator) as client:
            fetched = await fetch(client, credentials_of(simulator, account), days)
            assert_true(account, days, fetched, NOW)
            assert not any(totals.absences for totals in fetched[1].values())
            return client.calls_of(account.id)


@pytest.mark.parametrize("kind", ["busy", "tiny", "hidden_likes", "no_posts"])
@pytest.mark.parametrize("seed", range(1, 6))
async def test_a_storm_ends_in_the_truth_within_twice_the_calls_of_a_calm_run(kind: str, seed: int) -> None:
    calm = await calls_for_thirty_days(kind=kind, seed=None)
    stormy = await calls_for_thirty_days(kind=kind, seed=seed)
    assert calm < stormy <= 2 * calm


@pytest.mark.parametrize("seed", range(1, 4))
async def test_a_year_of_posts_survives_a_storm_that_repeats_cursors(seed: int) -> None:
    world = World(seed=11, accounts=1)
    [account] = world.accounts
    plan = FaultPlan(
        seed=seed, faults=(FaultRule(kinds=("repeated_cursor",), endpoint="media", after=1, times=2), ONE_IN_THREE)
    )
    first, last = instagram_day(NOW) - timedelta(days=365), instagram_day(NOW)
    with running_simulator(world, clock=lambda: NOW, faults=plan) as simulator:
        async with client_at(simulator) as client:
            pages = iterate_media(client, credentials_of(simulator, account), first=first, last=last)
            found = [item async for page in pages for item in page.items]
        assert simulator.simulation.faults.struck["repeated_cursor"] >= 1
    truth = [post.id for day in days_between(first, last) for post in account.posts_on(day, NOW)]
    assert [item.id for item in reversed(found)] == truth
    assert all((item.insights or {}).keys() == set(DEFAULT_MEDIA_METRICS) for item in found)


async def test_every_kind_of_fault_fell_in_these_storms() -> None:
    world = World(seed=11, accounts=1)
    [account], days = world.accounts, month_before(NOW)
    first, last = instagram_day(NOW) - timedelta(days=365), instagram_day(NOW)
    struck: set[str] = set()
    for seed in range(1, 11):
        plan = FaultPlan(seed=seed, faults=(ONE_IN_THREE,))
        with running_simulator(world, clock=lambda: NOW, faults=plan) as simulator:
            async with client_at(simulator) as client:
                await fetch(client, credentials_of(simulator, account), days)
                async for _ in iterate_media(client, credentials_of(simulator, account), first=first, last=last):
                    pass
            struck |= set(simulator.simulation.faults.struck)
    assert struck >= set(STORM) - {"repeated_cursor"}


async def test_a_server_that_hangs_is_left_and_asked_again() -> None:
    world = World(seed=11, accounts=1)
    [account], day = world.accounts, month_before(NOW)[0]
    plan = FaultPlan(faults=(FaultRule(kinds=("hang",), times=1, seconds=3),))
    with running_simulator(world, clock=lambda: NOW, faults=plan) as simulator:
        time, hosts = Time(NOW), MetaHosts.at(simulator.url, "v25.0")
        async with GraphClient(hosts, clock=time, sleep=time.sleep, timeout=httpx.Timeout(0.3)) as client:
            found = await fetch_totals(client, credentials_of(simulator, account), day=day)
    assert (found.calls, found.values["views"]) == (2, account.metric("views", day, NOW))


async def test_in_a_storm_nothing_is_retried_that_cannot_succeed() -> None:
    world = World(seed=11, accounts=1)
    [account], days = world.accounts, month_before(NOW)
    gone = FaultError(
        body={"error": {"message": "(#10) Application does not have permission for this action", "code": 10}}
    )
    plan = FaultPlan(faults=(FaultRule(kinds=("error",), error=gone),))
    with running_simulator(world, clock=lambda: NOW, faults=plan) as simulator:
        async with client_at(simulator) as client:
            for day in days:
                with pytest.raises(PermissionMissingError):
                    await fetch_totals(client, credentials_of(simulator, account), day=day)
            assert client.calls_of(account.id) == len(days)
