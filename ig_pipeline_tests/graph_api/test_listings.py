"""Listings of any shape: whatever can be reached is read once, whatever cannot be read costs itself alone."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_pipeline.graph_api.errors import MalformedAnswerError, PermissionMissingError, RateLimitedError, TransientError
from ig_pipeline.graph_api.media import MediaPage, iterate_media
from ig_pipeline.graph_api.pages import iterate_pages, next_cursor
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline_tests.graph_api.fake import ACCOUNT, CREDENTIALS, Answer, Time, client_of, profile, refusal

pytestmark = pytest.mark.anyio
START = datetime(2026, 11, 18, 20, 0, tzinfo=UTC)
WHOLE, TIMELESS, CHILDLESS, NOTHING = "whole", "timeless", "childless", "nothing"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Edge:
    """A media edge given as pages of rows, each of some sort; posts are an hour apart, newest first."""

    pages: list[list[str]]
    repeats: dict[int, int] = field(default_factory=dict)
    """Page → how often it leads back to itself before it leads on."""
    in_link_only: bool = False
    """Whether the cursor stands in `next` alone."""
    ends_empty: bool = False
    """Whether the last page leads on to one without rows and without paging."""

    def post(self, number: int) -> dict[str, Any]:
        at = (START - timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S+0000")
        return {"id": str(1000 + number), "media_type": "IMAGE", "media_url": "https://c.example/x", "timestamp": at}

    def row(self, number: int, sort: str) -> object:
        post = self.post(number)
        match sort:
            case "timeless":
                del post["timestamp"]
            case "childless":
                return {**post, "media_type": "CAROUSEL_ALBUM", "children": None}
            case "nothing":
                return None
        return post

    def __call__(self, request: httpx.Request) -> Answer:
        path = request.url.path.removeprefix("/v25.0/")
        if path == ACCOUNT:
            return profile(media=0)
        if not path.endswith("/media"):
            return self.post(int(path) - 1000)
        cursor = request.url.params.get("after", "0")
        place = int(cursor)
        if place >= len(self.pages):
            return {"data": []}
        first = sum(len(page) for page in self.pages[:place])
        rows = [self.row(first + n, sort) for n, sort in enumerate(self.pages[place])]
        following = place + 1
        if place and self.repeats.get(place, 0):
            self.repeats[place] -= 1
            following = place
        paging: dict[str, Any] = {} if self.in_link_only else {"cursors": {"after": str(following)}}
        if following < len(self.pages) + self.ends_empty:
            paging["next"] = f"https://graph.facebook.com/v25.0/{ACCOUNT}/media?access_token=x&after={following}"
        return {"data": rows, "paging": paging}

    def numbers(self, *sorts: str) -> list[str]:
        """Ids of the rows of these sorts, in the listing's order."""
        rows = [sort for page in self.pages for sort in page]
        return [str(1000 + number) for number, sort in enumerate(rows) if sort in sorts]


async def pages_of(edge: Edge) -> list[MediaPage]:
    client, _ = client_of(edge)
    return [page async for page in iterate_media(client, CREDENTIALS, with_insights=False)]


def ids(pages: list[MediaPage]) -> list[str]:
    return [item.id for page in pages for item in page.items]


@settings(max_examples=150, deadline=None)
@given(
    pages=st.lists(
        st.lists(st.sampled_from([WHOLE, WHOLE, WHOLE, TIMELESS, CHILDLESS, NOTHING]), max_size=6), max_size=8
    ),
    repeats=st.dictionaries(st.integers(1, 7), st.integers(0, 3), max_size=3),
    in_link_only=st.booleans(),
    ends_empty=st.booleans(),
)
def test_everything_that_can_be_reached_is_read_once(
    pages: list[list[str]], repeats: dict[int, int], in_link_only: bool, ends_empty: bool
) -> None:
    edge = Edge(pages, dict(repeats), in_link_only, ends_empty)
    found = asyncio.run(pages_of(edge))
    assert ids(found) == edge.numbers(WHOLE, TIMELESS, CHILDLESS)
    odd = [post for page in found for post in page.unreadable]
    assert len(odd) == len(edge.numbers(NOTHING))
    assert not any(page.is_silence for page in found)


