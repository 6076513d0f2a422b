"""Asset checks: those of the streams, and whether tokens will hold.

Unpartitioned on purpose: a partitioned check writes one evaluation for a whole ranged run and leaves the other cells
"planned" for ever (docs/dagster.md#asset-checks); these look at the whole database.

Those of the grid's assets are evaluated inside the assets' own step: it hands Dagster materializations, not outputs,
and a check that is a step of its own would be skipped after it.
"""

from collections.abc import Collection, Iterator

import dagster as dg

from ig_pipeline.defs.markdown import literal
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.storage.connections import CONNECTED, DISCONNECTED, list_connections
from ig_pipeline.sync import registry
from ig_pipeline.sync.data_access import ending_data_access
from ig_pipeline.sync.judgement import NEXT_STEP, judge_connections
from ig_pipeline.sync.registry import Finding
from ig_pipeline.sync.standing import expiring_tokens

_LISTED = 50
_GRID_CHECKS = [(stream, check) for stream in registry.chosen(registry.grid()) for check in stream.checks]

GRID_CHECK_SPECS = [
    dg.AssetCheckSpec(check.name, asset=stream.name, description=check.description) for stream, check in _GRID_CHECKS
]


def grid_check_results(pipeline: Pipeline, selected: Collection[dg.AssetCheckKey]) -> Iterator[dg.AssetCheckResult]:
    """An evaluation for each selected check of the grid's assets."""
    for spec, (_, check) in zip(GRID_CHECK_SPECS, _GRID_CHECKS, strict=True):
        if spec.key in selected:
            with pipeline.reading() as db:
                found = check.look(db, pipeline.settings, pipeline.clock())
            yield _result(spec.key, found, is_error=check.is_error)


@dg.asset_check(asset="access_tokens", description="Every connected account's token is valid for more than 7 days.")
def every_token_outlives_the_week(pipeline: dg.ResourceParam[Pipeline]) -> dg.AssetCheckResult:
    """Warns: a token refreshed in time never gets here."""
    with pipeline.reading() as db:
        found = expiring_tokens(db, now=pipeline.clock())
        count = len(list_connections(db, statuses=[CONNECTED]))
    guess = {True: ", assumed: Meta did not say", False: ""}
    return _of_tokens(
        "every_token_outlives_the_week",
        Finding(
            len(found),
            good=f"The tokens of all {count} connected accounts are valid for more than seven days.",
            bad=f"{len(found)} tokens end within seven days though they are refreshed before. Run "
            "`ig-pipeline tokens refresh`; if it refuses, ask the owners to connect again.",
            rows=[
                (item.account_key, f"until {item.expires_at:%Y-%m-%d %H:%M} UTC{guess[item.assumed]}") for item in found
            ],
        ),
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
    return _of_tokens(
        "every_account_can_be_read",
        Finding(
            len(found),
            good="Every account can be read for more than fourteen days.",
            bad=f"{len(found)} accounts cannot be read after the day named here, {urgent} of them within three days: "
            "their owners have not used the app for almost 90 days. Ask them to connect again, which counts as using "
            "it.",
            rows=[(item.account_key, f"until {item.ends_at:%Y-%m-%d %H:%M} UTC") for item in found],
        ),
    )


@dg.asset_check(asset="access_tokens", description="No connection waits for its owner or for the app's operator.")
def every_connection_works(pipeline: dg.ResourceParam[Pipeline]) -> dg.AssetCheckResult:
    """Warns, with who must act and Meta's reason, of connections that are connected and of those that were."""
    with pipeline.reading() as db:
        there = [one for one in list_connections(db) if one.status != DISCONNECTED]
        days = pipeline.settings.nightly_window_days
        judged = judge_connections(db, there, now=pipeline.clock(), window_days=days).values()
    found = [one for one in judged if one.state in ("owner", "operator")]
    return _of_tokens(
        "every_connection_works",
        Finding(
            len(found),
            good=f"All {len(there)} connections work.",
            bad=f"{len(found)} of {len(there)} connections wait for their owner or for the app's operator; the list "
            "says who must do what. What they lack is asked for again once that is done.",
            rows=[(one.connection.account_key, f"{NEXT_STEP[one.state]} {one.sentence or ''}") for one in found],
        ),
    )


TOKEN_CHECKS = [every_token_outlives_the_week, every_account_can_be_read, every_connection_works]


def _of_tokens(name: str, found: Finding) -> dg.AssetCheckResult:
    return _result(dg.AssetCheckKey(dg.AssetKey("access_tokens"), name), found)


def _result(key: dg.AssetCheckKey, found: Finding, *, is_error: bool = False) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not found.count,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=found.bad if found.count else found.good,
        metadata={
            "found": found.count,
            **({"which": dg.MetadataValue.md("\n".join(_lines(found)))} if found.rows else {}),
        },
    )


def _lines(found: Finding) -> list[str]:
    rows = [[literal(text) for text in row] for row in found.rows[:_LISTED]]
    if found.headings:
        heads = [f"| {' | '.join(found.headings)} |", "|---" * len(found.headings) + "|"]
        return [*heads, *(f"| {' | '.join(row)} |" for row in rows)]
    return [f"- **{row[0]}**: {', '.join(row[1:])}" if len(row) > 1 else f"- {row[0]}" for row in rows]
