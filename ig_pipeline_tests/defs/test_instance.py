"""What `up` does to Dagster's instance before its daemon starts."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.utils import make_new_run_id

from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.defs.instance import prepare
from ig_pipeline.settings import Settings

LEFT, WAITING, DONE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.SUCCESS


def with_runs(instance: dg.DagsterInstance) -> dict[dg.DagsterRunStatus, str]:
    runs = {status: make_new_run_id() for status in (LEFT, WAITING, DONE)}
    for status, run_id in runs.items():
        instance.add_run(dg.DagsterRun(job_name="__ASSET_JOB", run_id=run_id, status=status))
    return runs


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_left_behind_by_a_dead_machine_is_ended_so_that_it_starts_again(tmp_path: Path) -> None:
    """`kill -9` of everything leaves it STARTED for ever otherwise; run monitoring does not notice."""
    with dg.DagsterInstance.from_config(str(prepare_home(Settings(data_dir=tmp_path)))) as instance:
        runs = with_runs(instance)
        (line,) = prepare(instance, embedded=True)
        assert runs[LEFT] in line
        assert status_of(instance, runs[LEFT]) == dg.DagsterRunStatus.FAILURE
        assert status_of(instance, runs[WAITING]) == WAITING
        assert status_of(instance, runs[DONE]) == DONE
        left = instance.get_run_by_id(runs[LEFT])
        assert left is not None
        assert left.tags["dagster/will_retry"] == "true"


@pytest.mark.parametrize("chosen", [None, 2])
def test_the_pool_has_its_row_before_the_first_run_and_keeps_a_limit_set_in_the_ui(
    tmp_path: Path, chosen: int | None
) -> None:
    with dg.DagsterInstance.from_config(str(prepare_home(Settings(data_dir=tmp_path)))) as instance:
        if chosen:
            instance.event_log_storage.set_concurrency_slots("graph_api", chosen)
        prepare(instance, embedded=False)
        prepare(instance, embedded=False)
        assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()} == {
            "graph_api": chosen or 4
        }


def test_production_never_ends_runs_it_did_not_start(tmp_path: Path) -> None:
    """On PostgreSQL runs of other machines are under way while this `up` starts."""
    with dg.DagsterInstance.from_config(str(prepare_home(Settings(data_dir=tmp_path)))) as instance:
        runs = with_runs(instance)
        assert not prepare(instance, embedded=False)
        assert status_of(instance, runs[LEFT]) == LEFT
