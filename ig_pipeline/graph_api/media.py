"""Posts as the API lists them, with their insights: one page per hundred posts, children expanded, nothing per post.

Walks and parses; the search for posts that would refuse a page stands in `media_insights`, downloads elsewhere.
An empty listing is no statement: that there are no posts is confirmed by one that says something.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Literal

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.account_facts import read_facts
from ig_pipeline.graph_api.answers import Json, rows_of
from ig_pipeline.graph_api.catalogue import CHILD_FIELDS, DEFAULT_MEDIA_METRICS, MEDIA_FIELDS
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.days import instagram_day, posts_window
from ig_pipeline.graph_api.errors import BadRequestError, GraphError, MalformedAnswerError
from ig_pipeline.graph_api.media_insights import BEFORE_CONVERSION, REFUSALS, InsightSearch
from ig_pipeline.graph_api.media_nodes import Media, MediaNode, read_media, read_node
from ig_pipeline.graph_api.metric_fallback import names_a_rule
from ig_pipeline.graph_api.pages import Listing

Verdict = Literal["confirmed", "contradicted", "silence"]

# A listing that another answer contradicts is walked again so often in all.
_WALKS = 3


@dataclass(frozen=True)
class UnreadablePost:
    """A row of a listing that cannot be read, also when its post is asked for alone.

    It is of one of the Pacific days `oldest` to `newest`, those of the posts around it; None at an end of the listing.
    """

    media_id: str | None
    why: str
    newest: date | None
    oldest: date | None = None


@dataclass(frozen=True)
class MediaPage:
    """Posts of one page, newest first, and the HTTP calls it took.

    `unreadable`: rows that no post could be made of. `listed_after`: all posts of the days after this one are listed,
    as far as the listing's order tells; None while it tells nothing. `is_silence`: the listing was empty, and nothing
    confirms that there are no posts.
    """

    items: list[Media]
    calls: int
    unreadable: tuple[UnreadablePost, ...] = ()
    listed_after: date | None = None
    is_silence: bool = False


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
    anchor: datetime | None = None,
) -> AsyncIterator[MediaPage]:
    """Posts of the Pacific days `first` to `last` (None: without bound), newest first.

    `converted_after`: posts up to then are known to be from before the conversion; their insights are not asked for.
    `known`: media id → metrics (or `insights`, all of them) that these posts of the range are known to refuse.
    `anchor`: when a post from before the range was posted that is known to give its insights. It is listed too, and
    left out: a list with it in it is a statement, also where the range has no posts.
    A post whose insights cannot be had keeps all else and says why in `absences`. Raises `GraphError`; what was yielded
    until then stands.
    """
    meter = CallMeter()
    search = InsightSearch(client, credentials, metrics=metrics, meter=meter, known=known)
    segments = _segments(first, last, converted_after if with_insights else None, anchor)
    range_ = _Range(client, credentials, first, last, meter)
    for _ in range(_WALKS):
        async for page in range_.walk(segments, search, with_insights=with_insights):
            yield page
        verdict: Verdict = "confirmed"
        if not range_.rows:
            verdict = await range_.verdict_on_silence(has_posts=anchor is not None)
        if verdict != "contradicted":
            break
    else:
        raise MalformedAnswerError("Instagram listed no posts of days that have some.")
    if range_.spent < meter.calls or verdict == "silence":
        yield MediaPage([], meter.calls - range_.spent, is_silence=verdict == "silence")


def fields_of_posts(insights: tuple[str, ...] = ()) -> str:
    """The `fields` of a listing: children expanded, insights too when metrics are named."""
    expanded = [f"children{{{','.join(CHILD_FIELDS)}}}"]
    if insights:
        expanded.append(f"insights.metric({','.join(insights)})")
    return ",".join((*MEDIA_FIELDS, *expanded))


@dataclass(frozen=True)
class _OddRow:
    """A row without what makes it a post; `place`: how many posts of the page stand before it."""

    media_id: str | None
    place: int
    why: str


@dataclass(frozen=True)
class _Rows:
    items: list[Media]
    odd: list[_OddRow]


@dataclass
class _Order:
    """Whether the listing goes back in time, and how far it has come."""

    _oldest: datetime | None = None
    _broken: bool = field(default=False)

    def note(self, items: Sequence[Media]) -> None:
        for item in items:
            if self._oldest is not None and item.timestamp > self._oldest:
                self._broken = True
            self._oldest = item.timestamp if self._oldest is None else min(self._oldest, item.timestamp)

    @property
    def last_day(self) -> date | None:
        return None if self._oldest is None else instagram_day(self._oldest)

    @property
    def listed_after(self) -> date | None:
        return None if self._broken or self._oldest is None else instagram_day(self._oldest)


class _Range:
    """One range of days being listed. `rows`: all that Meta listed, also what lies outside; `spent`: calls told of."""

    def __init__(
        self, client: GraphClient, credentials: Credentials, first: date | None, last: date | None, meter: CallMeter
    ) -> None:
        self._client, self._credentials = client, credentials
        self._first, self._last, self._meter = first, last, meter
        self._order = _Order()
        self._seen: set[str] = set()
        self._at_the_end: list[UnreadablePost] = []
        self.rows = self.spent = 0

    async def walk(
        self, segments: Sequence[tuple[dict[str, int], bool]], search: InsightSearch, *, with_insights: bool
    ) -> AsyncIterator[MediaPage]:
        """The pages of all `segments`, each with whether to ask for insights in it."""
        path = f"{self._credentials.account_id}/media"
        for window, expand in segments:
            listing = Listing(self._client, path, credentials=self._credentials, meter=self._meter)
            while not listing.done:
                page = await _page(listing, search, window, expand=expand and with_insights)
                self.rows += len(page.items) + len(page.odd)
                page, odd = await _with_odd_rows(self._client, self._credentials, page, self._meter)
                unreadable = self._placed(page.items, odd)
                fresh = self._fresh(page.items)
                if with_insights:
                    fresh = await search.complete(fresh) if expand else [_unconverted(item) for item in fresh]
                yield MediaPage(fresh, self._meter.calls - self.spent, unreadable, self._order.listed_after)
                self.spent = self._meter.calls
        if self._at_the_end:
            yield MediaPage([], 0, tuple(self._at_the_end))

    def _placed(self, items: Sequence[Media], odd: Sequence[UnreadablePost]) -> tuple[UnreadablePost, ...]:
        """Rows that stand between two posts; those at the end of a page wait for the next one to tell."""
        known = self._order.last_day
        first = items[0].day if items else None
        rows = [
            *(replace(row, oldest=first) for row in self._at_the_end),
            *(replace(row, newest=row.newest or known) for row in odd),
        ]
        self._at_the_end = [row for row in rows if row.oldest is None]
        return tuple(row for row in rows if row.oldest is not None)

    def _fresh(self, items: Sequence[Media]) -> list[Media]:
        """Those of the range that were not listed before."""
        self._order.note(items)
        fresh = [item for item in items if item.id not in self._seen and self._holds(item.day)]
        self._seen.update(item.id for item in fresh)
        return fresh

    async def verdict_on_silence(self, *, has_posts: bool) -> Verdict:
        """What an empty listing means: `confirmed` by an older post, a newer one, or a profile that counts none.

        `contradicted` by a post of the range that is there after all; else it remains `silence`. `has_posts`: the
        account is known to have some.
        """
        if not has_posts:
            try:
                facts = await read_facts(self._client, self._credentials, meter=self._meter)
            except REFUSALS:
                return "silence"
            if facts.media == 0:
                return "confirmed"
        listed = await self._newest(self._last)
        if listed is None and self._last is not None:
            listed = await self._newest(None)
        if listed is None:
            return "silence"
        return "contradicted" if self._holds(listed) else "confirmed"

    async def _newest(self, last: date | None) -> date | None:
        """The Pacific day of the newest post up to `last`; None when none is listed."""
        window = {} if last is None else {"until": posts_window(last, last)[1]}
        instants = await self._client.fetch(
            f"{self._credentials.account_id}/media",
            {"fields": "id,timestamp", "limit": 1, **window},
            credentials=self._credentials,
            parse=_timestamps,
            meter=self._meter,
        )
        return instagram_day(max(instants)) if instants else None

    def _holds(self, day: date) -> bool:
        """Whether the range has `day`: the API filters by creation time itself, but for years it did not."""
        return (self._first is None or self._first <= day) and (self._last is None or day <= self._last)


async def _page(listing: Listing, search: InsightSearch, params: Mapping[str, str | int], *, expand: bool) -> _Rows:
    """The next page, with insights if that is not refused; `search` learns of a refusal and finds what it is about."""
    if not expand or search.is_over:
        return await _ask(listing, params, ())
    try:
        rows = await _ask_twice(listing, params, search.safe)
    except REFUSALS as error:
        refusal: GraphError = error
    else:
        return replace(rows, items=await search.after_page(rows.items, given=search.safe))
    given = search.without_named(refusal)
    if given:
        try:
            rows = await _ask(listing, params, given)
        except REFUSALS as error:
            refusal = error
        else:
            return replace(rows, items=await search.after_refusal(rows.items, refusal, given=given))
    rows = await _ask(listing, params, ())
    return replace(rows, items=await search.after_refusal(rows.items, refusal, given=()))


async def _ask_twice(listing: Listing, params: Mapping[str, str | int], insights: tuple[str, ...]) -> _Rows:
    """The next page; a refusal that names no rule is met with the same question once more, before a search begins."""
    try:
        return await _ask(listing, params, insights)
    except BadRequestError as error:
        if names_a_rule(error):
            raise
    return await _ask(listing, params, insights)


async def _ask(listing: Listing, params: Mapping[str, str | int], insights: tuple[str, ...]) -> _Rows:
    return await listing.page({**params, "fields": fields_of_posts(insights)}, _read_rows)


def _read_rows(rows: list[Json]) -> _Rows:
    items: list[Media] = []
    odd: list[_OddRow] = []
    for row in rows:
        try:
            items.append(read_media(row))
        except MalformedAnswerError as error:
            odd.append(_OddRow(_id_of(row), len(items), str(error)))
    return _Rows(items, odd)


def _id_of(row: Json) -> str | None:
    try:
        return read_node({"id": row.get("id")}).id
    except MalformedAnswerError:
        return None


async def _with_odd_rows(
    client: GraphClient, credentials: Credentials, page: _Rows, meter: CallMeter
) -> tuple[_Rows, tuple[UnreadablePost, ...]]:
    """The page with the posts of its odd rows, each asked for alone, and what is left unreadable."""
    items, unreadable = list(page.items), []
    for row in page.odd:
        post, why = await _read_alone(client, credentials, row, meter)
        if post is not None:
            items.insert(row.place + len(items) - len(page.items), post)
        else:
            newest = page.items[row.place - 1].day if row.place else None
            oldest = page.items[row.place].day if row.place < len(page.items) else None
            unreadable.append(UnreadablePost(row.media_id, why, newest, oldest))
    return replace(page, items=items), tuple(unreadable)


async def _read_alone(
    client: GraphClient, credentials: Credentials, row: _OddRow, meter: CallMeter
) -> tuple[Media | None, str]:
    if row.media_id is None:
        return None, row.why
    params = {"fields": fields_of_posts()}
    try:
        node = await client.fetch(
            row.media_id, params, credentials=credentials, parse=_post_or_node, meter=meter, exists=True
        )
    except REFUSALS as error:
        return None, str(error)
    return (node, "") if isinstance(node, Media) else (None, row.why)


def _post_or_node(row: Json) -> MediaNode:
    """A post, or what can be read of one; no second try makes a row whole that was odd twice."""
    try:
        return read_media(row)
    except MalformedAnswerError:
        return read_node(row)


def _timestamps(answer: Json) -> list[datetime]:
    return [post.timestamp for post in _read_rows(rows_of(answer)).items]


def _segments(
    first: date | None, last: date | None, converted_after: datetime | None, anchor: datetime | None
) -> list[tuple[dict[str, int], bool]]:
    """Windows to list, newest first, and whether to ask for insights in them: never up to `converted_after`."""
    since = None if first is None else posts_window(first, first)[0]
    if since is not None and anchor is not None:
        since = min(since, int(anchor.timestamp()))
    until = None if last is None else posts_window(last, last)[1]
    cut = None if converted_after is None else int(converted_after.timestamp())
    if cut is None or (since is not None and cut < since):
        return [(_bounds(since, until), True)]
    if until is not None and until <= cut:
        return [(_bounds(since, until), False)]
    return [(_bounds(cut + 1, until), True), (_bounds(since, cut), False)]


def _bounds(since: int | None, until: int | None) -> dict[str, int]:
    return {name: value for name, value in (("since", since), ("until", until)) if value is not None}


def _unconverted(item: Media) -> Media:
    return item.model_copy(update={"insights": {}, "absences": {**item.absences, "insights": BEFORE_CONVERSION}})
