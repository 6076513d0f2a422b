"""The sensor of new connections: each gets its row in the grid and one run over its first days, exactly once.

A connection is marked only when its run exists, and the run is found by its tag. A crash anywhere between leaves
either no run and an unmarked connection, which is asked for again, or a run that the next tick finds.
A run that died for good, Dagster's own retries included, is followed by requests, each after a longer pause.
"""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import (
    CONNECTION_TAG,
    mark_first_backfill,
    run_request,
    run_tagged,
    runs_matching,
    starts_again,
)
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.storage import connections, sync_requests
from ig_pipeline.storage.connections import CONNECTED, Connection
from ig_pipeline.storage.overview import standings
from ig_pipeline.storage.sync_requests import UNFINISHED
from ig_pipeline.sync.ledger import BACKOFF, REMEMBERED
from ig_pipeline.sync.plan import Rectangle, initial_window

# The daemon looks every five seconds; a shorter interval means "at every look".
INTERVAL_SECONDS = 1
ASKED_BY = "first_backfill"
"""`requested_by` of the attempts after one that died."""

# A tick must answer within a minute; the daemon needs some 30 ms for a run request.
RUNS_A_TICK = 50


@dg.sensor(
    asset_selection=GRID_ASSETS,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "A connection without its first backfill gets its row in the grid and one run over its first days "
        "(IG_PIPELINE_INITIAL_BACKFILL_DAYS), however the connection was made."
    ),
)
def new_connections(
    context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> dg.SensorResult | dg.SkipReason:
    """Add missing accounts to the grid; ask for the first backfills that no run answers yet."""
    with pipeline.reading() as db:
        connected = connections.list_connections(db, statuses=[CONNECTED])
    known = set(context.instance.get_dynamic_partitions(str(ACCOUNTS.name)))
    missing = [connection.account_key for connection in connected if connection.account_key not in known]
    waiting = [connection for connection in connected if connection.initial_backfill_requested_at is None]
    _ask_again(context.instance, pipeline, connected)
    runs: list[dg.RunRequest] = []
    for connection in waiting[:RUNS_A_TICK]:
        if run := run_tagged(context.instance, CONNECTION_TAG, str(connection.id)):
            mark_first_backfill(pipeline, run)
        elif request := _first_backfill(pipeline, connection):
            days = pipeline.settings.initial_backfill_days
            context.log.info(f"[SYNC] Running initial {days}-day IG backfill for {connection.account_key}")
            runs.append(request)
    if not runs and not missing:
        return dg.SkipReason(f"Nothing new: {len(connected)} accounts are connected.")
    return dg.SensorResult(run_requests=runs, dynamic_partitions_requests=[ACCOUNTS.build_add_request(missing)])


def _first_backfill(pipeline: Pipeline, connection: Connection) -> dg.RunRequest | None:
    """The run to ask for; None when none of its days lies in the grid."""
    settings = pipeline.settings
    window = initial_window(
        instagram_day(pipeline.clock()), settings.initial_backfill_days, first_day=settings.first_day
    )
    if window is None:
        return None
    return run_request(
        Rectangle((connection.account_key,), *window),
        assets=GRID_ASSETS,
        run_key=f"initial/{connection.id}",
        tags={CONNECTION_TAG: str(connection.id)},
    )


def _ask_again(instance: dg.DagsterInstance, pipeline: Pipeline, connected: Sequence[Connection]) -> None:
    """Ask anew for first backfills whose run failed and left days that nobody has tried or put off.

    That is a run whose process died or could not start: what fails inside a run stands in the ledger. Three starts in
    a row are within a minute of each other, a bad deployment or a machine without memory takes longer to mend.
    """
    now, days = pipeline.clock(), pipeline.settings.initial_backfill_days
    young = [connection.account_key for connection in connected if _is_young(connection, now)]
    if not young:
        return
    with pipeline.reading() as db:
        found = standings(db, initial_days=days, account_keys=young)
    behind = {str(each.connection.id): each.connection for each in found if each.backfill.state == "running"}
    if not behind:
        return
    failed = dg.RunsFilter(tags={CONNECTION_TAG: list(behind)}, statuses=[dg.DagsterRunStatus.FAILURE])
    for run in runs_matching(instance, failed):
        if not starts_again(run):
            _enqueue(pipeline, behind[run.tags[CONNECTION_TAG]], run)


def _is_young(connection: Connection, now: datetime) -> bool:
    """Whether its first backfill was asked for so recently that its attempts are not over."""
    asked = connection.initial_backfill_requested_at
    return asked is not None and now - asked < REMEMBERED


def _enqueue(pipeline: Pipeline, connection: Connection, run: dg.DagsterRun) -> None:
    """The next attempt after `run`, unless one is under way or there were enough."""
    first, last = connection.initial_backfill_first, connection.initial_backfill_last
    since, now = connection.initial_backfill_requested_at, pipeline.clock()
    assert first is not None and last is not None and since is not None
    with pipeline.writing() as db:
        asked = sync_requests.asked_since(db, connection.account_key, kind="insights", since=since)
        attempt = sum(request.requested_by == ASKED_BY for request in asked)
        if attempt == len(BACKOFF) or any(request.status in UNFINISHED for request in asked):
            return
        sync_requests.enqueue(
            db,
            kind="insights",
            account_key=connection.account_key,
            first=first,
            last=last,
            requested_by=ASKED_BY,
            reason=f"Run {run.run_id}, the first backfill, died or could not start.",
            not_before=now + BACKOFF[attempt],
            dedupe=f"{ASKED_BY}:{connection.id}",
            now=now,
        )
