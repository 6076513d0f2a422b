"""What the command line fills, the grid shows."""

from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile

import dagster as dg

from ig_pipeline.defs.reporting import GridReporter, grid_reporter
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.defs.stand_ins import FIRST, complete, instance_with, settings_in

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
