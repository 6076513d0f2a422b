"""The asset of media files on the grid, its nightly schedule (shipped stopped) and the previews in its cells.

Names what exists and tells Dagster what became of each cell; fetching is `sync.media_files`'.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import dagster as dg
import sqlalchemy as sa
from rich.filesize import decimal

from ig_pipeline.defs.cell_events import CellEvent, event_of
from ig_pipeline.defs.draining import drain
from ig_pipeline.defs.failures import failure_of
from ig_pipeline.defs.insights import GROUP, POOL, cells_given
from ig_pipeline.defs.media_requests import options_of, tell_requests
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import OPTIONS_TAG
from ig_pipeline.defs.schedules import nightly_runs
from ig_pipeline.graph_api.days import PACIFIC
from ig_pipeline.storage import media_items
from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.sync.media_files.results import BackfillResult
from ig_pipeline.sync.results import AccountDayResult

MEDIA_FILES = dg.AssetKey("media_files")

# Dagster's UI shows markdown without a click below 1,000 characters in all, the marks around the pictures included.
_PREVIEW_CHARACTERS = 900
_PREVIEWS = 2


def media_assets(grid: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    """`media_files` on `grid`."""

    @dg.multi_asset(
        name="instagram_media_files",
        specs=[
            dg.AssetSpec(
                MEDIA_FILES,
                description=(
                    "The pictures and videos posted on this day, as files in the media library with a row each in "
                    "`media_items`. Fetched on demand, never by itself: launch it for the days you want, or switch on "
                    "`nightly_media_files`. Stories only while they live: 24 hours. A run whose tag "
                    f"`{OPTIONS_TAG}` holds flags of the command line as JSON backfills its accounts accordingly."
                ),
                kinds={"instagram", "file"},
                group_name=GROUP,
                partitions_def=grid,
                skippable=True,
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=POOL,
    )
    def instagram_media_files(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[CellEvent]:
        cells, options = cells_given(context, grid), options_of(context.run)
        results: list[AccountDayResult] = []
        ended: list[BackfillResult] = []
        fetching = pipeline.media_cells(
            cells,
            run_id=context.run.run_id,
            triggered_by=f"dagster:{context.run.root_run_id or context.run.run_id}",
            options=options,
            ended=ended.append,
        )
        for result in drain(fetching):
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


@dg.schedule(
    # After the numbers, which begin at 02:17; a day is complete at Pacific midnight.
    cron_schedule="47 2 * * *",
    execution_timezone=PACIFIC.key,
    target=dg.AssetSelection.assets(MEDIA_FILES),
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description=(
        "Archives new posts of every connected account as they come. Stopped as shipped: files are many and large, "
        "whoever wants them switches it on."
    ),
)
def nightly_media_files(
    context: dg.ScheduleEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> list[dg.RunRequest] | dg.SkipReason:
    """The nightly window again, for files; what the library has costs a page of the listing."""
    return nightly_runs(context, pipeline, assets=[MEDIA_FILES], prefix="nightly-media")


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
