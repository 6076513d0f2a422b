"""The sensor of new connections: each gets its row in the grid and one run over its first days, exactly once.

A connection is marked only when its run exists, and the run is found by its tag. A crash anywhere between leaves
either no run and an unmarked connection, which is asked for again, or a run that the next tick finds.
"""

import dagster as dg

from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import CONNECTION_TAG, mark_first_backfill, run_request, run_tagged
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.storage import connections
from ig_pipeline.storage.connections import CONNECTED, Connection
from ig_pipeline.sync.plan import Rectangle, initial_window

# The daemon looks every five seconds; a shorter interval means "at every look".
INTERVAL_SECONDS = 1
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
    runs: list[dg.RunRequest] = []
    for connection in waiting[:RUNS_A_TICK]:
        if run := run_tagged(context.instance, CONNECTION_TAG, str(connection.id)):
            mark_first_backfill(pipeline, run)
        elif request := _first_backfill(pipeline, connection):
            days = pipeline.settings.initial_backfill_days
            context.log.info(f"[SYNC] Running initial {days}-day IG backfill for {connection.email}")
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