async def test_an_empty_page_between_two_full_ones_leads_on() -> None:
    edge = Edge([[WHOLE] * 100, [], [WHOLE] * 100, [], [WHOLE] * 50])
    assert len(ids(await pages_of(edge))) == 250


async def test_a_promised_page_that_comes_empty_is_asked_for_again() -> None:
    lies = [2]

    def answer(request: httpx.Request) -> Answer:
        if request.url.params.get("after") == "1" and lies[0]:
            lies[0] -= 1
            return {"data": []}
        return edge(request)

    edge = Edge([[WHOLE] * 100, [WHOLE] * 100])
    client, _ = client_of(answer)
    found = [item async for page in iterate_media(client, CREDENTIALS, with_insights=False) for item in page.items]
    assert len(found) == 200


async def test_a_next_without_any_cursor_is_malformed() -> None:
    assert next_cursor({"paging": {"next": "https://x.example/?after=Qv"}}) == "Qv"
    for link in ("https://x.example/?limit=5", "https://[x", 5, True):
        with pytest.raises(MalformedAnswerError):
            next_cursor({"paging": {"next": link}})


async def test_a_row_that_cannot_be_read_is_of_the_days_of_the_posts_around_it() -> None:
    edge = Edge([[WHOLE] * 23 + [NOTHING], [NOTHING, WHOLE], [NOTHING]])
    odd = [(post.newest, post.oldest) for page in await pages_of(edge) for post in page.unreadable]
    # The posts around the first two are of the 17th and 16th; nothing stands after the last.
    assert odd == [*[(date(2026, 11, 17), date(2026, 11, 17))] * 2, (date(2026, 11, 17), None)]


async def test_what_was_read_before_a_walk_breaks_off_stands() -> None:
    def answer(request: httpx.Request) -> Answer:
        if request.url.params.get("after") == "2":
            return refusal("(#80002) There have been too many calls", code=80002)
        return edge(request)

    edge = Edge([[WHOLE] * 30, [WHOLE] * 30, [WHOLE] * 30])
    client, _ = client_of(answer)
    found: list[MediaPage] = []
    with pytest.raises(RateLimitedError):
        async for page in iterate_media(client, CREDENTIALS, with_insights=False):
            found.append(page)
    assert len(ids(found)) == 60
    # The sixtieth post is of the 16th: of the days after it, all posts are listed.
    assert found[-1].listed_after == date(2026, 11, 16)


async def test_a_listing_that_is_not_in_order_promises_nothing_of_its_days() -> None:
    posts = Edge([[WHOLE] * 3]).pages
    edge = Edge(posts)
    rows = [edge.post(0), edge.post(40), edge.post(2)]
    client, _ = client_of(lambda request: {"data": rows})
    [page] = [page async for page in iterate_media(client, CREDENTIALS, with_insights=False)]
    assert len(page.items) == 3
    assert page.listed_after is None


@pytest.mark.parametrize("path", ["me/accounts", f"{ACCOUNT}/stories", f"{ACCOUNT}/media"])
async def test_any_listing_that_is_too_heavy_comes_in_smaller_pages(path: str) -> None:
    def answer(request: httpx.Request) -> Answer:
        if int(request.url.params["limit"]) > 30:
            return refusal("Please reduce the amount of data you're asking for", code=1, status=500)
        return {"data": [{"id": "1"}]}

    client, fake = client_of(answer)
    found = iterate_pages(client, path, {}, credentials=CREDENTIALS, parse=lambda rows: [r["id"] for r in rows])
    assert [row async for rows in found for row in rows] == ["1"]
    assert [params["limit"] for params in fake.params] == [*["100"] * 3, *["50"] * 3, "25"]


async def test_a_listing_that_is_too_heavy_at_any_size_is_an_error() -> None:
    time = Time()
    client, _ = client_of(
        lambda request: refusal("Please reduce the amount of data you're asking for", code=1, status=500), time=time
    )
    with pytest.raises(TransientError):
        async for _ in iterate_pages(client, "me/accounts", {}, credentials=CREDENTIALS, parse=len):
            pass


