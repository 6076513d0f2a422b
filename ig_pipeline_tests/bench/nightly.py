"""The night of `make bench-web`: every connected account, in the schedule's runs, as many at once as Dagster has.

A run is a process that has imported what a run of Dagster imports, with the priority it has under `ig-pipeline up`;
the queue and the grid's events are left out.
"""

import asyncio
import importlib
import json
import os
import sys
from datetime import date
from importlib.resources import files
from pathlib import Path

import yaml

from ig_pipeline.cli.children import stand_back
from ig_pipeline.cli.dagster_stack import NICENESS_OF_RUNS
from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.sync.engine import open_services, sync_account_days
from ig_pipeline.sync.plan import Rectangle, Window, nightly_rectangles
from ig_pipeline.sync.registry import grid

PREFIX = "bench-night-"


def planned(settings: Settings) -> list[Rectangle]:
    """The rectangles of tonight's tick of `nightly_sync`."""
    engine = open_engine(settings.effective_database_url)
    with reading(engine) as db:
        keys = [connection.account_key for connection in list_connections(db, statuses=[CONNECTED])]
    engine.dispose()
    return nightly_rectangles(
        keys,
        connected=keys,
        today=instagram_day(utc_now()),
        window_days=settings.nightly_window_days,
        per_run=settings.accounts_per_run,
    )


def runs_at_once() -> int:
    """What our Dagster instance allows."""
    instance = Path(str(files("ig_pipeline"))).parent / "dagster.yaml"
    return int(yaml.safe_load(instance.read_text())["concurrency"]["runs"]["max_concurrent_runs"])


async def night(settings: Settings) -> None:
    """Every run once; raises when one ends in an error."""
    places = asyncio.Semaphore(runs_at_once())

    async def run(number: int, rectangle: Rectangle) -> None:
        async with places:
            command = (sys.executable, "-m", __spec__.name, str(number), json.dumps(rectangle.account_keys))
            process = await asyncio.create_subprocess_exec(*command, *map(str, rectangle.window))
            if await process.wait():
                raise RuntimeError(f"run {number} ended with {process.returncode}")

    await asyncio.gather(*(run(number, rectangle) for number, rectangle in enumerate(planned(settings), start=1)))


async def one_run(settings: Settings, number: str, rectangle: Rectangle) -> None:
    """The cells of one rectangle, as the step of a run has them fetched."""
    importlib.import_module("ig_pipeline.definitions")
    async with open_services(settings) as services:
        async for _ in sync_account_days(services, rectangle.cells(), assets=grid(), run_id=f"{PREFIX}{number}"):
            pass


if __name__ == "__main__":
    if len(sys.argv) == 1:
        asyncio.run(night(load_settings()))
    else:
        stand_back(os.getpid(), NICENESS_OF_RUNS)
        number, keys, first, last = sys.argv[1:]
        window = Window(date.fromisoformat(first), date.fromisoformat(last))
        asyncio.run(one_run(load_settings(), number, Rectangle(tuple(json.loads(keys)), *window)))
