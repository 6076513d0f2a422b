"""The asset that keeps tokens alive: refreshed before they end, four times a day.

Not partitioned: a token belongs to an account, not to a day.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

import dagster as dg

from ig_pipeline.defs.insights import GROUP
from ig_pipeline.defs.markdown import literal
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.storage.connections import RECONNECT_REQUIRED, Connection, list_connections
from ig_pipeline.sync.token_refresh import TokenResult


@dg.asset(
    group_name=GROUP,
    kinds={"instagram"},
    description=(
        "The access token of every connected account, refreshed when it ends within seven days. Meta is asked when a "
        "token ends and until when it reads. An account whose token Meta refuses for good is marked "
        "`reconnect_required` and left out of every later plan."
    ),
)
def access_tokens(
    context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
) -> dg.MaterializeResult[None]:
    """Refresh what is due; never fails for one account."""
    results = asyncio.run(pipeline.refreshed_tokens())
    for result in results:
        if result.error:
            context.log.warning(f"[TOKENS] {result.account_key}: {result.error}")
    with pipeline.reading() as db:
        lapsed = list_connections(db, statuses=[RECONNECT_REQUIRED])
    return dg.MaterializeResult(metadata=_metadata(results, lapsed))


def _until(result: TokenResult) -> str:
    end = f"{result.expires_at or 'no end'}{' (assumed)' if result.assumed else ''}"
    reads_until = result.data_access_expires_at
    return f"{end}; reads until {reads_until}" if reads_until else end


def _metadata(results: Sequence[TokenResult], lapsed: Sequence[Connection]) -> dict[str, dg.MetadataValue]:
    """`lapsed`: accounts whose owner has to connect again, those that this run marked included."""
    asked = {result.account_key for result in results}
    before = [connection for connection in lapsed if connection.account_key not in asked]
    counts = Counter(result.outcome or "failed" for result in results) + Counter(reconnect_required=len(before))
    lines = ["| account | outcome | valid until |", "|---|---|---|"]
    lines += [
        f"| {result.account_key} | {literal(result.outcome or result.error or '')} | {_until(result)} |"
        for result in results
        if result.outcome != "not_due"
    ]
    lines += [f"| {one.account_key} | {literal(one.status_message or 'reconnect_required')} | - |" for one in before]
    return {
        "accounts": dg.MetadataValue.int(len(results) + len(before)),
        **{outcome.replace("_", " "): dg.MetadataValue.int(count) for outcome, count in sorted(counts.items())},
        **({"what happened": dg.MetadataValue.md("\n".join(lines))} if len(lines) > 2 else {}),
    }
