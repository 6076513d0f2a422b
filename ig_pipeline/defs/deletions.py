"""The sensor that finishes deletions: files, cells and what is left of the rows, then the tombstone.

The web service has ended syncing and deleted the history in the transaction that answered; this needs Dagster's
storage and the media store, which it never touches.
"""

import dagster as dg

from ig_pipeline.defs.forgetting import forget, is_idle, newest_entries
from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.storage import deletion_requests, media_items, user_data
from ig_pipeline.storage.deletion_requests import DeletionRequest

# Somebody may be looking at the deletion's page; runs last minutes, so looking more often finishes nothing sooner.
INTERVAL_SECONDS = 10


@dg.sensor(
    asset_selection=GRID_ASSETS,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Rows of `deletion_requests` are carried out: files, cells, runs and the account's key go for good.",
)
def deletions(context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]) -> dg.SkipReason:
    """Carry out what waits, as soon as no run is under way. Its own record names nobody."""
    with pipeline.reading() as db:
        waiting = deletion_requests.waiting(db)
    if not waiting:
        return dg.SkipReason("Nobody asked to be forgotten.")
    if not is_idle(context.instance):
        return dg.SkipReason(f"{len(waiting)} deletions wait for the runs under way.")
    for deletion in waiting:
        carry_out(pipeline, context.instance, deletion)
    return dg.SkipReason(f"{len(waiting)} deletions are done.")


def carry_out(pipeline: Pipeline, instance: dg.DagsterInstance | None, deletion: DeletionRequest) -> None:
    """Files first, while rows still lead to them; then Dagster; then the rows, and the tombstone with them."""
    now = pipeline.clock()
    erased: dict[str, int] = {}
    keys = {target.account_key for target in deletion.targets}
    store = open_store(pipeline.settings)
    with pipeline.reading() as db:
        paths = [
            path
            for target in deletion.targets
            for path in media_items.paths_of_account_alone(db, target.u_id, target.account_id)
        ]
        stay = newest_entries(db, keys)
    for path in paths:
        store.delete(path)
    if paths:
        erased["files"] = len(paths)
    if instance is not None:
        erased["cells"] = forget(instance, keys, ledger=stay, before=now.timestamp())
    with pipeline.writing() as db:
        for target in deletion.targets:
            rows = user_data.erase_known(db, target.u_id, target.account_id, target.account_key, target.email)
            for name, count in rows.items():
                erased[name] = erased.get(name, 0) + count
        deletion_requests.done(db, deletion, erased, now=now)
    pipeline.scrub()
