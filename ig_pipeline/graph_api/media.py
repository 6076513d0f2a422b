"""Posts as the API lists them, with their insights: one page per hundred posts, children expanded, nothing per post.

Walks and parses; the search for posts that would refuse a page stands in `media_insights`, downloads elsewhere.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.catalogue import CHILD_FIELDS, DEFAULT_MEDIA_METRICS, MEDIA_FIELDS, MEDIA_PAGE_SIZE
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.days import posts_window
from ig_pipeline.graph_api.errors import BadRequestError, NoDataError, TransientError
from ig_pipeline.graph_api.media_insights import BEFORE_CONVERSION, InsightSearch
from ig_pipeline.graph_api.media_nodes import Media, read_media
from ig_pipeline.graph_api.pages import Listing

# Meta's "reduce the amount of data" halves a page; below this a page is not too large but broken.
_SMALLEST_PAGE = 5


@dataclass(frozen=True)
class MediaPage:
    """Posts of one page, newest first, and the HTTP calls it took."""

    items: list[Media]
    calls: int


async def iterate_media(
    client: GraphClient,
    credentials: Credentials,
    *,
    first: date | None = None,
    last: date | None = None,
    with_insights: bool = True,
    metrics: tuple[str, ...] = DEFAULT_MEDIA_METRICS,
    converted_after: datetime | None = None,
    known: Mapping[str, Mapping[str, Absence]] = MappingProxyType({}),
) -> AsyncIterator[MediaPage]:
    """Posts of the Pacific days `first` to `last` (None: without bound), newest first.

    `converted_after`: posts up to then are known to be from before the conversion; their insights are not asked for.
    `known`: media id → metrics (or `insights`, all of them) that these posts of the range are known to refuse.
    A post whose insights cannot be had keeps all else and says why in `absences`. Raises `GraphError`.
    """
    meter = CallMeter()
    search = InsightSearch(client, credentials, metrics=metrics, meter=meter, known=known)
    seen: set[str] = set()
    spent = 0
    for window, expand in _segments(first, last, converted_after if with_insights else None):
        listing = Listing(client, f"{credentials.account_id}/media", credentials=credentials, meter=meter)
        limit = MEDIA_PAGE_SIZE
        while not listing.done:
            try:
                items = await _page(listing, search, {**window, "limit": limit}, expand=expand and with_insights)
            except TransientError as error:
                if not error.reduce or limit // 2 < _SMALLEST_PAGE:
                    raise
                limit //= 2
                continue
            fresh = [item for item in items if item.id not in seen and _within(item, first, last)]
            seen.update(item.id for item in fresh)
            if with_insights:
                fresh = await search.complete(fresh) if expand else [_unconverted(item) for item in fresh]
            yield MediaPage(fresh, meter.calls - spent)
            spent = meter.calls


async def read_post(client: GraphClient, credentials: Credentials, media_id: str) -> Media:
    """One post anew, with fresh URLs and its children. Raises `ObjectGoneError` when it was deleted."""
    params = {"fields": fields_of_posts()}
    return await client.fetch(media_id, params, credentials=credentials, parse=read_media)


def fields_of_posts(insights: tuple[str, ...] = ()) -> str:
    """The `fields` of a listing: children expanded, insights too when metrics are named."""
    expanded = [f"children{{{','.join(CHILD_FIELDS)}}}"]
    if insights:
        expanded.append(f"insights.metric({','.join(insights)})")
    return ",".join((*MEDIA_FIELDS, *expanded))


async def _page(
    listing: Listing, search: InsightSearch, params: Mapping[str, str | int], *, expand: bool
) -> list[Media]:
    """The next page, with insights if that is not refused; `search` learns of a refusal and finds the culprit."""
    if not expand or search.hopeless:
        return await _ask(listing, params, ())
    try:
        items = await _ask(listing, params, search.safe)
    except (BadRequestError, NoDataError) as error:
        refusal = error
    else:
        return await search.after_page(items, given=search.safe)
    given = search.without_culprits(refusal)
    if given:
        try:
            items = await _ask(listing, params, given)
        except (BadRequestError, NoDataError) as error:
            refusal = error
        else:
            return await search.after_refusal(items, refusal, given=given)
    items = await _ask(listing, params, ())
    return await search.after_refusal(items, refusal, given=())


async def _ask(listing: Listing, params: Mapping[str, str | int], insights: tuple[str, ...]) -> list[Media]:
    return await listing.page({**params, "fields": fields_of_posts(insights)}, _read_rows)


def _read_rows(rows: list[Json]) -> list[Media]:
    return [read_media(row) for row in rows]


def _segments(
    first: date | None, last: date | None, converted_after: datetime | None
) -> list[tuple[dict[str, int], bool]]:
    """Windows to list, newest first, and whether to ask for insights in them: never up to `converted_after`."""
    since = None if first is None else posts_window(first, first)[0]
    until = None if last is None else posts_window(last, last)[1]
    cut = None if converted_after is None else int(converted_after.timestamp())
    if cut is None or (since is not None and cut < since):
        return [(_bounds(since, until), True)]
    if until is not None and until <= cut:
        return [(_bounds(since, until), False)]
    return [(_bounds(cut + 1, until), True), (_bounds(since, cut), False)]


def _bounds(since: int | None, until: int | None) -> dict[str, int]:
    return {name: value for name, value in (("since", since), ("until", until)) if value is not None}


def _within(item: Media, first: date | None, last: date | None) -> bool:
    """The API filters by creation time itself, but for years it did not (facts §2.1)."""
    return (first is None or first <= item.day) and (last is None or item.day <= last)


def _unconverted(item: Media) -> Media:
    return item.model_copy(update={"insights": {}, "absences": {**item.absences, "insights": BEFORE_CONVERSION}})
