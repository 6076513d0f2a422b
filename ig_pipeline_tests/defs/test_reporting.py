"""What the command line fills, the grid shows."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copyfile

import dagster as dg

from ig_pipeline.defs.partitions import grid_from
from ig_pipeline.defs.reporting import GridReporter, grid_reporter
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.defs.stand_ins import (
    FIRST,
    World,
    complete,
    instance_with,
    rectangle,
    run_rectangle,
    settings_in,
    status_of,
)

ROOT = Path(__file__).parent.parent.parent


def test_a_cell_filled_outside_dagster_turns_green_with_its_metadata_and_without_a_run() -> None:
    with instance_with() as instance:
        assert GridReporter(instance).report([complete("account_insights", "ana", FIRST)]) == 1
        assert instance.get_dynamic_partitions("instagram_accounts") == ["ana"]
        assert instance.get_materialized_partitions(dg.AssetKey("account_insights")) == {f"ana|{FIRST}"}
        event = instance.get_latest_materialization_event(dg.AssetKey("account_insights"))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["reach"].value == 10
        assert instance.get_runs_count() == 0


def test_a_deferred_cell_is_observed_and_stays_missing() -> None:
    deferred = AccountDayResult(
        "account_insights", "ana", FIRST, "deferred", error="Limit.", retry_at=datetime(2026, 11, 1, tzinfo=UTC)
    )
    with instance_with() as instance:
        assert GridReporter(instance).report([deferred]) == 0
        assert not instance.get_materialized_partitions(dg.AssetKey("account_insights"))
        assert instance.fetch_observations(dg.AssetKey("account_insights"), limit=1).records


def test_a_green_cell_is_not_told_again_that_nothing_is_new_and_a_red_one_is(tmp_path: Path) -> None:
    asset = dg.AssetKey("account_insights")
    found = [replace(complete("account_insights", "ana", FIRST + timedelta(days=n)), rows=0) for n in range(2)]
    with instance_with("ana") as instance:
        reporter = GridReporter(instance, grid_from(date(2026, 9, 1)))
        assert reporter.report(found) == 2
        assert reporter.report(found) == 2
        assert len(instance.fetch_materializations(asset, limit=9).records) == 2
        world = World(tmp_path, instance)
        world.engine.fate = lambda asset, key, day: AccountDayResult(asset, key, day, "failed", error="Away.")
        run_rectangle(world.definitions, instance, rectangle("ana", days=1), assets=["account_insights"])
        assert status_of(instance, world.definitions, "account_insights")[1] == {f"ana|{FIRST}"}
        reporter.report(found)
        assert status_of(instance, world.definitions, "account_insights")[1] == set()
        assert len(instance.fetch_materializations(asset, limit=9).records) == 3


def test_there_is_nobody_to_report_to_where_dagster_was_never_started(tmp_path: Path) -> None:
    with grid_reporter(settings_in(tmp_path)) as reporter:
        assert reporter is None
    assert not list(tmp_path.iterdir())


def test_the_instance_in_the_data_folder_is_found(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.dagster_home.mkdir(parents=True)
    copyfile(ROOT / "dagster.yaml", settings.dagster_home / "dagster.yaml")
    with grid_reporter(settings) as reporter:
        assert reporter is not None
        reporter.report([complete("daily_metrics", "ana", FIRST)])
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("daily_metrics")) == {f"ana|{FIRST}"}
