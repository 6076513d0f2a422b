"""The sensor that finishes deletions: files, cells and what is left of the rows, then the tombstone.

The web service has ended syncing and deleted the history in the transaction that answered; this needs Dagster's
storage and the media store, which it never touches.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

from ig_pipeline.defs.forgetting import forget, scrub_dagster, under_way
from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.names import Names
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.tokens import access_tokens
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.storage import deletion_requests, user_data
from ig_pipeline.storage.deletion_requests import DeletionRequest
from ig_pipeline.storage.scrubbing import ScrubbingWaitsError
from ig_pipeline.sync.media_files.erasing import erase_files
from ig_pipeline.sync.registry import streams

# Somebody may be looking at the deletion's page; runs last minutes, so looking more often finishes nothing sooner.
INTERVAL_SECONDS = 10
# Writing a table anew keeps others from it: not tried again and again while somebody uses it.
_SCRUB_AGAIN = timedelta(minutes=5)

_OURS = [access_tokens.key, *(dg.AssetKey(stream.name) for stream in streams())]

# A tick that takes longer than Dagster waits for it (a minute) goes on in this process; the next one must not join in.
_one_at_a_time = threading.Lock()


@dg.sensor(
    asset_selection=GRID_ASSETS,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Rows of `deletion_requests` are carried out: files, cells, runs and the account's key go for good.",
)
def deletions(context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]) -> dg.SkipReason:
    """Carry out what waits, as soon as no run over the account is under way. Its own record names nobody."""
    with pipeline.reading() as db:
        waiting = deletion_requests.waiting(db)
    if not waiting:
        return dg.SkipReason("Nobody asked to be forgotten.")
    if context.cursor and pipeline.clock() < datetime.fromisoformat(context.cursor):
        return dg.SkipReason(f"{len(waiting)} deletions wait until files can be written anew, at {context.cursor}.")
    if not _one_at_a_time.acquire(blocking=False):
        return dg.SkipReason(f"{len(waiting)} deletions are under way.")
    try:
        done = carry_out(pipeline, context.instance, waiting)
    except ScrubbingWaitsError as error:
        context.update_cursor((pipeline.clock() + _SCRUB_AGAIN).isoformat())
        return dg.SkipReason(f"Everything is erased; {error}")
    finally:
        _one_at_a_time.release()
    return dg.SkipReason(f"{done} deletions are done, {len(waiting) - done} wait for runs of their accounts.")


def carry_out(pipeline: Pipeline, instance: dg.DagsterInstance | None, waiting: Sequence[DeletionRequest]) -> int:
    """Erase and scrub; how many are done. Those with a run of their accounts under way are left for later.

    Files first, while rows still lead to them; then Dagster; then the rows, and with them the names in the request.
    At last the files of the databases, where deleted rows lie on. Each step may be repeated after a crash.
    Raises `ScrubbingWaitsError`, `StoreError`.
    """
    erased = [deletion for deletion in waiting if not deletion.targets or _erase(pipeline, instance, deletion)]
    if erased:
        rewrite = pipeline.settings.rewrite_after_deletion
        if instance is not None:
            scrub_dagster(instance, rewrite=rewrite)
        pipeline.scrub(rewrite=rewrite)
    with pipeline.writing() as db:
        for deletion in erased:
            deletion_requests.done(db, deletion, now=pipeline.clock())
    return len(erased)


def _erase(pipeline: Pipeline, instance: dg.DagsterInstance | None, deletion: DeletionRequest) -> bool:
    with pipeline.reading() as db:
        names = Names({target.account_key for target in deletion.targets}, deletion_requests.names_of(db, deletion))
    if instance is not None and under_way(instance, names, _OURS):
        return False
    erased: dict[str, int] = {}
    store = open_store(pipeline.settings)
    for target in deletion.targets:
        erased["files"] = erased.get("files", 0) + erase_files(pipeline.writing, store, target.u_id, target.account_id)
    if instance is not None:
        erased["cells"] = forget(instance, names)
    with pipeline.writing() as db:
        for target in deletion.targets:
            rows = user_data.erase_known(db, target.u_id, target.account_id, target.account_key, target.email)
            for name, count in rows.items():
                erased[name] = erased.get(name, 0) + count
        deletion_requests.unname(db, deletion, erased)
    return True
