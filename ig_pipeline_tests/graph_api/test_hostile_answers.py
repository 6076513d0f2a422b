"""What stands in Meta's place may answer anything: too much, too deep, for ever: an error of one call."""

import asyncio
import copy
import gzip
import json
import re
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from ig_pipeline.bounded_answers import MOST_BYTES
from ig_pipeline.graph_api.account_insights import fetch_follows, fetch_series, fetch_totals
from ig_pipeline.graph_api.accounts import find_accounts
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.consent import adopt_token, complete_login
from ig_pipeline.graph_api.demographics import fetch_demographics, fetch_online_followers
from ig_pipeline.graph_api.errors import GraphError, MalformedAnswerError, UnreachableError
from ig_pipeline.graph_api.hosts import Login, MetaHosts
from ig_pipeline.graph_api.media import iterate_media
from ig_pipeline.graph_api.oauth import MetaApp, MetaLogin, inspect_token
from ig_pipeline.graph_api.reachability import look
from ig_pipeline.graph_api.retries import GraphRetryPolicy
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline_tests.graph_api.fake import ACCOUNT, CREDENTIALS, NOON, Handler, Time, client_of
from ig_pipeline_tests.raw_server import answer, raw_server, sending

pytestmark = pytest.mark.anyio
ONCE = GraphRetryPolicy(attempts=1)
APP = MetaApp("1", SecretStr("secret"))
DAY = date(2026, 11, 18)
# A small file that unpacks to a large one, in layers too: zeros compress a thousandfold each time.
BOMB = gzip.compress(b'{"data":"' + b" " * (64 << 20) + b'"}')


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def client_at(url: str) -> GraphClient:
    time = Time()
    return GraphClient(MetaHosts.at(url, "v25.0"), clock=time, sleep=time.sleep, retries=ONCE)


BODIES = {
    "a bomb": answer(BOMB, "Content-Encoding: gzip"),
    "a bomb in a bomb": answer(gzip.compress(BOMB), "Content-Encoding: gzip, gzip"),
    "a compression not asked for": answer(b"{}", "Content-Encoding: deflate"),
    "broken compression": answer(b"not gzip at all", "Content-Encoding: gzip"),
    "too long": answer(b'{"data":"' + b" " * MOST_BYTES + b'"}'),
    "too deep": answer(b'{"data":' + b"[" * 500 + b"]" * 500 + b"}"),
    "so deep that a parser gives up": answer(b"[" * 200_000),
    "too many": answer(b'{"data":[' + b"{}," * 2_000_000 + b"{}]}"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_an_answer_is_bounded_in_size_and_depth(body: bytes) -> None:
    with raw_server(sending(body)) as url:
        tracemalloc.start()
        try:
            async with client_at(url) as client:
                with pytest.raises(MalformedAnswerError):
                    await client.get(ACCOUNT, {}, credentials=CREDENTIALS)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * MOST_BYTES


@pytest.mark.parametrize("name", BODIES)
def test_the_look_without_a_token_is_bounded_too(name: str) -> None:
    with raw_server(sending(BODIES[name])) as url:
        tracemalloc.start()
        try:
            assert look(MetaHosts.at(url, "v25.0"), "facebook", clock=lambda: NOON).serves_version is None
        except UnreachableError as error:
            assert error.about == ("graph_url",)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert peak < 4 * MOST_BYTES


async def test_compressed_answers_are_read() -> None:
    with raw_server(sending(answer(gzip.compress(b'{"id":"1"}'), "Content-Encoding: gzip"))) as url:
        async with client_at(url) as client:
            assert await client.get("me", {}, credentials=CREDENTIALS) == {"id": "1"}


async def test_an_answer_that_never_ends_is_given_up() -> None:
    class Trickle(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                await asyncio.sleep(0)
                yield b" "

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Trickle()))
    async with GraphClient(
        MetaHosts.at(None, "v25.0"), transport=transport, retries=ONCE, deadline=0.05, sleep=Time().sleep
    ) as client:
        with pytest.raises(UnreachableError):
            await client.get("me", {}, credentials=CREDENTIALS)


def raw(body: str | bytes, **headers: str) -> httpx.Response:
    return httpx.Response(200, content=body, headers=headers)


ODD_NUMBERS = ["1e400", "-1e400", "NaN", "Infinity", "1" * 5000, "9" * 30, "1e308", '"' + "9" * 5000 + '"', "[]", "{}"]


@pytest.mark.parametrize("number", ODD_NUMBERS)
async def test_an_odd_life_of_a_token_is_an_unknown_one(number: str) -> None:
    client, _ = client_of(lambda _: raw(f'{{"access_token": "EAAnew", "expires_in": {number}}}'), retries=ONCE)
    fresh = await MetaLogin(client, APP).long_lived("facebook", CREDENTIALS.token)
    assert (fresh.expires_at, fresh.expiry) == (None, "assumed")


@pytest.mark.parametrize("number", ODD_NUMBERS)
async def test_an_odd_end_of_a_token_is_an_unknown_one(number: str) -> None:
    body = f'{{"data": {{"is_valid": true, "expires_at": {number}, "data_access_expires_at": {number}}}}}'
    client, _ = client_of(lambda _: raw(body))
    facts = await inspect_token(client, APP, CREDENTIALS.token)
    assert (facts.expires_at, facts.data_access_expires_at) == (None, None)


async def test_a_token_that_cannot_be_written_is_none() -> None:
    client, _ = client_of(lambda _: raw(r'{"access_token": "EAA\ud800"}'))
    fresh = await MetaLogin(client, APP).long_lived("facebook", CREDENTIALS.token)
    fresh.token.get_secret_value().encode()


HEADERS = {
    "deep": "[" * 60_000,
    "huge": '{"call_count": ' + "9" * 4000 + "}",
    "not a number": '{"1": [{"type": "instagram", "call_count": NaN, "estimated_time_to_regain_access": NaN}]}',
    "no end": '{"1": [{"type": "instagram", "call_count": 100, "estimated_time_to_regain_access": 1e400}]}',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("name", ["X-App-Usage", "X-Business-Use-Case-Usage"])
async def test_odd_usage_is_no_usage(name: str, header: str) -> None:
    client, _ = client_of(lambda _: raw('{"id": "1"}', **{name: header}), retries=ONCE)
    assert await client.get("me", {}, credentials=CREDENTIALS) == {"id": "1"}


@pytest.mark.parametrize("wait", ["9" * 20, "9" * 5000, "-1", "soon"])
async def test_an_odd_time_to_wait_is_an_error_of_the_call(wait: str) -> None:
    answers = httpx.Response(429, headers={"Retry-After": wait}, json={"error": {"code": 4, "message": "limit"}})
    client, _ = client_of(lambda _: answers, retries=ONCE)
    with pytest.raises(GraphError):
        await client.get("me", {}, credentials=CREDENTIALS)


@pytest.mark.parametrize(
    "message",
    [f"(#{'9' * 5000}) no", f"metric[{'9' * 5000}] must be one of the following values: reach", "x" * 1_000_000],
    ids=["code", "position", "long"],
)
async def test_a_refusal_s_words_are_bounded(message: str) -> None:
    client, _ = client_of(lambda _: httpx.Response(400, json={"error": {"message": message}}), retries=ONCE)
    with pytest.raises(GraphError) as caught:
        await client.get("me", {}, credentials=CREDENTIALS)
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("date_", ["Wed, 25 Nov 2026 20:00:00 -0000", "Wed, 99 Nov 999999 20:00:00 GMT", "x" * 9999])
def test_an_odd_date_is_no_date(date_: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}, headers={"Date": date_}))
    look(MetaHosts.at(None, "v25.0"), "facebook", clock=lambda: NOON, transport=transport)


