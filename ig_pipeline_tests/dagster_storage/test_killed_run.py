"""What is gathered dies with its process; the run that takes its place tells Dagster all of it."""

import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg

from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.settings import Settings
from ig_pipeline.sync.plan import Window
from ig_pipeline.sync.registry import grid
from ig_pipeline_tests.dagster_storage import killed_run
from ig_pipeline_tests.dagster_storage.killed_run import ACCOUNTS, RECTANGLE
from ig_pipeline_tests.defs.stand_ins import World, run_rectangle


def test_cells_that_were_gathered_when_a_run_was_killed_are_told_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-m", killed_run.__name__, tmp_path, "17"], check=False, timeout=110)
    assert ended.returncode == -signal.SIGKILL
    home = prepare_home(Settings(data_dir=tmp_path))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        events = instance.event_log_storage
        assert [events.get_materialized_partitions(dg.AssetKey(asset)) for asset in grid()] == [set()] * 3
        assert instance.get_runs(limit=5)
        again = run_rectangle(World(tmp_path, instance).definitions, instance, RECTANGLE)
        assert again.success
        cells = {f"{account}|{day}" for account in ACCOUNTS for day in Window(RECTANGLE.first, RECTANGLE.last).days}
        assert [events.get_materialized_partitions(dg.AssetKey(asset)) for asset in grid()] == [cells] * 3
