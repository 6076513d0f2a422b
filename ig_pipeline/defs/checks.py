"""Asset checks: whether the grid is whole and true, and whether tokens and API version will hold.

What they look for is `sync.standing`'s. Unpartitioned on purpose: a partitioned check writes one evaluation for a whole
ranged run and leaves the other cells "planned" for ever (facts/dagster.md §4); these look at the whole database.

Those of the grid's assets are evaluated inside the assets' own step: it hands Dagster materializations, not outputs,
and a check that is a step of its own would be skipped after it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import dagster as dg

from ig_pipeline.defs.markdown import literal
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.versions import version_warning
from ig_pipeline.meta import advice_on
from ig_pipeline.storage.connections import CONNECTED, DISCONNECTED, list_connections
from ig_pipeline.sync.data_access import ending_data_access
from ig_pipeline.sync.judgement import NEXT_STEP, judge_connections, judge_night
from ig_pipeline.sync.standing import expiring_tokens, impossible_rows, missing_by_account

_LISTED = 50


def grid_check_results(pipeline: Pipeline, selected: Collection[dg.AssetCheckKey]) -> Iterator[dg.AssetCheckResult]:
    """An evaluation for each selected check of the grid's assets."""
    for spec, evaluate in _GRID_CHECKS:
        if spec.key in selected:
            yield evaluate(pipeline)


@dg.asset_check(asset="access_tokens", description="Every connected account's token is valid for more than 7 days.")
def every_token_outlives_the_week(pipeline: dg.ResourceParam[Pipeline]) -> dg.AssetCheckResult:
    """Warns: a token refreshed in time never gets here."""
    with pipeline.reading() as db:
        found = expiring_tokens(db, now=pipeline.clock())
        count = len(list_connections(db, statuses=[CONNECTED]))
    lines = [
        f"- **{item.account_key}**: until {item.expires_at:%Y-%m-%d %H:%M} UTC{_guess(assumed=item.assumed)}"
        for item in found[:_LISTED]
    ]
    return _result(
        "access_tokens",
        "every_token_outlives_the_week",
        lines,
        count=len(found),
        good=f"The tokens of all {count} connected accounts are valid for more than seven days.",
        bad=f"{len(found)} tokens end within seven days though they are refreshed before. Run "
        "`ig-pipeline tokens refresh`; if it refuses, ask the owners to connect again.",
    )


@dg.asset_check(
    asset="access_tokens",
    description="Every owner has used the app recently enough for Meta to let us read for 14 more days.",
)
def every_account_can_be_read(pipeline: dg.ResourceParam[Pipeline]) -> dg.AssetCheckResult:
    """Warns: renewing tokens does not move this end, only the owners can."""
    with pipeline.reading() as db:
        found = ending_data_access(db, now=pipeline.clock())
    urgent = sum(item.urgent for item in found)
    lines = [f"- **{item.account_key}**: until {item.ends_at:%Y-%m-%d %H:%M} UTC" for item in found[:_LISTED]]
    return _result(
        "access_tokens",
        "every_account_can_be_read",
        lines,
        count=len(found),
        good="Every account can be read for more than fourteen days.",
        bad=f"{len(found)} accounts cannot be read after the day named here, {urgent} of them within three days: their "
        "owners have not used the app for almost 90 days. Ask them to connect again, which counts as using it.",
    )


@dg.asset_check(asset="access_tokens", description="No connection waits for its owner or for the app's operator.")
def every_connection_works(pipeline: dg.ResourceParam[Pipeline]) -> dg.AssetCheckResult:
    """Warns, with who must act and Meta's reason, of connections that are connected and of those that were."""
    with pipeline.reading() as db:
        there = [one for one in list_connections(db) if one.status != DISCONNECTED]
        days = pipeline.settings.nightly_window_days
        judged = judge_connections(db, there, now=pipeline.clock(), window_days=days).values()
    found = [one for one in judged if one.state in ("owner", "operator")]
    lines = [
        f"- **{one.connection.account_key}**: {NEXT_STEP[one.state]} {literal(one.sentence or '')}"
        for one in found[:_LISTED]
    ]
    return _result(
        "access_tokens",
        "every_connection_works",
        lines,
        count=len(found),
        good=f"All {len(there)} connections work.",
        bad=f"{len(found)} of {len(there)} connections wait for their owner or for the app's operator; the list says "
        "who must do what. What they lack is asked for again once that is done.",
    )