# Answers as Meta gives them; the test puts other values in their places.
END = "2026-11-19T08:00:00+0000"
PAGING = {"cursors": {"before": "a", "after": "b"}, "next": "https://graph.facebook.com/v25.0/1/media?after=b"}
POST = {
    "id": "17900000000000001",
    "media_type": "CAROUSEL_ALBUM",
    "media_product_type": "FEED",
    "media_url": "https://cdn.example/a.jpg",
    "permalink": "https://www.instagram.com/p/a/",
    "timestamp": "2026-11-18T20:00:00+0000",
    "caption": "a",
    "like_count": 1,
    "comments_count": 2,
    "children": {"data": [{"id": "17900000000000002", "media_type": "IMAGE", "timestamp": END}]},
    "insights": {"data": [{"name": "saved", "values": [{"value": 3}]}, {"name": "reach", "values": [{"value": 4}]}]},
}
PROFILE = {"id": ACCOUNT, "user_id": ACCOUNT, "username": "a", "name": "b", "account_type": "BUSINESS"}
SCOPE = {"scope": "instagram_basic", "target_ids": [ACCOUNT]}
PARTS = [{"dimension_values": ["FOLLOWER"], "value": 5}, {"dimension_values": ["NON_FOLLOWER"], "value": 2}]
BROKEN_DOWN = {"value": 7, "breakdowns": [{"dimension_keys": ["follow_type"], "results": PARTS}]}
TEMPLATES: tuple[Any, ...] = (
    {"data": []},
    {"data": [{"name": "reach", "period": "day", "values": [{"value": 9, "end_time": END}]}]},
    {"data": [{"name": "online_followers", "values": [{"value": {"0": 9, "23": 1}, "end_time": END}]}]},
    {"data": [{"name": name, "total_value": {"value": 9}} for name in ("views", "likes", "total_interactions")]},
    {"data": [{"name": n, "total_value": BROKEN_DOWN} for n in ("follows_and_unfollows", "follower_demographics")]},
    {"data": [POST]},
    {"data": [POST], "paging": PAGING},
    POST,
    {**PROFILE, "followers_count": 1000, "follows_count": 1, "media_count": 3},
    {"data": [{"id": "1", "name": "Page", "instagram_business_account": PROFILE}]},
    {"access_token": "EAAnew", "expires_in": 5_184_000, "user_id": 1, "permissions": "instagram_basic"},
    {"data": [{"access_token": "IGAAnew", "user_id": "1", "permissions": ["instagram_business_basic"]}]},
    {
        "data": {
            "is_valid": True,
            "expires_at": 1,
            "data_access_expires_at": 1,
            "scopes": ["a"],
            "granular_scopes": [SCOPE],
        }
    },
    {"error": {"message": "(#100) metric[0] must be one of the following values: reach", "code": 100}},
    {"error": {"message": "limit", "code": 4, "error_subcode": 2, "error_user_title": "a", "fbtrace_id": "b"}},
    {"error_type": "OAuthException", "code": 400, "error_message": "Invalid code"},
)
ODD: tuple[Any, ...] = (None, True, [], {}, "", "1", "\x00", "\ud800", "9" * 5000, "\u00b2", "x" * 20_000, [[[]]], [{}])
NUMBERS = (0, -1, 2**31, 2**63, 10**15, 10**16, 10**30, 10**300, 1e308, -1e308, float("inf"), float("nan"))
DATES = (
    "0001-01-01T00:00:00+0000",
    "9999-12-31T23:59:59-1200",
    "2026-11-18T20:00:00",
    "2026-11-18",
    1e15,
    -1e15,
    10**11,
)
WORDS = (1, 4, 10, 17, 33, 100, 190, 463, 2108006, "https://[", "javascript:alert(1)", [None])
LEAVES = st.sampled_from([*ODD, *NUMBERS, *DATES, *WORDS])


