"""What Dagster's instance needs before its daemon starts: tables, the pool's size, no runs of the dead.

Run by `ig-pipeline up` as a process of its own (`python -m ig_pipeline.defs.instance`); prints one line per thing done.
"""

import click
import dagster as dg

from ig_pipeline.defs.insights import POOL
from ig_pipeline.defs.run_requests import runs_matching
from ig_pipeline.settings import load_settings

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def prepare(instance: dg.DagsterInstance, *, embedded: bool) -> list[str]:
    """Give the pool its row; where all of Dagster lives on this machine, fail runs whose processes are gone.

    The row: with `default_limit` alone the first two runs on a fresh database overlap, because it is only made while
    the first is dequeued (docs/dagster.md#concurrency-pools-and-the-queue). A limit that somebody set in the UI is
    kept.
    The dead: Dagster notices a run's process dying, but not the death of a whole machine: such a run stays STARTED
    until `max_runtime_seconds`. `up` holds the home alone, so at its start no run can be alive.
    """
    storage, limit = instance.event_log_storage, instance.get_concurrency_config().pool_config.default_pool_limit
    if limit is not None and POOL not in storage.get_concurrency_keys():
        storage.set_concurrency_slots(POOL, limit)
    return reap(instance) if embedded else []


def reap(instance: dg.DagsterInstance) -> list[str]:
    """Fail every unfinished run; a failure without a failed step is what `run_retries` starts again."""
    dead = list(runs_matching(instance, dg.RunsFilter(statuses=_UNFINISHED)))
    for run in dead:
        instance.report_run_failed(run, "Its process ended with the machine or with an earlier `ig-pipeline up`.")
    return [f"Run {run.run_id} had been left unfinished; it starts again." for run in dead]


def main() -> None:
    """Prepare the instance of DAGSTER_HOME."""
    with dg.DagsterInstance.get() as instance:
        for line in prepare(instance, embedded=load_settings().dagster_database_url is None):
            click.echo(line)


if __name__ == "__main__":
    main()
