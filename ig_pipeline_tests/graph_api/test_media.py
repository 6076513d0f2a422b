"""Posts: pages, culprits found at few calls, and everything a post can give besides."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.catalogue import DEFAULT_MEDIA_METRICS
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.errors import (
    AmbiguousRefusalError,
    MalformedAnswerError,
    PermissionMissingError,
)
from ig_pipeline.graph_api.media import iterate_media
from ig_pipeline.graph_api.media_nodes import Media
from ig_pipeline.graph_api.pages import PageCapError, iterate_pages
from ig_pipeline_tests.graph_api.fake import (
    ACCOUNT,
    CREDENTIALS,
    Answer,
    client_of,
    is_profile,
    profile,
    refusal,
    script,
)

pytestmark = pytest.mark.anyio
START = datetime(2026, 11, 18, 20, 0, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Shelf:
    """A media edge of `count` posts, one an hour back from START, that refuses as the real one does."""

    count: int
    converted: datetime | None = None
    refuses: dict[str, str] = field(default_factory=dict)  # post id → metric it refuses
    unshared: set[str] = field(default_factory=set)  # posts that are not on Facebook
    silent: set[str] = field(default_factory=set)  # posts whose insights are left out of pages
    extra: dict[str, dict[str, Any]] = field(default_factory=dict)
    largest: int = 100
    calls: int = 0

    def posts(self) -> list[dict[str, Any]]:
        return [
            {
                "id": str(1000 + number),
                "media_type": "IMAGE",
                "media_product_type": "FEED",
                "media_url": "https://cdn.example/x.jpg",
                "timestamp": (START - timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S+0000"),
                "like_count": number,
                "comments_count": 1,
                **self.extra.get(str(1000 + number), {}),
            }
            for number in range(self.count)
        ]

    def __call__(self, request: httpx.Request) -> Answer:
        self.calls += 1
        params = dict(request.url.params)
        path = request.url.path.removeprefix("/v25.0/")
        if path.endswith("/insights"):
            post = next(p for p in self.posts() if p["id"] == path.split("/")[0])
            metrics = params["metric"].split(",")
            return self._refusal([post], metrics) or {"data": insights(post, metrics)}
        since, until = int(params.get("since", 0)), int(params.get("until", 2**40))
        chosen = [p for p in self.posts() if since <= instant(p).timestamp() <= until]
        limit, begin = int(params["limit"]), int(params.get("after", "0"))
        if limit > self.largest:
            return refusal("Please reduce the amount of data you're asking for", code=1, status=500)
        page = chosen[begin : begin + limit]
        expanded = re.search(r"insights\.metric\(([^)]*)\)", params["fields"])
        rows = [dict(p) for p in page]
        if expanded:
            metrics = expanded[1].split(",")
            refused = self._refusal(page, metrics)
            if refused:
                return refused
            for row in rows:
                if row["id"] not in self.silent:
                    row["insights"] = {"data": insights(row, metrics)}
        if not rows:
            return {"data": []}
        paging: dict[str, Any] = {"cursors": {"before": "b", "after": str(begin + limit)}}
        if begin + limit < len(chosen):
            paging["next"] = f"https://graph.facebook.com/v25.0/{ACCOUNT}/media?after={begin + limit}"
        return {"data": rows, "paging": paging}

    def _refusal(self, posts: list[dict[str, Any]], metrics: list[str]) -> httpx.Response | None:
        if self.converted and any(instant(p) <= self.converted for p in posts):
            return refusal("Invalid parameter", error_subcode=2108006)
        if {"facebook_views", "crossposted_views"} & set(metrics) and any(p["id"] in self.unshared for p in posts):
            return refusal("Fatal", code=-1, error_subcode=2207086)
        for post in posts:
            metric = self.refuses.get(post["id"])
            if metric in metrics:
                return refusal(
                    f"(#100) The Media Insights API does not support the {metric} metric for this media product type."
                )
        return None


def instant(post: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(post["timestamp"])


def insights(post: dict[str, Any], metrics: list[str]) -> list[dict[str, Any]]:
    value = int(post["id"])
    return [{"name": name, "period": "lifetime", "values": [{"value": value}]} for name in metrics]


async def walk(client: GraphClient, **arguments: Any) -> list[Media]:
    return [item async for page in iterate_media(client, CREDENTIALS, **arguments) for item in page.items]


def complete(item: Media) -> bool:
    return item.insights == dict.fromkeys(DEFAULT_MEDIA_METRICS, int(item.id))


async def test_a_hundred_posts_with_everything_are_one_call() -> None:
    shelf = Shelf(100)
    client, fake = client_of(shelf)
    items = await walk(client)
    assert shelf.calls == 1
    assert [item.id for item in items] == [post["id"] for post in shelf.posts()]
    assert all(complete(item) and not item.absences for item in items)
    assert items[5].engagement == 5 + 1 + 1005
    assert "children{id,media_type" in fake.params[0]["fields"]


async def test_pages_end_where_next_is_missing_and_not_where_the_cursor_is() -> None:
    shelf = Shelf(250)
    client, _ = client_of(shelf)
    pages = [page async for page in iterate_media(client, CREDENTIALS)]
    assert [len(page.items) for page in pages] == [100, 100, 50]
    assert sum(page.calls for page in pages) == shelf.calls == client.calls_of(ACCOUNT) == 3


async def test_that_there_are_no_posts_is_confirmed_by_an_answer_that_says_something() -> None:
    client, fake = client_of(lambda request: profile(media=0) if is_profile(request) else {"data": []})
    assert await walk(client) == []
    assert len(fake.requests) == 2

    shelf = Shelf(3)
    client, fake = client_of(lambda request: profile() if is_profile(request) else shelf(request))
    day = date(2026, 11, 20)
    pages = [page async for page in iterate_media(client, CREDENTIALS, first=day, last=day)]
    assert [page.items for page in pages if page.items] == []
    assert not any(page.is_silence for page in pages)
    assert sum(page.calls for page in pages) == len(fake.requests) == 3  # an older post is a statement


async def test_a_list_with_a_known_older_post_in_it_needs_no_confirmation() -> None:
    shelf = Shelf(3)
    client, fake = client_of(shelf)
    day = date(2026, 11, 20)
    assert await walk(client, first=day, last=day, anchor=START) == []
    assert len(fake.requests) == 1


async def test_an_empty_listing_that_nothing_confirms_is_a_silence() -> None:
    client, _ = client_of(lambda request: profile(media=12) if is_profile(request) else {"data": []})
    pages = [page async for page in iterate_media(client, CREDENTIALS)]
    assert [page.is_silence for page in pages] == [False, True]


async def test_an_empty_listing_that_another_answer_contradicts_is_asked_for_again() -> None:
    def answer(request: httpx.Request) -> Answer:
        if is_profile(request):
            return profile(media=3)
        return shelf(request) if request.url.params.get("limit") == "1" else {"data": []}

    shelf = Shelf(3)
    client, _ = client_of(answer)
    with pytest.raises(MalformedAnswerError, match="no posts of days that have some"):
        await walk(client, first=date(2026, 11, 18), last=date(2026, 11, 18))


async def test_a_range_of_days_is_asked_for_and_kept_even_if_the_api_ignores_it() -> None:
    shelf = Shelf(100)
    day = date(2026, 11, 17)
    client, fake = client_of(shelf)
    wanted = [item.id for item in await walk(client, first=day, last=day)]
    assert len(wanted) == 24
    assert fake.params[0]["since"] == str(int(datetime(2026, 11, 17, 8, tzinfo=UTC).timestamp()))

    def deaf(request: httpx.Request) -> Answer:
        kept = {k: v for k, v in request.url.params.items() if k not in {"since", "until"}}
        return shelf(httpx.Request("GET", request.url.copy_with(params=kept)))

    client, _ = client_of(deaf)
    assert [item.id for item in await walk(client, first=day, last=day)] == wanted


@pytest.mark.parametrize("good", [0, 1, 37, 50, 99])
async def test_posts_from_before_the_conversion_cost_few_calls_and_no_others_insights(good: int) -> None:
    shelf = Shelf(100, converted=START - timedelta(hours=good))
    client, _ = client_of(shelf)
    items = await walk(client)
    assert len(items) == 100
    assert all(complete(item) for item in items[:good])
    for item in items[good:]:
        assert item.insights == {}
        assert item.absences["insights"].reason == "before_conversion"
        assert item.like_count is not None
    assert shelf.calls <= 10


async def test_after_the_first_such_post_no_later_page_asks_for_insights() -> None:
    shelf = Shelf(500, converted=START - timedelta(hours=30))
    client, fake = client_of(shelf)
    assert len(await walk(client)) == 500
    assert [p["fields"].count("insights") for p in fake.params[-4:]] == [0, 0, 0, 0]
    assert shelf.calls <= 14


async def test_a_remembered_conversion_costs_no_refusal() -> None:
    converted = START - timedelta(hours=30)
    shelf = Shelf(60, converted=converted)
    client, _ = client_of(shelf)
    items = await walk(client, converted_after=converted)
    assert shelf.calls == 2
    assert [complete(item) for item in items] == [True] * 30 + [False] * 30
    assert items[-1].absences["insights"].reason == "before_conversion"
    day = date(2026, 11, 16)
    assert len(await walk(client, first=day, last=day, converted_after=START)) == 23
    assert shelf.calls == 3


async def test_one_post_that_refuses_a_metric_keeps_the_rest_and_so_do_all_others() -> None:
    shelf = Shelf(100, refuses={"1037": "views"})
    client, _ = client_of(shelf)
    items = await walk(client)
    odd = items[37]
    assert [item.id for item in items if not complete(item)] == ["1037"]
    assert odd.insights == {name: 1037 for name in DEFAULT_MEDIA_METRICS if name != "views"}
    assert odd.absences["views"].reason == "not_supported"
    assert shelf.calls <= 18


async def test_remembered_culprits_cost_a_call_per_gap_between_them_and_are_not_asked_again() -> None:
    shelf = Shelf(60, refuses={"1020": "views", "1021": "views", "1040": "reach"})
    client, _ = client_of(shelf)
    learnt = {item.id: item.absences for item in await walk(client) if item.absences}
    assert {number: set(absences) for number, absences in learnt.items()} == {
        "1020": {"views"},
        "1021": {"views"},
        "1040": {"reach"},
    }
    spent, shelf.calls = shelf.calls, 0
    again = await walk(client, known=learnt)
    # The page without views and reach; those of the three stretches of good posts; what each culprit has of the two.
    assert shelf.calls == 1 + 3 + 3 < spent
    assert {item.id: set(item.absences) for item in again if item.absences} == {
        number: set(absences) for number, absences in learnt.items()
    }
    for item in again:
        given_ = [name for name in DEFAULT_MEDIA_METRICS if name not in learnt.get(item.id, {})]
        assert item.insights == dict.fromkeys(given_, int(item.id))


async def test_a_new_culprit_is_found_beside_the_remembered_ones() -> None:
    shelf = Shelf(30, refuses={"1010": "views"})
    client, _ = client_of(shelf)
    learnt = {item.id: item.absences for item in await walk(client) if item.absences}
    shelf.refuses["1003"] = "saved"
    items = await walk(client, known=learnt)
    assert {item.id: set(item.absences) for item in items if item.absences} == {"1010": {"views"}, "1003": {"saved"}}


async def test_a_remembered_post_that_gives_nothing_leaves_all_others_their_insights() -> None:
    shelf = Shelf(10)
    client, _ = client_of(shelf)
    nothing = {"1004": {"insights": Absence("not_supported", "Instagram does not give insights here.")}}
    items = await walk(client, known=nothing)
    assert [item.id for item in items if not complete(item)] == ["1004"]
    assert items[4].absences["insights"].reason == "not_supported"
    assert shelf.calls == 3


async def test_many_posts_that_refuse_a_metric_cost_no_more_than_asking_each() -> None:
    shelf = Shelf(24, refuses={str(1000 + number): "views" for number in range(0, 24, 2)})
    client, _ = client_of(shelf)
    items = await walk(client)
    assert [item.absences["views"].reason if "views" in item.absences else None for item in items] == [
        "not_supported" if number % 2 == 0 else None for number in range(24)
    ]
    assert all((item.insights or {}).keys() >= {"saved", "reach"} for item in items)
    assert shelf.calls <= 2 + 24 + 14


async def test_a_post_that_refuses_everything_without_a_word_costs_only_itself() -> None:
    def answer(request: httpx.Request) -> Answer:
        insights = "insights" in request.url.path or "insights" in request.url.params.get("fields", "")
        if insights and (bad is None or touches(request, bad)):
            return refusal("(#100) Invalid parameter")
        return shelf(request)

    def touches(request: httpx.Request, number: str) -> bool:
        if request.url.path.endswith("/insights"):
            return f"/{number}/" in request.url.path
        at = int((START - timedelta(hours=int(number) - 1000)).timestamp())
        return int(request.url.params.get("since", 0)) <= at <= int(request.url.params.get("until", 2**40))

    bad: str | None = "1007"
    shelf = Shelf(20)
    client, _ = client_of(answer)
    items = await walk(client)
    assert [item.id for item in items if not complete(item)] == ["1007"]
    assert items[7].absences["insights"].reason == "refused"
    bad = None
    with pytest.raises(AmbiguousRefusalError):
        await walk(client)


SHARED = (*DEFAULT_MEDIA_METRICS, "facebook_views")


async def test_a_post_that_is_not_on_facebook_keeps_all_its_other_insights() -> None:
    shelf = Shelf(40, unshared={"1003", "1017", "1018"})
    client, fake = client_of(shelf)
    items = await walk(client, metrics=SHARED)
    for item in items:
        unshared = item.id in shelf.unshared
        assert item.insights == dict.fromkeys(DEFAULT_MEDIA_METRICS if unshared else SHARED, int(item.id))
        assert {name: absence.reason for name, absence in item.absences.items()} == (
            {"facebook_views": "not_shared_to_facebook"} if unshared else {}
        )
    # The page, the page without the metric, and a search for the posts that refuse it: for that metric alone.
    assert {params["metric"] for params in fake.params if "metric" in params} == {"facebook_views"}
    assert shelf.calls <= 2 + 20
    learnt = {item.id: item.absences for item in items if item.absences}
    spent, shelf.calls = shelf.calls, 0
    again = await walk(client, metrics=SHARED, known=learnt)
    assert [item.insights for item in again] == [item.insights for item in items]
    assert shelf.calls == 1 + 3 < spent


async def test_a_refusal_of_an_unnamed_metric_is_never_the_whole_posts() -> None:
    def answer(request: httpx.Request) -> Answer:
        asked = request.url.params.get("metric") or request.url.params["fields"]
        return refusal("Fatal", code=-1, error_subcode=2207086) if "views" in asked else shelf(request)

    shelf = Shelf(2)
    client, _ = client_of(answer)
    for item in await walk(client):
        assert item.insights == {name: int(item.id) for name in DEFAULT_MEDIA_METRICS if name != "views"}
        assert item.absences["views"].reason == "not_shared_to_facebook"


async def test_an_unknown_metric_is_left_out_for_all() -> None:
    def answer(request: httpx.Request) -> Answer:
        if "impressions" in request.url.params["fields"]:
            return refusal("(#100) metric[0] must be one of the following values: reach, saved, views")
        return shelf(request)

    shelf = Shelf(150)
    client, fake = client_of(answer)
    items = await walk(client, metrics=("impressions", "saved"))
    assert all(item.insights == {"saved": int(item.id)} for item in items)
    assert all(item.absences["impressions"].reason == "not_supported" for item in items)
    assert len(fake.requests) == 3


async def test_insights_left_out_of_a_page_are_asked_for_again() -> None:
    shelf = Shelf(20, silent={"1003"})
    client, fake = client_of(shelf)
    items = await walk(client)
    assert all(complete(item) for item in items)
    assert fake.requests[-1].url.path == "/v25.0/1003/insights"
    assert shelf.calls == 2


async def test_a_page_that_is_too_heavy_is_asked_for_in_smaller_ones() -> None:
    shelf = Shelf(100, largest=50)
    client, _ = client_of(shelf)
    assert len(await walk(client)) == 100
    assert shelf.calls == 3 + 2


async def test_what_the_api_withholds_is_named() -> None:
    shelf = Shelf(3)
    plain = shelf.posts()
    del plain[0]["like_count"], plain[1]["media_url"]

    client, _ = client_of(script({"data": plain}))
    items = await walk(client, with_insights=False)
    assert items[0].absences["like_count"].reason == "hidden_by_owner"
    assert items[0].engagement == 1
    assert items[1].absences["media_url"].reason == "withheld"
    assert items[2].absences == {}
    assert items[2].caption is None


async def test_children_of_an_album_come_with_the_page() -> None:
    child = {"id": "5", "media_type": "VIDEO", "media_url": "https://cdn.example/5.mp4"}
    shelf = Shelf(1, extra={"1000": {"media_type": "CAROUSEL_ALBUM", "children": {"data": [child]}}})
    client, _ = client_of(shelf)
    [item] = await walk(client)
    assert [(c.id, c.media_type) for c in item.children] == [("5", "VIDEO")]


async def test_a_missing_permission_ends_the_walk() -> None:
    client, fake = client_of(lambda request: refusal("(#10) Application does not have permission", code=10))
    with pytest.raises(PermissionMissingError):
        await walk(client)
    assert len(fake.requests) == 2  # also without the insights


async def test_an_id_that_is_no_id_is_left_out() -> None:
    client, _ = client_of(
        lambda request: {"data": [{"id": "../../etc/passwd", "timestamp": "2026-11-18T20:00:00+0000"}]}
    )
    pages = [page async for page in iterate_media(client, CREDENTIALS)]
    assert [page.items for page in pages if page.items] == []
    assert [(odd.media_id, odd.why) for page in pages for odd in page.unreadable] == [
        (None, "A media object has an unexpected value in: id.")
    ]


def page(after: str, *, more: bool = True) -> dict[str, Any]:
    paging: dict[str, Any] = {"cursors": {"after": after}}
    if more:
        paging["next"] = "https://graph.facebook.com/v25.0/x?after=" + after
    return {"data": [{"id": after}], "paging": paging}


async def listed(client: GraphClient, cap: int = 420) -> list[str]:
    pages = iterate_pages(client, "x", {}, credentials=CREDENTIALS, parse=lambda rows: [r["id"] for r in rows], cap=cap)
    return [row async for rows in pages for row in rows]


async def test_a_page_that_repeats_its_cursor_is_asked_for_again() -> None:
    client, fake = client_of(script(page("a"), page("a"), page("b"), page("c", more=False)))
    assert await listed(client) == ["a", "b", "c"]
    assert [params.get("after") for params in fake.params] == [None, "a", "a", "b"]


async def test_a_cursor_that_always_repeats_ends_the_walk() -> None:
    client, fake = client_of(lambda request: page("a"))
    with pytest.raises(MalformedAnswerError, match="repeats a cursor"):
        await listed(client)
    assert len(fake.requests) == 11


async def test_a_listing_without_end_is_stopped() -> None:
    numbers = iter(range(1000))
    client, fake = client_of(lambda request: page(str(next(numbers))))
    with pytest.raises(PageCapError):
        await listed(client, cap=10)
    assert len(fake.requests) == 10


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 130),
    cut=st.none() | st.integers(0, 130),
    refuses=st.dictionaries(st.integers(0, 129), st.sampled_from(DEFAULT_MEDIA_METRICS), max_size=6),
    silent=st.sets(st.integers(0, 129), max_size=4),
)
def test_whatever_a_listing_refuses_every_post_gets_all_it_can_give(
    count: int, cut: int | None, refuses: dict[int, str], silent: set[int]
) -> None:
    shelf = Shelf(
        count,
        converted=None if cut is None else START - timedelta(hours=cut),
        refuses={str(1000 + number): metric for number, metric in refuses.items()},
        silent={str(1000 + number) for number in silent},
    )
    client, _ = client_of(shelf)
    first = asyncio.run(walk(client))
    known = {item.id: item.absences for item in first if "insights" not in item.absences and item.absences}
    items = asyncio.run(walk(client, known=known))
    assert items == first
    assert [item.id for item in items] == [post["id"] for post in shelf.posts()]
    for number, item in enumerate(items):
        if cut is not None and number >= cut:
            assert item.insights == {}
            assert item.absences["insights"].reason == "before_conversion"
            continue
        given_ = [name for name in DEFAULT_MEDIA_METRICS if name != refuses.get(number)]
        assert item.insights == dict.fromkeys(given_, int(item.id))
        assert set(item.absences) == ({refuses[number]} if number in refuses else set())
