"""What starts by the clock, and that a tick that fires twice starts nothing twice."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.run_requests import accounts_of
from ig_pipeline.storage import connections
from ig_pipeline_tests.defs.stand_ins import NOW, World

PACIFIC = ZoneInfo("America/Los_Angeles")
NIGHT = datetime(2026, 11, 20, 2, 17, tzinfo=PACIFIC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    memory = Path("/dev/shm")  # a schedule's context takes no instance without files; files in memory need no fsync
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        dg.instance_for_test(temp_dir=folder) as instance,
    ):
        yield World(tmp_path, instance)


def connected(world: World, number: int) -> list[str]:
    names = [f"account{n:03}" for n in range(number)]
    world.connect(*names)
    world.add_to_grid(*names)
    return names


def bounds(run: dg.RunRequest) -> tuple[str, str]:
    return run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"]


def test_250_accounts_make_three_runs_of_rectangles_that_cover_each_account_once(world: World) -> None:
    names = connected(world, 250)
    runs = world.schedule_tick("nightly_sync", NIGHT)
    assert len(runs) == 3
    covered: list[str] = []
    for run in runs:
        (first, since), (last, until) = (bound.split("|") for bound in bounds(run))
        assert (since, until) == ("2026-11-17", "2026-11-19")
        covered += names[names.index(first) : names.index(last) + 1]
    assert covered == names


def test_a_night_that_fires_twice_launches_nothing_twice(world: World) -> None:
    connected(world, 250)
    assert len(world.schedule_tick("nightly_sync", NIGHT)) == 3
    assert not world.schedule_tick("nightly_sync", NIGHT)
    world.connect("late")
    assert not world.schedule_tick("nightly_sync", NIGHT)
    assert world.instance.get_runs_count() == 3


def nights(world: World) -> Counter[str]:
    """How often each account's night was asked for, over all runs there are."""
    keys = world.instance.get_dynamic_partitions(str(ACCOUNTS.name))
    return Counter(key for run in world.instance.get_runs() for key in accounts_of(run, keys))


@pytest.mark.parametrize("made", [0, 1, 2, 3])
def test_a_tick_that_is_evaluated_again_after_accounts_came_and_went_gives_each_one_night(
    world: World, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its daemon died when some of the night's runs were made."""
    world.settings = world.settings.model_copy(update={"accounts_per_run": 2})
    names = connected(world, 5)
    launch = world.launch
    monkeypatch.setattr(world, "launch", lambda requests, *, by: launch(requests[:made], by=by))
    assert len(world.schedule_tick("nightly_sync", NIGHT)) == made
    monkeypatch.setattr(world, "launch", launch)
    world.connect("late")
    world.add_to_grid("late")
    with world.pipeline.writing() as db:
        connections.mark_reconnect_required(db, world.connection("account002").id, message="Again.", now=NOW)
    world.schedule_tick("nightly_sync", NIGHT)
    gone = {"account002"} if made < 2 else set()
    assert nights(world) == dict.fromkeys({*names, "late"} - gone, 1)


def test_a_run_of_the_night_that_was_made_and_not_launched_is_asked_for_under_its_key(world: World) -> None:
    connected(world, 3)
    [asked] = world.schedule_tick("nightly_sync", NIGHT)
    world.connect("late")
    world.add_to_grid("late")
    schedule = world.definitions.get_repository_def().get_schedule_def("nightly_sync")
    with dg.build_schedule_context(
        instance=world.instance,
        scheduled_execution_time=NIGHT,
        resources={"pipeline": world.pipeline},
        repository_def=world.definitions.get_repository_def(),
    ) as context:
        again = schedule.evaluate_tick(context).run_requests or []
    same, new = again
    assert (same.run_key, same.tags, same.asset_selection) == (asked.run_key, asked.tags, asked.asset_selection)
    assert bounds(new) == ("late|2026-11-17", "late|2026-11-19")


def test_an_account_whose_token_died_is_absent_from_the_plan_and_splits_its_rectangle(world: World) -> None:
    connected(world, 3)
    with world.pipeline.writing() as db:
        connections.mark_reconnect_required(db, world.connection("account001").id, message="Again.", now=NOW)
    assert [bounds(run) for run in world.schedule_tick("nightly_sync", NIGHT)] == [
        ("account000|2026-11-17", "account000|2026-11-19"),
        ("account002|2026-11-17", "account002|2026-11-19"),
    ]


def test_without_accounts_the_night_is_skipped(world: World) -> None:
    assert not world.schedule_tick("nightly_sync", NIGHT)


@pytest.mark.parametrize(
    ("name", "cron"),
    [("nightly_sync", "17 2 * * *"), ("token_refresh", "43 */6 * * *"), ("grid_checks", "13 5,11,17,23 * * *")],
)
def test_schedules_run_by_default_and_in_pacific_time(world: World, name: str, cron: str) -> None:
    schedule = world.definitions.get_repository_def().get_schedule_def(name)
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "America/Los_Angeles")


@pytest.mark.parametrize("name", ["token_refresh", "grid_checks"])
def test_the_other_schedules_ask_for_one_run_a_tick(world: World, name: str) -> None:
    at = datetime(2026, 11, 20, 6, 43, tzinfo=PACIFIC)
    assert len(world.schedule_tick(name, at)) == 1
    assert not world.schedule_tick(name, at)


def test_no_partitioned_job_is_defined_because_its_backfills_lose_data(world: World) -> None:
    jobs = world.definitions.get_repository_def().get_all_jobs()
    # Dagster's own are hidden.
    assert [job.name for job in jobs if job.partitions_def and not job.name.startswith("__")] == []
