"""The asset of media files on the grid, and the previews in its cells.

Names what exists and tells Dagster what became of each cell; fetching is `sync.media_files`'.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date

import dagster as dg
import sqlalchemy as sa
from rich.filesize import decimal

from ig_pipeline.defs.cell_events import CellEvent, event_of
from ig_pipeline.defs.draining import drain
from ig_pipeline.defs.failures import failure_of
from ig_pipeline.defs.insights import POOL, cells_given, spec_of
from ig_pipeline.defs.media_requests import options_of, tell_requests
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.storage import media_items
from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.sync import registry
from ig_pipeline.sync.media_files.days import ASSET
from ig_pipeline.sync.media_files.results import BackfillResult
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncServices

MEDIA_FILES = dg.AssetKey(ASSET)

# Dagster's UI shows markdown without a click below 1,000 characters in all, the marks around the pictures included.
_PREVIEW_CHARACTERS = 900
_PREVIEWS = 2


def media_assets(grid: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    """`media_files` on `grid`."""

    @dg.multi_asset(
        name="instagram_media_files",
        specs=[spec_of(stream, grid) for stream in registry.chosen([ASSET])],
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=POOL,
    )
    def instagram_media_files(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[CellEvent]:
        cells, options = cells_given(context, grid), options_of(context.run)
        results: list[AccountDayResult] = []
        ended: list[BackfillResult] = []

        async def filling(services: SyncServices) -> AsyncIterator[AccountDayResult]:
            # Decoders and downloaders load in runs only, not in every code server.
            from ig_pipeline.sync.media_files.runs import media_file_days  # noqa: PLC0415
            from ig_pipeline.sync.media_files.services import open_media  # noqa: PLC0415

            run_id, by = context.run.run_id, f"dagster:{context.run.root_run_id or context.run.run_id}"
            async with open_media(services.settings) as media:
                async for result in media_file_days(
                    services, media, cells, run_id=run_id, triggered_by=by, options=options, ended=ended.append
                ):
                    yield result

        for result in drain(pipeline.results(filling)):
            results.append(result)
            if options is None or not options.dry_run:
                yield _shown(event_of(result), pipeline, result)
        if options is not None:
            yield from tell_requests(context, pipeline, ended, results)
            if not options.whole or not _all_settled(cells, results):
                return  # a failed run would turn cells red that it was never meant to settle; its requests have failed
        if failure := failure_of(results):
            raise failure

    return instagram_media_files


def _all_settled(cells: Mapping[str, Sequence[date]], results: Sequence[AccountDayResult]) -> bool:
    settled = {(result.account_key, result.date) for result in results}
    return all((key, day) in settled for key, days in cells.items() for day in days)


def _shown(event: CellEvent, pipeline: Pipeline, result: AccountDayResult) -> CellEvent:
    """The event of a written cell with what a person looks for first: pictures of the day's posts, and their size."""
    if not isinstance(event, dg.AssetMaterialization):
        return event
    first: dict[str, dg.MetadataValue] = {}
    if shown := _previews(pipeline, result):
        first["preview"] = dg.MetadataValue.md(" ".join(f"![post]({uri})" for uri in shown))
    if size := result.values.get("bytes"):
        first["size"] = dg.MetadataValue.text(decimal(int(size)))
    return event._replace(metadata={**first, **event.metadata})


def _previews(pipeline: Pipeline, result: AccountDayResult) -> list[str]:
    """A picture or two of the day's posts as `data:` addresses, where it has some."""
    if result.u_id is None or result.account_id is None:
        return []
    # Pillow, PyAV and the store's client load in runs only, not in every code server.
    from ig_pipeline.media_store.opening import open_store  # noqa: PLC0415
    from ig_pipeline.media_store.previews import thumbnails  # noqa: PLC0415

    try:
        with pipeline.reading() as db:
            keys = media_items.shown_of_day(db, result.u_id, result.account_id, result.date, limit=_PREVIEWS)
    except (DatabaseError, sa.exc.SQLAlchemyError):  # the cell is done and written; a picture is not worth a run
        return []
    return thumbnails(open_store(pipeline.settings), keys, at_most=_PREVIEW_CHARACTERS) if keys else []
