"""Rectangles as run requests, and the tags by which a run is found again from the row it answers."""

from collections.abc import Mapping, Sequence

import dagster as dg

from ig_pipeline.defs.partitions import RANGE_END, RANGE_START, cells_by_account, range_tags
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.storage import connections
from ig_pipeline.sync.plan import Rectangle

CONNECTION_TAG = "ig_pipeline/connection"
"""On the run of a connection's first backfill; its value is the connection's id."""

OPTIONS_TAG = "ig_pipeline/options"
"""What a request says besides account and days, as JSON; assets that take options read it."""


def request_tag(request_id: int) -> str:
    """The name of the tag that a run carries for this row of `sync_requests`; its value is "1"."""
    return f"ig_pipeline/request-{request_id}"


def run_request(
    rectangle: Rectangle, *, assets: Sequence[dg.AssetKey], run_key: str, tags: Mapping[str, str] | None = None
) -> dg.RunRequest:
    """One ranged run over `rectangle`.

    Without the assets' checks: they look at the whole grid and have a schedule of their own.
    """
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=list(assets),
        asset_check_keys=[],
        tags={**range_tags(rectangle), **(tags or {})},
    )


def run_tagged(instance: dg.DagsterInstance, name: str, value: str) -> dg.DagsterRun | None:
    """The newest run that carries the tag, in whatever state; None when there is none."""
    return next(iter(instance.get_runs(filters=dg.RunsFilter(tags={name: value}), limit=1)), None)


def mark_first_backfill(pipeline: Pipeline, run: dg.DagsterRun) -> None:
    """Note on its connection that `run` is its first backfill. Runs of other kinds and marked ones are let be."""
    if CONNECTION_TAG not in run.tags:
        return
    days = [day for cell in (run.tags[RANGE_START], run.tags[RANGE_END]) for day in cells_by_account([cell]).values()]
    (first,), (last,) = days
    with pipeline.writing() as db:
        connections.mark_initial_backfill_requested(
            db, int(run.tags[CONNECTION_TAG]), first=first, last=last, now=pipeline.clock()
        )
