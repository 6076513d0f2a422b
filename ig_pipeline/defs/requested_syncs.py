"""The sensors that turn requests into runs, once each, and note how they ended.

A tick claims what is due, which is committed, and then asks for a run for every claimed batch that has none. The run
carries its batch as a tag: a crash anywhere between leaves a claimed batch without a run, which the next tick asks for
with the same run key. Two sensors, so that a new connection waits for nothing that others have asked for.
"""

from collections.abc import Iterable, Sequence

import dagster as dg

from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.media_files import MEDIA_FILES
from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import BATCH_TAG, OPTIONS_TAG, PERSON_TAG, run_request, starts_again
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline.sync.requests import ending
from ig_pipeline.sync.requests.asking import ask_for_first_backfills
from ig_pipeline.sync.requests.claiming import Batch, claim, is_due, under_way

# The daemon looks every five seconds; a shorter interval means "at every look".
INTERVAL_SECONDS = 1
# A tick must answer within a minute; the daemon needs some 30 ms for a run request.
RUNS_A_TICK = 50


@dg.sensor(
    asset_selection=GRID_ASSETS,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "A new connection gets its row in the grid and one run over its first days "
        "(IG_PIPELINE_INITIAL_BACKFILL_DAYS), which its consent has asked for in `sync_requests`; where a row was "
        "stored without asking, it is asked for here."
    ),
)
def new_connections(
    context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> dg.SensorResult | dg.SkipReason:
    """Add missing accounts to the grid; claim the first backfills that are due."""
    with pipeline.reading() as db:
        connected = {item.account_key: item for item in list_connections(db, statuses=[CONNECTED])}
        unasked = sync_requests.without_first_backfill(db)
    if unasked:
        with pipeline.writing() as db:
            ask_for_first_backfills(db, unasked, settings=pipeline.settings, now=pipeline.clock())
    known = context.instance.get_dynamic_partitions(str(ACCOUNTS.name))
    there = set(known)
    missing = [key for key in connected if key not in there]
    order = [*known, *missing]
    asked = _without_run(context.instance, pipeline, first_backfills=True, ordered_keys=order)
    for batch in asked:
        for key in batch.account_keys & connected.keys():
            days = len(batch.window.days)
            context.log.info(f"[SYNC] Running initial {days}-day IG backfill for {key}")
    if not asked and not missing:
        return dg.SkipReason(f"Nothing new: {len(connected)} accounts are connected.")
    return dg.SensorResult(
        run_requests=[_run_of(batch, order) for batch in asked],
        dynamic_partitions_requests=[ACCOUNTS.build_add_request(missing)],
    )


@dg.sensor(
    asset_selection=[*GRID_ASSETS, MEDIA_FILES],
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Rows of `sync_requests` become runs, once each: what the web service, Telegram or a reconnect asked for, and "
        "what a rate limit deferred or an outage spoilt, when its time has come."
    ),
)
def requested_syncs(
    context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> dg.SensorResult | dg.SkipReason:
    """Claim everything that is due but first backfills. An account that is not in the grid yet waits until it is."""
    known = context.instance.get_dynamic_partitions(str(ACCOUNTS.name))
    asked = _without_run(context.instance, pipeline, first_backfills=False, ordered_keys=known)
    if not asked:
        return dg.SkipReason("Nothing new is due.")
    return dg.SensorResult(run_requests=[_run_of(batch, known) for batch in asked])


def _without_run(
    instance: dg.DagsterInstance, pipeline: Pipeline, *, first_backfills: bool, ordered_keys: Sequence[str]
) -> list[Batch]:
    """Note what became of batches under way, claim what is due; the batches for which a run has to be asked for."""
    now = pipeline.clock()
    with pipeline.reading() as db:
        begun = under_way(db, first_backfills=first_backfills)
        anything_due = is_due(db, first_backfills=first_backfills, now=now)
    runs = _runs_of(instance, begun)
    for batch in begun:
        _note(pipeline, batch, runs.get(batch.id))
    if anything_due:
        with pipeline.writing() as db:
            claim(
                db,
                first_backfills=first_backfills,
                ordered_keys=ordered_keys,
                settings=pipeline.settings,
                now=now,
            )
    with pipeline.reading() as db:
        claimed = under_way(db, first_backfills=first_backfills)
    without = [batch for batch in claimed if batch.run_id is None and batch.id not in runs]
    known = set(ordered_keys)
    return [batch for batch in without if batch.account_keys <= known][:RUNS_A_TICK]


def _runs_of(instance: dg.DagsterInstance, batches: Iterable[Batch]) -> dict[str, dg.DagsterRun]:
    """Batch → the newest run that carries it, in whatever state; batches without a run are left out."""
    ids = {batch.id: batch for batch in batches}
    found: dict[str, dg.DagsterRun] = {}
    if ids:
        for run in instance.get_runs(filters=dg.RunsFilter(tags={BATCH_TAG: list(ids)})):
            found.setdefault(run.tags[BATCH_TAG], run)
    for batch in ids.values():
        # Runs from before an upgrade carry no batch.
        if batch.id not in found and batch.run_id and (older := instance.get_run_by_id(batch.run_id)):
            found[batch.id] = older
    return found


def _note(pipeline: Pipeline, batch: Batch, run: dg.DagsterRun | None) -> None:
    """Note that the run of a batch exists, or how it ended. A run deleted in the UI ends its requests too."""
    if run is None and batch.run_id is None:
        return
    goes_on = run is not None and (not run.is_finished or starts_again(run))
    if run is not None and goes_on and run.run_id == batch.run_id:
        return
    now = pipeline.clock()
    with pipeline.writing() as db:
        if run is None:
            ending.given_up(db, batch, detail="Its run was deleted in Dagster. Ask again.", now=now)
        elif goes_on:
            ending.seen(db, batch, run_id=run.run_id)
        elif run.status == dg.DagsterRunStatus.SUCCESS:
            ending.succeeded(db, batch, run_id=run.run_id, now=now)
        else:
            detail = f"Run {run.run_id} ended as {run.status.value}; its page in Dagster names the reasons."
            if run.status == dg.DagsterRunStatus.CANCELED:
                ending.given_up(db, batch, detail=detail, run_id=run.run_id, now=now)
            else:
                ending.failed(db, batch.requests, detail=detail, run_id=run.run_id, now=now)


def _run_of(batch: Batch, ordered_keys: Sequence[str]) -> dg.RunRequest:
    """The run of a batch: the same whenever it is asked for."""
    keys = tuple(key for key in ordered_keys if key in batch.account_keys)
    return run_request(
        Rectangle(keys, *batch.window),
        assets=[dg.AssetKey(name) for name in batch.assets],
        run_key=f"requests/{batch.id}",
        tags={
            BATCH_TAG: batch.id,
            **({OPTIONS_TAG: batch.flags} if batch.flags else {}),
            **({PERSON_TAG: "1"} if batch.is_by_a_person else {}),
        },
    )
