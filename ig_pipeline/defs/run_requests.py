"""Rectangles as run requests, and the tags by which a run is found again from the row it answers."""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from ig_pipeline.defs.partitions import ACCOUNT_TAG, RANGE_END, RANGE_START, cells_by_account, range_tags
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.storage import connections
from ig_pipeline.sync.plan import Rectangle

CONNECTION_TAG = "ig_pipeline/connection"
"""On the run of a connection's first backfill; its value is the connection's id."""

OPTIONS_TAG = "ig_pipeline/options"
"""What a request says besides account and days, as JSON; assets that take options read it."""


NIGHT_TAG = "ig_pipeline/night"
"""On the runs of a night's tick; its value is the schedule's prefix and the night."""

RUN_KEY = "dagster/run_key"
"""Dagster's own, on runs that a schedule or sensor asked for."""

PERSON_TAG = "ig_pipeline/asked_by_a_person"
"""On a run that answers a person's request: what earlier runs learnt to be absent is asked for all the same."""

_REQUEST = "ig_pipeline/request-"
# Dagster's own, on runs that nobody launched by hand; a retry of the daemon's has a number.
_BY_ITSELF = ("dagster/sensor_name", "dagster/schedule_name")
_PARENT, _RETRY_NUMBER = "dagster/parent_run_id", "dagster/retry_number"


def request_tag(request_id: int) -> str:
    """The name of the tag that a run carries for this row of `sync_requests`; its value is "1"."""
    return f"{_REQUEST}{request_id}"


def requests_of(run: dg.DagsterRun) -> list[int]:
    """The rows of `sync_requests` that a run answers."""
    return [int(name.removeprefix(_REQUEST)) for name in run.tags if name.startswith(_REQUEST)]


def run_request(
    rectangle: Rectangle, *, assets: Sequence[dg.AssetKey], run_key: str, tags: Mapping[str, str] | None = None
) -> dg.RunRequest:
    """One ranged run over `rectangle`.

    Without the assets' checks: they look at the whole grid and have a schedule of their own.
    """
    return _request({**range_tags(rectangle), **(tags or {})}, assets, run_key)


def same_request(run: dg.DagsterRun, *, assets: Sequence[dg.AssetKey]) -> dg.RunRequest:
    """What a night's run was asked for with: Dagster launches it if it was made and not launched."""
    names = (RANGE_START, RANGE_END, ACCOUNT_TAG, NIGHT_TAG)
    return _request({name: run.tags[name] for name in names if name in run.tags}, assets, run.tags[RUN_KEY])


def _request(tags: Mapping[str, str], assets: Sequence[dg.AssetKey], run_key: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=run_key, asset_selection=list(assets), asset_check_keys=[], tags=tags)


def accounts_of(run: dg.DagsterRun, ordered_keys: Sequence[str]) -> Sequence[str]:
    """The accounts of a ranged run, of the grid's keys in the grid's own order; none where its ends are not there."""
    ends = [key for tag in (RANGE_START, RANGE_END) if (cell := run.tags.get(tag)) for key in cells_by_account([cell])]
    if len(ends) != 2 or not set(ends) <= set(ordered_keys):  # an account was erased, and its name with it
        return ()
    return ordered_keys[ordered_keys.index(ends[0]) : ordered_keys.index(ends[1]) + 1]


def is_by_a_person(run: dg.DagsterRun) -> bool:
    """Whether a person asked for the run: by a request, in the UI, or by running one again there."""
    again = _PARENT in run.tags and _RETRY_NUMBER not in run.tags
    return PERSON_TAG in run.tags or again or not any(name in run.tags for name in _BY_ITSELF)


def run_tagged(instance: dg.DagsterInstance, name: str, value: str) -> dg.DagsterRun | None:
    """The newest run that carries the tag, in whatever state; None when there is none."""
    return next(iter(instance.get_runs(filters=dg.RunsFilter(tags={name: value}), limit=1)), None)


def runs_answering(instance: dg.DagsterInstance, request_ids: Iterable[int]) -> dict[int, dg.DagsterRun]:
    """Row of `sync_requests` → the newest run that carries its tag, in whatever state; rows without a run are left out.

    One look at the tags and one per run: after an outage a thousand rows wait, and a run answers a hundred of them.
    """
    ids = {request_tag(request_id): request_id for request_id in request_ids}
    found: dict[int, dg.DagsterRun] = {}
    for name, _ in instance.get_run_tags(tag_keys=list(ids)) if ids else ():
        if ids[name] not in found and (run := run_tagged(instance, name, "1")):
            found |= {ids[tag]: run for tag in run.tags if tag in ids}
    return found


def starts_again(run: dg.DagsterRun) -> bool:
    """Whether the daemon will start a failed run again: its process died, its work did not fail."""
    return run.tags.get("dagster/will_retry") == "true"


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
