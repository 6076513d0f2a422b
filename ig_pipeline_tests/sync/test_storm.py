"""Calls go wrong in every way a call can: the truth in the end, no day whole that lacks something, bounded calls."""

import pytest

from ig_pipeline.simulator.faults import STORM, FaultKind, FaultPlan, FaultRule, Faults
from ig_pipeline_tests.chaos.storm import completed_by_itself
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = [pytest.mark.anyio, sqlite_only]


@pytest.mark.parametrize(("probability", "seed"), [(0.05, 1), (0.2, 2), (1 / 3, 3), (0.5, 4)])
async def test_a_storm_ends_in_the_truth_within_twice_the_calls_of_a_calm_run(
    small: SmallWorld, probability: float, seed: int
) -> None:
    keys = small.connect_all()[:2]
    await small.sync(keys)
    calm = {key: small.calls_of(key) for key in keys}
    with small.engine.begin() as db:
        for table in ("instagram_insights", "media_engagement", "metrics", "instagram_sync_logs", "metric_absences"):
            db.exec_driver_sql(f"delete from {table}")
    small.simulator.calls.reset()
    # Twice in a row on the same question at most: at one in two, luck alone would take more than twice the calls.
    rule = FaultRule(kinds=STORM, probability=probability, seconds=0.02, in_a_row=2)
    small.simulator.simulation.faults = Faults(FaultPlan(seed=seed, faults=(rule,)))
    async with small.services_over(lambda request: None) as services:
        results = await small.sync_with(services, dict.fromkeys(keys, small.window()))
    for result in results:
        if result.is_complete and result.asset == "account_insights":
            day = result.date
            truth = small.true_insights(result.account_key, [day]).items()
            assert {(name, day): value for name, value in result.values.items()}.items() >= truth
    await completed_by_itself(small)
    for key in keys:
        assert small.daily(key) == small.truth(key, small.window()), key
        assert small.insights(key) == small.true_insights(key, small.window()), key
        assert small.calls_of(key) <= 2 * calm[key], key


@pytest.mark.parametrize("kind", ["huge", "deep", "odd_numbers"])
async def test_answers_that_no_honest_server_gives_cost_a_call_and_not_the_run(
    small: SmallWorld, kind: FaultKind
) -> None:
    [key] = small.connect_all()[:1]
    rule = FaultRule(kinds=(kind,), probability=0.3, in_a_row=1, times=20)
    small.simulator.simulation.faults = Faults(FaultPlan(seed=1, faults=(rule,)))
    async with small.services_over(lambda request: None) as services:
        await small.sync_with(services, {key: small.window(5)})
    assert small.daily(key) == small.truth(key, small.window(5))
