"""Assets beside the grid, one materialization a run for all accounts: demographics, followers online, stories.

Not partitioned: they are of the moment they were asked for. How they are fetched is `sync`'s.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from ig_pipeline.defs.draining import drain
from ig_pipeline.defs.failures import failure_of
from ig_pipeline.defs.insights import GROUP, POOL
from ig_pipeline.defs.markdown import literal
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.graph_api.days import PACIFIC
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.sync.results import AccountDayResult, AudienceAsset

DESCRIPTIONS: dict[AudienceAsset, str] = {
    "demographics": (
        "Followers, engaged and reached audience of every connected account by country, city, age and gender, once a "
        "week. Instagram gives them from 100 people on. Table `audience_demographics`."
    ),
    "online_followers": (
        "How many followers were online in each hour of the last thirty days, for accounts with 100 followers or "
        "more. Table `online_followers`."
    ),
    "stories": (
        "The stories alive right now with their numbers. Instagram forgets a story after 24 hours: what is not polled "
        "is lost. Switch on `story_polling` to keep them. Table `stories`."
    ),
}
_BY_SCHEDULE = "dagster/schedule_name"


def _asset_of(name: AudienceAsset) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"instagram_{name}",
        specs=[
            dg.AssetSpec(
                name, description=DESCRIPTIONS[name], kinds={"instagram", "sql"}, group_name=GROUP, skippable=True
            )
        ],
        pool=POOL,
    )
    def snapshot(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[dg.AssetMaterialization]:
        # Launched by a person it is for every account, now; the daily schedule leaves out whose week is not over.
        keys = _accounts(pipeline, only_due=name == "demographics" and _BY_SCHEDULE in context.run.tags)
        results = list(drain(pipeline.snapshots(name, keys, run_id=context.run.run_id)))
        yield dg.AssetMaterialization(name, metadata=_metadata(results))
        if failure := failure_of(results):
            raise failure

    return snapshot


AUDIENCE_ASSETS: tuple[dg.AssetsDefinition, ...] = tuple(map(_asset_of, DESCRIPTIONS))


@dg.schedule(
    cron_schedule="37 3 * * *",
    execution_timezone=PACIFIC.key,
    target=dg.AssetSelection.assets("demographics", "online_followers"),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Followers online every night; demographics of the accounts whose last snapshot is a week old.",
)
def audience_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run over all accounts."""
    return dg.RunRequest(run_key=f"audience/{context.scheduled_execution_time:%Y-%m-%d}")


@dg.schedule(
    # Every three hours: a story is seen eight times in its life, last when it is at least 21 hours old.
    cron_schedule="7 */3 * * *",
    execution_timezone=PACIFIC.key,
    target=dg.AssetSelection.assets("stories"),
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Polls live stories every three hours. Stopped as shipped: it spends eight calls per account and day.",
)
def story_polling(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run over all accounts."""
    return dg.RunRequest(run_key=f"stories/{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")


def _accounts(pipeline: Pipeline, *, only_due: bool) -> list[str]:
    # pandas loads in runs only, not in every code server.
    from ig_pipeline.sync.audience import demographics_due  # noqa: PLC0415

    with pipeline.reading() as db:
        if only_due:
            return demographics_due(db, now=pipeline.clock())
        return [connection.account_key for connection in list_connections(db, statuses=[CONNECTED])]


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
