"""A run that kills its own process while its events are gathered: `python -m … <folder> <cells before the end>`."""

import os
import signal
import sys
from datetime import date
from pathlib import Path

import dagster as dg

from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.dagster_storage.gathering import GatheringEventLogStorage
from ig_pipeline.settings import Settings
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.defs.stand_ins import World, complete, run_rectangle

ACCOUNTS = ("ana", "ben")
RECTANGLE = Rectangle(ACCOUNTS, date(2026, 11, 1), date(2026, 11, 5))


def main(folder: Path, cells: int) -> None:
    """Does not return."""
    GatheringEventLogStorage.linger = 3600
    settings = Settings(data_dir=folder)
    with dg.DagsterInstance.from_config(str(prepare_home(settings))) as instance:
        world = World(folder, instance)
        world.connect(*ACCOUNTS)
        world.add_to_grid(*ACCOUNTS)
        told = 0

        def deadly(asset: str, account_key: str, day: date) -> AccountDayResult:
            nonlocal told
            if told == cells:
                os.kill(os.getpid(), signal.SIGKILL)
            told += 1
            return complete(asset, account_key, day)

        world.engine.fate = deadly
        run_rectangle(world.definitions, instance, RECTANGLE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
