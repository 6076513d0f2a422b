"""The entry point Dagster loads. Puts together what `defs` names; decides nothing.

Needs no environment variable: a clone loads with the defaults of `settings`.
"""

import gc

import dagster as dg

from ig_pipeline.defs.checks import TOKEN_CHECKS
from ig_pipeline.defs.deletions import deletions, forget_accounts
from ig_pipeline.defs.insights import insight_assets
from ig_pipeline.defs.media_files import media_assets
from ig_pipeline.defs.partitions import grid_from
from ig_pipeline.defs.requested_syncs import new_connections, requested_syncs
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.schedules import grid_checks, stream_schedules, token_refresh
from ig_pipeline.defs.snapshots import snapshot_assets
from ig_pipeline.defs.tokens import access_tokens
from ig_pipeline.redaction import quiet_chatty_loggers


def build(pipeline: Pipeline) -> dg.Definitions:
    """All definitions on the grid that `pipeline`'s settings describe. Raises `SettingsError`."""
    grid = grid_from(pipeline.settings.first_day)
    return dg.Definitions(
        assets=[insight_assets(grid), media_assets(grid), access_tokens, *snapshot_assets()],
        asset_checks=TOKEN_CHECKS,
        jobs=[forget_accounts],
        sensors=[new_connections, requested_syncs, deletions],
        schedules=[*stream_schedules(), token_refresh, grid_checks],
        resources={"pipeline": pipeline},
        # The work waits on the network; a process per step costs two seconds and shares nothing
        # (docs/architecture.md#embedded-and-distributed).
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev`, `ig-pipeline up` and every run load."""
    quiet_chatty_loggers()
    definitions = build(Pipeline())
    gc.freeze()  # what a process of Dagster's has loaded by now stays; the collector need not look at it again
    return definitions
