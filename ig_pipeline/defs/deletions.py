"""The run that finishes deletions (files, cells, what is left of the rows, then the tombstone) and its sensor.

The web service has ended syncing and deleted the history in the transaction that answered; this needs Dagster's
storage and the media store, which it never touches. One process at a time does it, be it a run or the command line.
"""

import dagster as dg

from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import UNFINISHED, runs_matching
from ig_pipeline.storage import deletion_requests, leases

# Whoever asked may be looking at the deletion's page; a run's start takes seconds.
INTERVAL_SECONDS = 10


@dg.op(out=dg.Out(dg.Nothing), description="Erases what is left of accounts whose owners asked to be forgotten.")
def erase_accounts(context: dg.OpExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> None:
    """Carry out what is due. Its own record names no one."""
    from ig_pipeline.defs.erasure import carry_out  # noqa: PLC0415 - it knows Dagster's private parts

    # A run that the daemon starts again after its process died goes on with the lease of the first.
    outcome = carry_out(pipeline, context.instance, owner=context.run.root_run_id or context.run.run_id)
    sentence = outcome.sentence if outcome else "Another process is at it."
    (context.log.warning if outcome and outcome.left else context.log.info)(sentence)
    context.add_output_metadata({"result": sentence})


@dg.job(executor_def=dg.in_process_executor, description="Finishes deletions; launched by the sensor `deletions`.")
def forget_accounts() -> None:
    """One step."""
    erase_accounts()


@dg.sensor(
    job_name=forget_accounts.name,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Rows of `deletion_requests` are carried out: files, cells, runs and the account's key go for good.",
)
def deletions(
    context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run, one at a time, when a deletion is due over whose accounts no other run is under way."""
    now = pipeline.clock()
    with pipeline.reading() as db:
        waiting, due = deletion_requests.waiting(db), deletion_requests.due(db, now=now)
        at_it = leases.is_taken(db, leases.DELETIONS, now=now)
    if not waiting:
        return dg.SkipReason("No one asked to be forgotten.")
    ours = dg.RunsFilter(job_name=forget_accounts.name, statuses=UNFINISHED)
    if at_it or any(True for _ in runs_matching(context.instance, ours)):
        return dg.SkipReason(f"{len(waiting)} deletions are under way.")
    if not due:
        return dg.SkipReason(f"{len(waiting)} deletions are tried again later.")
    from ig_pipeline.defs.erasure import is_in_use  # noqa: PLC0415 - as above

    if not any(not is_in_use(pipeline, context.instance, deletion) for deletion in due):
        return dg.SkipReason(f"{len(waiting)} deletions wait for runs of their accounts.")
    return dg.RunRequest()
