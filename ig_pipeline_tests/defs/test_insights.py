"""Cells turn green or red one by one, whatever happens to their neighbours."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage import tags

from ig_pipeline.definitions import build
from ig_pipeline.defs.partitions import RANGE_END, RANGE_START, range_tags
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.sync.registry import grid
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.defs.stand_ins import (
    FIRST,
    FakeEngine,
    complete,
    instance_with,
    rectangle,
    run_rectangle,
    settings_in,
    status_of,
)

BAD_DAY = FIRST + timedelta(days=1)


def definitions(engine: FakeEngine, folder: Path) -> dg.Definitions:
    return build(Pipeline(fetch=engine, settings_of=lambda: settings_in(folder)))


def failing(asset: str, key: str, day: date) -> AccountDayResult:
    if key == "bea":
        return AccountDayResult(
            asset, key, day, "failed", error="Access to bea has ended.", error_type="TokenDeadError"
        )
    return complete(asset, key, day)


def deferring(asset: str, key: str, day: date) -> AccountDayResult:
    if day > FIRST:
        until = datetime(2026, 11, 1, 12, tzinfo=UTC)
        return AccountDayResult(asset, key, day, "deferred", error="Limit reached.", retry_at=until)
    return complete(asset, key, day)


def cells(*keys: str, days: int = 3) -> set[str]:
    return {f"{key}|{FIRST + timedelta(days=n)}" for key in keys for n in range(days)}


def test_a_run_over_a_rectangle_turns_each_of_its_cells_green_in_all_three_assets(tmp_path: Path) -> None:
    engine = FakeEngine()
    defs = definitions(engine, tmp_path)
    with instance_with("ana", "bea", "cid") as instance:
        assert run_rectangle(defs, instance, rectangle("ana", "bea")).success
        for asset in grid():
            assert status_of(instance, defs, asset) == (cells("ana", "bea"), set())
    assert len(engine.asked) == 1
    assert engine.asked[0][0] == {key: [FIRST + timedelta(days=n) for n in range(3)] for key in ("ana", "bea")}
    assert engine.asked[0][1] == grid()


def test_one_bad_account_is_red_and_holds_back_nobody(tmp_path: Path) -> None:
    defs = definitions(FakeEngine(failing), tmp_path)
    with instance_with("ana", "bea", "cid") as instance:
        run = run_rectangle(defs, instance, rectangle("ana", "bea", "cid"))
        assert not run.success
        for asset in grid():
            assert status_of(instance, defs, asset) == (cells("ana", "cid"), cells("bea"))
        failure = next(event for event in run.all_events if event.is_step_failure).step_failure_data
        assert failure.user_failure_data is not None
        assert failure.user_failure_data.description == "9 of 27 cells failed. bea: Access to bea has ended."
        assert failure.user_failure_data.metadata["failed"].value == (
            "| account | days | assets | why |\n|---|---|---|---|\n"
            "| bea | 2026-10-01 to 2026-10-03 (3) | account_insights, daily_metrics, media_engagement "
            "| Access to bea has ended. |"
        )


def test_a_failed_cell_carries_its_reason_as_an_observation_of_that_cell(tmp_path: Path) -> None:
    defs = definitions(FakeEngine(failing), tmp_path)
    with instance_with("ana", "bea", "cid") as instance:
        run_rectangle(defs, instance, rectangle("ana", "bea", "cid"))
        seen = instance.fetch_observations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey("daily_metrics"), asset_partitions=[f"bea|{BAD_DAY}"]), limit=5
        ).records
        assert len(seen) == 1
        observation = seen[0].asset_observation
        assert observation is not None
        assert observation.description == "Failed: Access to bea has ended."
        assert observation.metadata["error type"].value == "TokenDeadError"


def test_deferred_cells_stay_missing_and_fail_no_run(tmp_path: Path) -> None:
    defs = definitions(FakeEngine(deferring), tmp_path)
    with instance_with("ana") as instance:
        assert run_rectangle(defs, instance, rectangle("ana")).success
        assert status_of(instance, defs, "account_insights") == (cells("ana", days=1), set())


def test_what_was_finished_before_a_crash_stays_green(tmp_path: Path) -> None:
    defs = definitions(FakeEngine(dies_after=2), tmp_path)
    with instance_with("ana") as instance:
        assert not run_rectangle(defs, instance, rectangle("ana", days=5)).success
        done, failed = status_of(instance, defs, "account_insights")
        assert done == cells("ana", days=2)
        assert failed == cells("ana", days=5) - done


@pytest.mark.parametrize("selected", [["account_insights"], ["media_engagement", "daily_metrics"]])
def test_a_selection_of_assets_asks_the_engine_for_those_alone(tmp_path: Path, selected: Sequence[str]) -> None:
    engine = FakeEngine()
    defs = definitions(engine, tmp_path)
    with instance_with("ana") as instance:
        assert run_rectangle(defs, instance, rectangle("ana"), assets=selected).success
        assert engine.asked[0][1] == tuple(name for name in grid() if name in selected)
        for asset in grid():
            expected = cells("ana") if asset in selected else set()
            assert status_of(instance, defs, asset)[0] == expected


def test_the_metadata_of_a_cell_tells_rows_calls_and_values(tmp_path: Path) -> None:
    defs = definitions(FakeEngine(), tmp_path)
    with instance_with("ana") as instance:
        run_rectangle(defs, instance, rectangle("ana", days=1))
        event = instance.get_latest_materialization_event(dg.AssetKey("account_insights"))
        assert event is not None
        materialized = event.asset_materialization
        assert materialized is not None
        assert materialized.description == "2 rows (reach 10, views 20)"
        assert {name: value.value for name, value in materialized.metadata.items()} == {
            "status": "complete",
            "rows": 2,
            "calls": 1,
            "reach": 10,
            "views": 20,
        }
        assert materialized.tags == {"dagster/partition/account": "ana", "dagster/partition/date": "2026-10-01"}


def test_a_single_cell_without_a_range_is_fetched_too(tmp_path: Path) -> None:
    engine = FakeEngine()
    defs = definitions(engine, tmp_path)
    with instance_with("ana") as instance:
        job = defs.resolve_implicit_global_asset_job_def()
        selected = [dg.AssetKey(name) for name in grid()]
        run = job.execute_in_process(instance=instance, partition_key=f"ana|{FIRST}", asset_selection=selected)
        assert run.success
        assert engine.asked[0][0] == {"ana": [FIRST]}


def test_a_run_that_was_handed_fewer_cells_than_its_tags_ask_for_refuses_to_go_on(tmp_path: Path) -> None:
    """What a backfill of a partitioned job does in 1.13: the first cell's tags on a run of thirty."""
    engine = FakeEngine()
    defs = definitions(engine, tmp_path)
    asked = rectangle("ana", days=3)
    with instance_with("ana") as instance:
        first_cell_only = {"dagster/partition/account": "ana", "dagster/partition/date": FIRST.isoformat()}
        run = run_rectangle(defs, instance, asked, tags=first_cell_only)
        assert not run.success
        failure = next(event for event in run.all_events if event.is_step_failure).step_failure_data
        assert failure.user_failure_data is not None
        assert "asked for 3 cells" in (failure.user_failure_data.description or "")
        assert "handed over 1" in (failure.user_failure_data.description or "")
    assert not engine.asked


