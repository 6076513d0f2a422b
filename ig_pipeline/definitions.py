"""The entry point Dagster loads. Puts together what `defs` names; decides nothing.

Needs no environment variable: a clone loads with the defaults of `settings`.
"""

import dagster as dg

from ig_pipeline.defs.insights import insight_assets
from ig_pipeline.defs.partitions import grid_from
from ig_pipeline.defs.resources import Pipeline


def build(pipeline: Pipeline) -> dg.Definitions:
    """All definitions on the grid that `pipeline`'s settings describe."""
    grid = grid_from(pipeline.settings.first_day)
    return dg.Definitions(
        assets=[insight_assets(grid)],
        resources={"pipeline": pipeline},
        # The work waits on the network; a process per step costs two seconds and shares nothing (design §11).
        executor=dg.in_process_executor,
    )