# ---- one item's refusal is one item's --------------------------------------------------------------------------------


def one_refusing(edge: Edge, bad: set[str], answer: httpx.Response) -> Any:
    """The edge with insights, which `bad` posts refuse with `answer`, a page with one of them included."""

    def handle(request: httpx.Request) -> Answer:
        path, params = request.url.path.removeprefix("/v25.0/"), request.url.params
        if path.endswith("/insights"):
            number = path.split("/")[0]
            return answer if number in bad else {"data": insights(params["metric"])}
        page = edge(request)
        if not path.endswith("/media") or "insights.metric" not in params["fields"] or isinstance(page, Exception):
            return page
        assert isinstance(page, dict)
        since, until = int(params.get("since", 0)), int(params.get("until", 2**40))
        rows = [row for row in page["data"] if since <= instant(row) <= until]
        if any(row["id"] in bad for row in rows):
            return answer
        names = params["fields"].split("insights.metric(")[1].split(")")[0]
        return {"data": [{**row, "like_count": 3, "insights": {"data": insights(names)}} for row in rows]}

    return handle


def instant(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["timestamp"]).timestamp()


def insights(names: str) -> list[dict[str, Any]]:
    return [{"name": name, "period": "lifetime", "values": [{"value": 7}]} for name in names.split(",")]


NO_PERMISSION = refusal("(#10) Application does not have permission for this action", code=10)
GONE = refusal("Unsupported get request. Object with ID '1' does not exist", error_subcode=33)
WITHOUT_A_RULE = refusal("(#100) Invalid parameter")


@pytest.mark.parametrize("answer", [NO_PERMISSION, GONE, WITHOUT_A_RULE], ids=["permission", "gone", "no rule"])
@pytest.mark.parametrize("number", [0, 17, 39])
async def test_one_post_that_refuses_its_insights_costs_no_other_its_own(answer: httpx.Response, number: int) -> None:
    bad = str(1000 + number)
    client, fake = client_of(one_refusing(Edge([[WHOLE] * 40]), {bad}, answer))
    found = [item async for page in iterate_media(client, CREDENTIALS) for item in page.items]
    assert len(found) == 40
    assert [item.id for item in found if not item.insights] == [bad]
    assert found[number].absences["insights"].reason == "refused"
    assert not found[number].absences["insights"].is_explained
    assert len(fake.requests) <= 60


async def test_a_permission_that_all_posts_lack_is_the_accounts() -> None:
    edge = Edge([[WHOLE] * 40])
    client, fake = client_of(one_refusing(edge, set(edge.numbers(WHOLE)), NO_PERMISSION))
    with pytest.raises(PermissionMissingError):
        async for _ in iterate_media(client, CREDENTIALS):
            pass
    assert len(fake.requests) == 2 + 3  # the page, without insights, and three posts far apart


@pytest.mark.parametrize("answer", [NO_PERMISSION, GONE, WITHOUT_A_RULE], ids=["permission", "gone", "no rule"])
async def test_one_story_that_refuses_does_not_lose_the_poll(answer: httpx.Response) -> None:
    def handle(request: httpx.Request) -> Answer:
        if request.url.path.endswith("/stories"):
            if "insights" in request.url.params["fields"]:
                return answer
            return {"data": [edge.post(0), edge.post(1), {"id": "1002"}]}
        return answer if "/1001/" in request.url.path else {"data": insights(request.url.params["metric"])}

    edge = Edge([])
    client, _ = client_of(handle)
    found = await fetch_stories(client, CREDENTIALS)
    good, bad = found.items
    assert set((good.insights or {}).values()) == {7}
    assert (bad.insights, bad.absences["insights"].reason) == ({}, "refused")
    assert found.unreadable == 1


async def test_a_permission_that_all_stories_lack_is_the_accounts() -> None:
    def handle(request: httpx.Request) -> Answer:
        if request.url.path.endswith("/stories") and "insights" not in request.url.params["fields"]:
            return {"data": [Edge([]).post(0), Edge([]).post(1)]}
        return NO_PERMISSION

    client, _ = client_of(handle)
    with pytest.raises(PermissionMissingError):
        await fetch_stories(client, CREDENTIALS)
