"""When work starts by the clock: streams as they say, the refreshing of tokens, the look over the grid.

Schedules target assets, never a partitioned job (docs/dagster.md#job-backfills-of-multi-partitions). Which cells a
night asks for is `sync.plan`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import dagster as dg

from ig_pipeline.defs.checks import GRID_CHECK_SPECS, TOKEN_CHECKS
from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import NIGHT_TAG, RUN_KEY, accounts_of, run_request, same_request
from ig_pipeline.defs.tokens import access_tokens
from ig_pipeline.graph_api.days import PACIFIC, instagram_day
from ig_pipeline.storage import connections
from ig_pipeline.storage.connections import CONNECTED
from ig_pipeline.sync.plan import nightly_rectangles
from ig_pipeline.sync.registry import Stream, streams


@dataclass(frozen=True)
class _Clock:
    """When streams of one grain are asked for. `prefix`: of its run keys. `cron`: Pacific."""

    prefix: str
    cron: str
    description: str
    runs: bool = True
    """Whether it runs as shipped."""


_CLOCKS = {
    # A day is complete at Pacific midnight; off the hour so that a thousand deployments do not call at once.
    "nightly_sync": _Clock(
        "nightly",
        "17 2 * * *",
        "Yesterday and the days before it (IG_PIPELINE_NIGHTLY_WINDOW_DAYS) of every connected account, at most "
        "IG_PIPELINE_ACCOUNTS_PER_RUN accounts a run: Meta settles its numbers for up to 48 hours.",
    ),
    # After the numbers. The nightly window again, for files; what the library has costs a page of the listing.
    "nightly_media_files": _Clock(
        "nightly-media",
        "47 2 * * *",
        "Archives new posts of every connected account as they come. Stopped as shipped: files are many and large, "
        "whoever wants them switches it on.",
        runs=False,
    ),
    "audience_refresh": _Clock(
        "audience",
        "37 3 * * *",
        "Followers online every night; demographics of the accounts whose last snapshot is a week old.",
    ),
    # A story is seen eight times in its life, last when it is at least 21 hours old.
    "story_polling": _Clock(
        "stories",
        "7 */3 * * *",
        "Polls live stories every three hours. Stopped as shipped: it spends eight calls per account and day.",
        runs=False,
    ),
}


def stream_schedules() -> list[dg.ScheduleDefinition]:
    """The schedules of the streams. Raises `ValueError` for a stream that names none of them."""
    of_clock: dict[str, list[Stream]] = {name: [] for name in _CLOCKS}
    for stream in streams():
        if stream.schedule not in of_clock:
            raise ValueError(f"The stream {stream.name} names the schedule {stream.schedule}: {', '.join(_CLOCKS)}.")
        of_clock[stream.schedule].append(stream)
    return [_schedule(name, _CLOCKS[name], chosen) for name, chosen in of_clock.items()]


def _schedule(name: str, clock: _Clock, chosen: Sequence[Stream]) -> dg.ScheduleDefinition:
    keys = [dg.AssetKey(stream.name) for stream in chosen]

    @dg.schedule(
        name=name,
        cron_schedule=clock.cron,
        execution_timezone=PACIFIC.key,
        target=dg.AssetSelection.assets(*keys),
        default_status=dg.DefaultScheduleStatus.RUNNING if clock.runs else dg.DefaultScheduleStatus.STOPPED,
        description=clock.description,
    )
    def runs(
        context: dg.ScheduleEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        if chosen[0].grain == "account-day":
            return _nightly_runs(context, pipeline, assets=keys, prefix=clock.prefix)
        # One run over all accounts.
        return [dg.RunRequest(run_key=f"{clock.prefix}/{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")]

    return runs


def _nightly_runs(
    context: dg.ScheduleEvaluationContext, pipeline: Pipeline, *, assets: Sequence[dg.AssetKey], prefix: str
) -> list[dg.RunRequest] | dg.SkipReason:
    """Runs of `assets` over the nightly window of every connected account; run keys begin with `prefix`.

    A tick may be evaluated again after some of its runs were made (its daemon died), and accounts may have come or
    gone by then. The runs it has are asked for under their keys, so that one that was not launched yet is; new ones
    cover the accounts that none of them covers.
    """
    settings = pipeline.settings
    # The night the tick stands for: repeated hours later, or after midnight, it still means the same days.
    today = instagram_day(context.scheduled_execution_time)
    with pipeline.reading() as db:
        connected = [connection.account_key for connection in connections.list_connections(db, statuses=[CONNECTED])]
    ordered_keys = context.instance.get_dynamic_partitions(str(ACCOUNTS.name))
    night = {NIGHT_TAG: f"{prefix}/{today}"}
    # A run an account at most, each started again a few times.
    made = context.instance.get_runs(filters=dg.RunsFilter(tags=night), limit=4 * len(ordered_keys) + 1)
    covered = {run.run_id: accounts_of(run, ordered_keys) for run in made if RUN_KEY in run.tags}
    planned = nightly_rectangles(
        ordered_keys,
        connected=set(connected).difference(*covered.values()),
        today=today,
        window_days=settings.nightly_window_days,
        per_run=settings.accounts_per_run,
        first_day=settings.first_day,
    )
    requests = {run.tags[RUN_KEY]: same_request(run, assets=assets) for run in made if covered.get(run.run_id)}
    for rectangle in planned:
        accounts = sha256(",".join(rectangle.account_keys).encode()).hexdigest()[:16]
        key = f"{night[NIGHT_TAG]}/{accounts}"
        requests[key] = run_request(rectangle, assets=assets, run_key=key, tags=night)
    return list(requests.values()) or dg.SkipReason("No connected account, or no day of the window lies in the grid.")


@dg.schedule(
    cron_schedule="43 */6 * * *",
    execution_timezone=PACIFIC.key,
    target=dg.AssetSelection.assets(access_tokens),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Refreshes tokens that end within seven days; then the check looks whether all others last longer.",
)
def token_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run over all accounts."""
    return dg.RunRequest(run_key=f"tokens/{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")


@dg.schedule(
    # After the night's runs are over (they begin at 02:17), then through the day.
    cron_schedule="13 5,11,17,23 * * *",
    execution_timezone=PACIFIC.key,
    target=dg.AssetSelection.checks(*TOKEN_CHECKS, *(spec.key for spec in GRID_CHECK_SPECS)),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks over the whole grid, the tokens and the API version.",
)
def grid_checks(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run that evaluates every check."""
    return dg.RunRequest(run_key=f"checks/{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")
