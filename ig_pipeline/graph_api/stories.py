"""Stories while they live: for 24 hours after posting, and then never again.

One call lists them with their insights; one that refuses, for too few viewers or any other reason, is asked for alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.catalogue import STORY_FIELDS, story_metrics_for
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.errors import MalformedAnswerError, PermissionMissingError
from ig_pipeline.graph_api.media_insights import REFUSALS, fetch_post_insights
from ig_pipeline.graph_api.media_nodes import Media, read_media
from ig_pipeline.graph_api.metric_fallback import absence_of
from ig_pipeline.graph_api.pages import Listing


@dataclass(frozen=True)
class Stories:
    """The stories alive at the moment of asking, newest first, and the HTTP calls it took.

    `unreadable`: rows of the listing that no story could be made of.
    """

    items: list[Media]
    calls: int
    unreadable: int = 0


async def fetch_stories(
    client: GraphClient,
    credentials: Credentials,
    *,
    metrics: tuple[str, ...] | None = None,
    with_insights: bool = True,
) -> Stories:
    """All live stories with the values of `metrics`; what a story cannot give stands in its `absences`.

    `metrics`: None for those the account's login has. Raises `GraphError`; a permission that every one of several
    stories lacks is the account's.
    """
    metrics = story_metrics_for(credentials.login) if metrics is None else metrics
    meter = CallMeter()
    listing = Listing(client, f"{credentials.account_id}/stories", credentials=credentials, meter=meter)
    items: list[Media] = []
    refused: list[PermissionMissingError] = []
    unreadable = 0
    while not listing.done:
        page = await _page(listing, metrics if with_insights else ())
        unreadable += page.unreadable
        for item in page.items:
            missing = tuple(metric for metric in metrics if metric not in (item.insights or {}))
            if with_insights and missing:
                item = await _alone(client, credentials, item, missing, meter=meter, refused=refused)  # noqa: PLW2901 - completed
            items.append(item)
    if len(refused) > 1 and len(refused) == len(items):
        raise refused[0]
    return Stories(items, meter.calls, unreadable)


@dataclass(frozen=True)
class _Page:
    items: list[Media]
    unreadable: int


async def _page(listing: Listing, metrics: tuple[str, ...]) -> _Page:
    bare: Mapping[str, str | int] = {"fields": ",".join(STORY_FIELDS)}
    if metrics:
        expanded = f"{bare['fields']},insights.metric({','.join(metrics)})"
        try:
            return await listing.page({**bare, "fields": expanded}, _read_rows)
        except REFUSALS:
            pass  # one story refuses for all: below, each for itself
    return await listing.page(bare, _read_rows)


async def _alone(
    client: GraphClient,
    credentials: Credentials,
    story: Media,
    metrics: tuple[str, ...],
    *,
    meter: CallMeter,
    refused: list[PermissionMissingError],
) -> Media:
    values: Mapping[str, int | float] = {}
    absences: Mapping[str, Absence]
    try:
        values, absences = await fetch_post_insights(client, credentials, story.id, metrics, meter=meter)
    except REFUSALS as error:
        absences = {"insights": absence_of("insights", error)}
        if isinstance(error, PermissionMissingError):
            refused.append(error)
    return story.model_copy(
        update={"insights": {**(story.insights or {}), **values}, "absences": {**story.absences, **absences}}
    )


def _read_rows(rows: list[Json]) -> _Page:
    items = []
    for row in rows:
        try:
            items.append(_read_story(row))
        except MalformedAnswerError:
            continue
    return _Page(items, len(rows) - len(items))


def _read_story(row: Json) -> Media:
    """A story has no likes to hide."""
    story = read_media(row)
    return story.model_copy(update={"absences": {k: v for k, v in story.absences.items() if k != "like_count"}})
