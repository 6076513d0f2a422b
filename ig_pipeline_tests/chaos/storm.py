"""`make chaos-storm`: the first thirty days of twenty accounts, with 5, 20 and 50 % of all calls going wrong.

One line a storm; exit code 1 unless in the end every row equals the world's truth, no cell was ever complete that
lacked a value the world had, and all accounts together took at most twice the calls of calm weather. A question meets
at most two faults in a row: at one in two, repeats alone would take twice the calls.
`SEED=7` repeats a storm, `ACCOUNTS=5` makes it a small one.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from ig_pipeline.graph_api.days import days_between
from ig_pipeline.simulator.faults import STORM, FaultPlan, FaultRule, Faults
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.sync.harness import SmallWorld, small_world

ACCOUNTS = int(os.environ.get("ACCOUNTS", "20"))
SEED = int(os.environ.get("SEED", time.time()))
PROBABILITIES = (0.05, 0.2, 0.5)
MOST_CALLS = 2


def main() -> int:
    """Every storm, whatever became of the one before."""
    print(f"{ACCOUNTS} accounts x 30 days, SEED={SEED}", flush=True)
    calm = asyncio.run(_calm())
    wrong = 0
    for probability in PROBABILITIES:
        began = time.monotonic()
        found, faults, calls = asyncio.run(_storm(probability))
        times = sum(calls.values()) / sum(calm.values())
        worst = max(calls[name] / calm[name] for name in calm)
        if times > MOST_CALLS:
            found.append(f"more than {MOST_CALLS} times the calls of calm weather")
        wrong += bool(found)
        verdict = "WRONG" if found else "true"
        told = f"{faults} faults, calls x {times:.2f}, worst account x {worst:.2f}"
        print(f"{verdict:<6} {probability:4.0%}: {told}; {time.monotonic() - began:.0f} s", flush=True)
        for sentence in found[:10]:
            print(f"       {sentence}", flush=True)
    return 1 if wrong else 0


async def _calm() -> dict[str, int]:
    """Username → calls of thirty days without faults."""
    with tempfile.TemporaryDirectory(prefix="ig_storm_") as folder, _world(Path(folder)) as small:
        keys = small.connect_all()
        await small.sync(keys)
        return {key: small.calls_of(key) for key in keys}


async def _storm(probability: float) -> tuple[list[str], int, dict[str, int]]:
    """What is wrong, how many faults fell, and the calls of each account."""
    with tempfile.TemporaryDirectory(prefix="ig_storm_") as folder, _world(Path(folder)) as small:
        keys = small.connect_all()
        rule = FaultRule(kinds=STORM, probability=probability, seconds=0.02, in_a_row=2)
        small.simulator.simulation.faults = Faults(FaultPlan(seed=SEED, faults=(rule,)))
        async with small.services_over(lambda _: None) as services:
            results = await small.sync_with(services, dict.fromkeys(keys, small.window()))
        wrong = _green_and_lacking(small, results)
        await completed_by_itself(small)
        for key in keys:
            wrong += [f"{key}: {what} is not the truth" for what in _untrue(small, key)]
        struck = sum(small.simulator.simulation.faults.struck.values())
        return wrong, struck, {key: small.calls_of(key) for key in keys}


@contextmanager
def _world(folder: Path) -> Iterator[SmallWorld]:
    url = SecretStr(f"sqlite:///{folder / 'storm.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    with small_world(url, folder / "data", world=World(accounts=ACCOUNTS)) as small:
        yield small


def _green_and_lacking(small: SmallWorld, results: Sequence[AccountDayResult]) -> list[str]:
    """Cells that a run called complete though they lack a value of the world's."""
    return [
        f"{result.account_key}: account_insights of {result.date} is complete and lacks values"
        for result in results
        if result.is_complete
        and result.asset == "account_insights"
        and not {(name, result.date): value for name, value in result.values.items()}.items()
        >= small.true_insights(result.account_key, [result.date]).items()
    ]


def _untrue(small: SmallWorld, key: str) -> list[str]:
    days = small.window()
    return [
        what
        for what, true in (
            ("metrics", small.daily(key) == small.truth(key, days)),
            ("instagram_insights", small.insights(key) == small.true_insights(key, days)),
        )
        if not true
    ]


async def completed_by_itself(small: SmallWorld) -> None:
    """What a limit, a fault or a silence has put off, as the sensor of requests takes it up when its time has come."""
    today = small.today
    while True:
        with small.engine.begin() as db:
            waiting = [request for request in sync_requests.recent(db, limit=1000) if request.status == "queued"]
            if not waiting:
                return
            small.clock.now = max(small.clock(), max(request.not_before for request in waiting) + timedelta(seconds=1))
            assert small.today == today
            for request in waiting:
                sync_requests.end(db, [request.id], status=sync_requests.DONE, now=small.clock())
        async with small.services_over(lambda _: None) as services:
            for request in waiting:
                days = days_between(request.first, request.last)
                await small.sync_with(services, {request.account_key: days}, assets=request.options["assets"])


if __name__ == "__main__":
    sys.exit(main())