def test_the_range_tags_are_dagsters_own() -> None:
    assert (RANGE_START, RANGE_END) == (tags.ASSET_PARTITION_RANGE_START_TAG, tags.ASSET_PARTITION_RANGE_END_TAG)
    assert range_tags(rectangle("ana"))[RANGE_END] == "ana|2026-10-03"


def lacking(asset: str, key: str, day: date) -> AccountDayResult:
    if asset == "account_insights" and day == BAD_DAY:
        at = datetime(2026, 11, 1, 12, tzinfo=UTC)
        return AccountDayResult(asset, key, day, "partial", rows=11, lacking=("views",), retry_at=at)
    return complete(asset, key, day)


def test_a_cell_that_lacks_what_no_rule_explains_is_not_green_and_says_so(tmp_path: Path) -> None:
    defs = definitions(FakeEngine(lacking), tmp_path)
    with instance_with("ana") as instance:
        assert run_rectangle(defs, instance, rectangle("ana")).success
        assert status_of(instance, defs, "account_insights") == (cells("ana") - {f"ana|{BAD_DAY}"}, set())
        assert status_of(instance, defs, "daily_metrics") == (cells("ana"), set())
        asked = dg.AssetRecordsFilter(asset_key=dg.AssetKey("account_insights"), asset_partitions=[f"ana|{BAD_DAY}"])
        (record,) = instance.fetch_observations(asked, limit=5).records
        assert record.asset_observation is not None
        assert record.asset_observation.description == (
            "Partial: 11 rows; Instagram left out views without a reason; asked for again at 2026-11-01 12:00 UTC"
        )


@pytest.mark.parametrize(
    ("run_tags", "everything"),
    [
        ({}, True),  # launched in the UI
        ({"dagster/backfill": "abcdefgh"}, True),
        ({"dagster/schedule_name": "nightly_sync"}, False),
        ({"dagster/sensor_name": "requested_syncs"}, False),
        ({"dagster/sensor_name": "requested_syncs", "ig_pipeline/asked_by_a_person": "1"}, True),
        ({"dagster/schedule_name": "nightly_sync", "dagster/parent_run_id": "x"}, True),  # run again in the UI
        ({"dagster/schedule_name": "nightly_sync", "dagster/parent_run_id": "x", "dagster/retry_number": "1"}, False),
    ],
)
def test_a_persons_run_asks_for_everything(tmp_path: Path, run_tags: dict[str, str], everything: bool) -> None:
    engine = FakeEngine()
    with instance_with("ana") as instance:
        assert run_rectangle(definitions(engine, tmp_path), instance, rectangle("ana"), tags=run_tags).success
    assert engine.asked_everything == [everything]