TOKEN_CHECKS = [every_token_outlives_the_week, every_account_can_be_read, every_connection_works]


def _guess(*, assumed: bool) -> str:
    return ", assumed: Meta did not say" if assumed else ""


def _every_window_is_complete(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Warns, with the missing days per account."""
    settings = pipeline.settings
    with pipeline.reading() as db:
        found = missing_by_account(
            db, now=pipeline.clock(), days=settings.initial_backfill_days, first_day=settings.first_day
        )
    lines = [
        f"- **{item.account_key}**: {len(item.days)} days, {item.days[0]} to {item.days[-1]}"
        for item in found[:_LISTED]
    ]
    return _result(
        "daily_metrics",
        "every_window_is_complete",
        lines,
        count=len(found),
        good="No day is missing.",
        bad=f"{len(found)} accounts lack days. Select them on the Partitions page and materialize with "
        "“Backfill only failed and missing partitions”.",
    )


def _the_last_night_is_whole(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Warns, with whose cells are not complete, why, and what happens next."""
    settings = pipeline.settings
    with pipeline.reading() as db:
        night = judge_night(
            db, now=pipeline.clock(), window_days=settings.nightly_window_days, first_day=settings.first_day
        )
    days = f"{night.window.first} to {night.window.last}" if night.window else "no day"
    lines = ["| account | not complete | why | next |", "|---|---|---|---|"] if night.incomplete else []
    lines += [
        f"| {one.account_key} | {one.missing} of {one.cells} | {literal(one.why)} | {NEXT_STEP[one.state]} |"
        for one in night.incomplete[:_LISTED]
    ]
    return _result(
        "daily_metrics",
        "the_last_night_is_whole",
        lines,
        count=night.cells - night.complete,
        good=f"All {night.cells} cells of {days} are complete.",
        bad=f"{night.cells - night.complete} of {night.cells} cells of {days} are not complete, "
        f"in {len(night.incomplete)} accounts; the table says whose, why and what happens next.",
    )


def _every_number_is_possible(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Fails: such rows come from a fault of ours or a change at Meta."""
    with pipeline.reading() as db:
        found = impossible_rows(db, now=pipeline.clock())
    return _result(
        "daily_metrics",
        "every_number_is_possible",
        [f"- {sentence}" for sentence in found],
        count=len(found),
        good="All rows are possible.",
        bad="There are rows that cannot be true.",
        severity=dg.AssetCheckSeverity.ERROR,
    )


def _graph_version_is_served(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Warns from 90 days before Meta switches the version off."""
    warning = version_warning(pipeline.settings.graph_version, instagram_day(pipeline.clock()))
    return _result(
        "account_insights",
        "graph_version_is_served",
        [],
        count=int(warning is not None),
        good=f"{pipeline.settings.graph_version} is served for at least 90 more days.",
        bad=f"{warning.sentence} {advice_on(warning)}" if warning else "",
    )


def _result(
    asset: str,
    name: str,
    lines: Sequence[str],
    *,
    count: int,
    good: str,
    bad: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=not count,
        severity=severity,
        description=bad if count else good,
        metadata={"found": count, **({"which": dg.MetadataValue.md("\n".join(lines))} if lines else {})},
    )


_GRID_CHECKS: list[tuple[dg.AssetCheckSpec, Callable[[Pipeline], dg.AssetCheckResult]]] = [
    (
        dg.AssetCheckSpec(
            "every_window_is_complete",
            asset="daily_metrics",
            description="Every connected account has each day of its window (IG_PIPELINE_INITIAL_BACKFILL_DAYS).",
        ),
        _every_window_is_complete,
    ),
    (
        dg.AssetCheckSpec(
            "the_last_night_is_whole",
            asset="daily_metrics",
            description="Every cell of the last night's days (IG_PIPELINE_NIGHTLY_WINDOW_DAYS) is complete.",
        ),
        _the_last_night_is_whole,
    ),
    (
        dg.AssetCheckSpec(
            "every_number_is_possible",
            asset="daily_metrics",
            description="No number is negative and no day lies ahead, in any table.",
        ),
        _every_number_is_possible,
    ),
    (
        dg.AssetCheckSpec(
            "graph_version_is_served",
            asset="account_insights",
            description="Meta goes on serving the Graph API version we ask for.",
        ),
        _graph_version_is_served,
    ),
]

GRID_CHECK_SPECS = [spec for spec, _ in _GRID_CHECKS]