@st.composite
def answers(draw: st.DrawFn) -> Any:
    """One of the templates with other values in up to three places."""
    answer = copy.deepcopy(draw(st.sampled_from(TEMPLATES)))
    for _ in range(draw(st.integers(0, 3))):
        place = answer
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or draw(st.integers(0, 3)) == 0:
                place[key] = copy.deepcopy(draw(LEAVES))
                break
            place = place[key]
    return answer


Call = Callable[[GraphClient], Awaitable[object]]


async def _listed(client: GraphClient) -> None:
    async for page in iterate_media(client, CREDENTIALS, first=DAY, last=DAY):
        for item in page.items:
            assert item.day == DAY
            assert -(2**63) <= item.engagement < 2**63


async def _adopted(client: GraphClient, login: Login) -> None:
    await adopt_token(client, APP, login, CREDENTIALS.token)


CALLS: dict[str, Call] = {
    "series": lambda client: fetch_series(client, CREDENTIALS, first=DAY, last=DAY),
    "totals": lambda client: fetch_totals(client, CREDENTIALS, day=DAY),
    "follows": lambda client: fetch_follows(client, CREDENTIALS, day=DAY),
    "demographics": lambda client: fetch_demographics(client, CREDENTIALS),
    "online followers": lambda client: fetch_online_followers(client, CREDENTIALS, first=DAY, last=DAY),
    "posts": _listed,
    "stories": lambda client: fetch_stories(client, CREDENTIALS),
    "accounts": lambda client: find_accounts(client, CREDENTIALS.token, "facebook"),
    "me": lambda client: find_accounts(client, CREDENTIALS.token, "instagram"),
    "a login with Facebook": lambda c: complete_login(c, APP, "facebook", "code", redirect_uri="https://a.example/"),
    "a login with Instagram": lambda c: complete_login(c, APP, "instagram", "code", redirect_uri="https://a.example/"),
    "a token of Facebook": lambda client: _adopted(client, "facebook"),
    "a token of Instagram": lambda client: _adopted(client, "instagram"),
}


def _written(found: object) -> None:
    """It could be written down: text as UTF-8, numbers in eight bytes."""
    shown = repr(found)
    shown.encode()
    for digits in re.findall(r"(?<![\w.+-])-?[0-9]{19,}", re.sub(r"'[^']*'|\"[^\"]*\"", "", shown)):
        assert -(2**63) <= int(digits) < 2**63


@pytest.mark.parametrize(
    "field", ["timestamp", "like_count", "comments_count", "id", "children", "insights", "caption"]
)
async def test_each_field_of_a_post_may_be_odd(field: str) -> None:
    for value in (*DATES, *NUMBERS, *ODD):
        client, _ = client_of(always(json.dumps({"data": [{**POST, field: value}]})), retries=ONCE)
        try:
            await _listed(client)
        except GraphError:
            continue


def always(body: str) -> Handler:
    return lambda _: raw(body)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(given=st.lists(answers(), min_size=1, max_size=4), status=st.sampled_from([200, 200, 200, 400, 500]))
def test_whatever_comes_is_read_or_refused(call: Call, given: list[Any], status: int) -> None:
    bodies = [json.dumps(one) for one in given]
    asked = 0

    def handle(_: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(status, content=bodies[asked % len(bodies)])

    async def run() -> None:
        client, _ = client_of(handle, retries=ONCE)
        async with client:
            try:
                _written(await call(client))
            except GraphError as error:
                str(error).encode()

    asyncio.run(run())
