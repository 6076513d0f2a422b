"""The assets of the grid that hold numbers, filled together by one step, and how a stream becomes an asset.

Names what exists and tells Dagster, cell by cell, what became of it. How cells are fetched is `sync`'s.
A generator that yields one materialization per cell and raises one failure at the end is the only form in which
finished cells turn green and exactly the missing ones red: a function that returns None marks every cell of the range
green (docs/dagster.md#failure-isolation).
"""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import cast

import dagster as dg

from ig_pipeline.defs.cell_events import CellEvent, event_of
from ig_pipeline.defs.checks import GRID_CHECK_SPECS, grid_check_results
from ig_pipeline.defs.draining import drain
from ig_pipeline.defs.failures import GridMismatchError, failure_of
from ig_pipeline.defs.partitions import RANGE_END, RANGE_START, cells_by_account
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import is_by_a_person
from ig_pipeline.sync import registry
from ig_pipeline.sync.registry import Stream
from ig_pipeline.sync.results import AccountDayResult

POOL = "graph_api"
"""Steps that call Meta; their number is bounded in dagster.yaml."""

GROUP = "instagram"


def spec_of(stream: Stream, grid: dg.MultiPartitionsDefinition | None = None) -> dg.AssetSpec:
    """A stream as Dagster shows it; on `grid`, where it has a cell a day."""
    tables = " and ".join(f"`{name}`" for name in stream.tables)
    return dg.AssetSpec(
        stream.name,
        deps=stream.upstream,
        description=f"{stream.description} {'Tables' if len(stream.tables) > 1 else 'Table'} {tables}.",
        kinds=set(stream.kinds),
        group_name=GROUP,
        partitions_def=grid,
        skippable=True,
    )


GRID_ASSETS = [dg.AssetKey(name) for name in registry.grid()]
"""Keys of the assets that every sync fills, upstream first."""


def insight_assets(grid: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    """The streams of every sync on `grid`, with their checks."""

    @dg.multi_asset(
        name="instagram_insights",
        specs=[spec_of(stream, grid) for stream in registry.chosen(registry.grid())],
        check_specs=GRID_CHECK_SPECS,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=POOL,
    )
    def instagram_insights(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[CellEvent | dg.AssetCheckResult]:
        results: list[AccountDayResult] = []
        if wanted := [key.to_user_string() for key in GRID_ASSETS if key in context.selected_asset_keys]:
            cells = cells_given(context, grid)
            asks_everything = is_by_a_person(context.run)
            filling = partial(
                pipeline.fetch,
                cells=cells,
                assets=wanted,
                run_id=context.run.run_id,
                asks_everything=asks_everything,
            )
            for result in drain(pipeline.results(filling)):
                results.append(result)
                yield event_of(result)
        yield from grid_check_results(pipeline, context.selected_asset_check_keys)
        if failure := failure_of(results):
            raise failure

    return instagram_insights


def cells_given(context: dg.AssetExecutionContext, grid: dg.MultiPartitionsDefinition) -> dict[str, list[date]]:
    """Account → days of this run.

    Raises `GridMismatchError` when the run's tags ask for other cells than the step was given: a backfill of a
    partitioned *job* in 1.13 hands over one cell of thirty and reports success
    (docs/dagster.md#job-backfills-of-multi-partitions).
    """
    given = {str(key) for key in context.partition_keys}
    first, last = context.run.tags.get(RANGE_START), context.run.tags.get(RANGE_END)
    if first and last:
        asked = grid.get_partition_keys_in_range(
            dg.PartitionKeyRange(first, last), dynamic_partitions_store=context.instance
        )
        if set(map(str, asked)) != given:
            raise GridMismatchError(first=first, last=last, asked=len(asked), given=len(given))
    return cells_by_account(cast("list[str]", context.partition_keys))
