"""Stories while they live: for 24 hours after posting, and then never again (facts §2.3).

One call lists them with their insights; below five viewers a story refuses, and is then asked for alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.catalogue import MEDIA_PAGE_SIZE, STORY_FIELDS, story_metrics_for
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.culprits import absence_of
from ig_pipeline.graph_api.errors import BadRequestError, NoDataError, ObjectGoneError
from ig_pipeline.graph_api.media_insights import fetch_post_insights
from ig_pipeline.graph_api.media_nodes import Media, read_media
from ig_pipeline.graph_api.pages import Listing


@dataclass(frozen=True)
class Stories:
    """The stories alive at the moment of asking, newest first, and the HTTP calls it took."""

    items: list[Media]
    calls: int


async def fetch_stories(
    client: GraphClient,
    credentials: Credentials,
    *,
    metrics: tuple[str, ...] | None = None,
    with_insights: bool = True,
) -> Stories:
    """All live stories with the values of `metrics`; what a story cannot give stands in its `absences`.

    `metrics`: None for those the account's login has. Raises `GraphError`.
    """
    metrics = story_metrics_for(credentials.login) if metrics is None else metrics
    meter = CallMeter()
    listing = Listing(client, f"{credentials.account_id}/stories", credentials=credentials, meter=meter)
    items: list[Media] = []
    while not listing.done:
        page = await _page(listing, metrics if with_insights else ())
        for item in page:
            missing = tuple(metric for metric in metrics if metric not in (item.insights or {}))
            if with_insights and missing:
                item = await _alone(client, credentials, item, missing, meter)  # noqa: PLW2901 - the same story, completed
            items.append(item)
    return Stories(items, meter.calls)


async def _page(listing: Listing, metrics: tuple[str, ...]) -> list[Media]:
    bare: Mapping[str, str | int] = {"fields": ",".join(STORY_FIELDS), "limit": MEDIA_PAGE_SIZE}
    if metrics:
        expanded = f"{bare['fields']},insights.metric({','.join(metrics)})"
        try:
            return await listing.page({**bare, "fields": expanded}, _read_rows)
        except (BadRequestError, NoDataError):
            pass  # one story refuses for all: below, each for itself
    return await listing.page(bare, _read_rows)


async def _alone(
    client: GraphClient, credentials: Credentials, story: Media, metrics: tuple[str, ...], meter: CallMeter
) -> Media:
    values: Mapping[str, int | float] = {}
    absences: Mapping[str, Absence]
    try:
        values, absences = await fetch_post_insights(client, credentials, story.id, metrics, meter=meter)
    except NoDataError as error:
        absences = {"insights": absence_of("insights", error)}
    except ObjectGoneError as error:
        absences = {"insights": Absence("gone", str(error))}
    return story.model_copy(
        update={"insights": {**(story.insights or {}), **values}, "absences": {**story.absences, **absences}}
    )


def _read_rows(rows: list[Json]) -> list[Media]:
    return [_read_story(row) for row in rows]


def _read_story(row: Json) -> Media:
    """A story has no likes to hide."""
    story = read_media(row)
    return story.model_copy(update={"absences": {k: v for k, v in story.absences.items() if k != "like_count"}})
