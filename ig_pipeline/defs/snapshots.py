"""Streams beside the grid: one materialization a run for all accounts.

Not partitioned: they are of the moment they were asked for. How they are fetched is `sync`'s.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg

from ig_pipeline.defs.draining import drain
from ig_pipeline.defs.failures import failure_of
from ig_pipeline.defs.insights import POOL, spec_of
from ig_pipeline.defs.markdown import literal
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.sync.engine import due, take_snapshots
from ig_pipeline.sync.registry import Stream, snapshots
from ig_pipeline.sync.results import AccountDayResult

_BY_SCHEDULE = "dagster/schedule_name"


def snapshot_assets() -> list[dg.AssetsDefinition]:
    """An asset for each stream of the moment."""
    return [_asset_of(stream) for stream in snapshots()]


def _asset_of(stream: Stream) -> dg.AssetsDefinition:
    @dg.multi_asset(name=f"instagram_{stream.name}", specs=[spec_of(stream)], pool=POOL)
    def snapshot(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[dg.AssetMaterialization]:
        with pipeline.reading() as db:
            # Launched by a person it is for every account, now; a schedule leaves out those whose turn it is not.
            if _BY_SCHEDULE in context.run.tags:
                keys = due(db, stream.name, now=pipeline.clock())
            else:
                keys = [connection.account_key for connection in list_connections(db, statuses=[CONNECTED])]
        taking = partial(take_snapshots, account_keys=keys, asset=stream.name, run_id=context.run.run_id)
        results = list(drain(pipeline.results(taking)))
        yield dg.AssetMaterialization(stream.name, metadata=_metadata(results))
        if failure := failure_of(results):
            raise failure

    return snapshot


def _metadata(results: Sequence[AccountDayResult]) -> dict[str, dg.MetadataValue]:
    lines = ["| account | rows | calls | what |", "|---|---|---|---|"]
    for result in results:
        what = result.error or "; ".join(sorted(set(result.absences.values()))) or result.status
        lines.append(f"| {result.account_key} | {result.rows} | {result.calls} | {literal(what)} |")
    return {
        "accounts": dg.MetadataValue.int(len(results)),
        "rows": dg.MetadataValue.int(sum(result.rows for result in results)),
        "calls": dg.MetadataValue.int(sum(result.calls for result in results)),
        "per account": dg.MetadataValue.md("\n".join(lines)),
    }
