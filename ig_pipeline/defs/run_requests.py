"""Rectangles as run requests, and the tags that tell which batch of requests a run answers, and for whom."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from ig_pipeline.defs.partitions import ACCOUNT_TAG, RANGE_END, RANGE_START, cells_by_account, range_tags
from ig_pipeline.sync.plan import Rectangle

BATCH_TAG = "ig_pipeline/batch"
"""On a run that answers requests; its value is the batch that stands on their rows."""

OPTIONS_TAG = "ig_pipeline/options"
"""What a request says besides account and days, as JSON; assets that take options read it."""

NIGHT_TAG = "ig_pipeline/night"
"""On the runs of a night's tick; its value is the schedule's prefix and the night."""

RUN_KEY = "dagster/run_key"
"""Dagster's own, on runs that a schedule or sensor asked for."""

PERSON_TAG = "ig_pipeline/asked_by_a_person"
"""On a run that answers a person's request: what earlier runs learnt to be absent is asked for all the same."""

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of a run that may still write."""

# Runs read at once.
_PAGE = 200
# Dagster's own, on runs that nobody launched by hand; a retry of the daemon's has a number.
_BY_ITSELF = ("dagster/sensor_name", "dagster/schedule_name")
_PARENT, _RETRY_NUMBER = "dagster/parent_run_id", "dagster/retry_number"


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


def runs_matching(instance: dg.DagsterInstance, filters: dg.RunsFilter) -> Iterator[dg.DagsterRun]:
    """The runs that `filters` admits, newest first, read page by page."""
    last: str | None = None
    while page := instance.get_runs(filters=filters, cursor=last, limit=_PAGE):
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1].run_id


def starts_again(run: dg.DagsterRun) -> bool:
    """Whether the daemon will start a failed run again: its process died, its work did not fail."""
    return run.tags.get("dagster/will_retry") == "true"
