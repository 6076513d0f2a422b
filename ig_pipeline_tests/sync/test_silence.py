"""Meta says nothing, or refuses without a rule: nothing lasting follows, and what is missing is asked for again.

Each test disturbs one run and leaves the next ones alone, as the public bug reports it comes from describe it.
"""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest

from ig_pipeline.graph_api.days import bucket_end, days_between, total_value_window
from ig_pipeline.storage import sync_requests, tables
from ig_pipeline.storage.absences import save
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline.sync.requests.later import BACKOFF, OBTAINABLE, PARTIAL_BACKOFF, SLOT
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = [pytest.mark.anyio, sqlite_only]

KEY = "acme.studio"
Answer = Callable[[httpx.Request], httpx.Response | None]


async def sync_over(small: SmallWorld, answer: Answer, *, days: int | Sequence[date] = 30) -> list[AccountDayResult]:
    wanted = small.window(days) if isinstance(days, int) else list(days)
    async with small.services_over(answer) as services:
        return await small.sync_with(services, {KEY: wanted})


def queued(small: SmallWorld) -> list[SyncRequest]:
    with small.engine.connect() as db:
        return [request for request in sync_requests.recent(db, limit=1000) if request.status == "queued"][::-1]


async def as_the_sensor_does(small: SmallWorld, request: SyncRequest, answer: Answer | None = None) -> list[Any]:
    """Run what was asked for, when its time has come."""
    small.clock.now = max(small.clock(), request.not_before)
    with small.engine.begin() as db:
        first, last = request.first, request.last
        sync_requests.claim(db, [request.id], batch="a batch", first=first, last=last, now=small.clock())
    async with small.services_over(answer or (lambda _: None)) as services:
        days = days_between(request.first, request.last)
        found = await small.sync_with(services, {KEY: days}, assets=request.options["assets"])
    with small.engine.begin() as db:
        sync_requests.end(db, [request.id], status=sync_requests.DONE, now=small.clock())
    return found


def by_asset(results: Sequence[AccountDayResult]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for result in results:
        found.setdefault(result.asset, set()).add(result.status)
    return found


def is_insights(request: httpx.Request) -> bool:
    path = request.url.path.split("/")
    return path[-1] == "insights" and len(path[-2]) == 17 and path[-2].startswith("1784")


def empty_insights(request: httpx.Request) -> httpx.Response | None:
    return httpx.Response(200, json={"data": []}) if is_insights(request) else None


def refused(message: str, *, code: int = 100, **more: object) -> httpx.Response:
    return httpx.Response(400, json={"error": {"message": message, "type": "OAuthException", "code": code, **more}})


def with_rows(change: Callable[[list[Any]], None]) -> Answer:
    """Pages of posts with their rows changed, those of more than three posts."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/media"):
            return None
        page = httpx.get(request.url, headers=request.headers).json()
        if len(page["data"]) > 3:
            change(page["data"])
        return httpx.Response(200, content=json.dumps(page))

    return answer


# ---- silence ---------------------------------------------------------------------------------------------------------


async def test_an_empty_set_in_one_run_is_asked_for_again_and_costs_nothing_for_good(small: SmallWorld) -> None:
    small.connect(KEY)
    results = await sync_over(small, empty_insights)
    assert by_asset(results) == {
        "account_insights": {"partial"},
        "media_engagement": {"complete"},
        "daily_metrics": {"partial"},
    }
    told = " ".join(text for result in results for text in result.absences.values())
    assert "100 followers" not in told  # it has 48,210
    assert small.rows(tables.metric_absences) == []
    (request,) = queued(small)
    assert (request.first, request.last) == (small.window()[0], small.window()[-1])
    assert PARTIAL_BACKOFF[0] <= request.not_before - small.clock() < PARTIAL_BACKOFF[0] + SLOT
    assert request.options["assets"] == ["account_insights", "daily_metrics"]
    assert {result.retry_at for result in results if result.status == "partial"} == {request.not_before}
    assert "without" in request.reason

    again = await as_the_sensor_does(small, request)
    assert {result.status for result in again} == {"complete"}
    assert small.insights(KEY) == small.true_insights(KEY, small.window())
    assert small.daily(KEY) == small.truth(KEY, small.window())
    assert not queued(small)


async def test_a_metric_left_out_in_one_run_is_fetched_in_the_next(small: SmallWorld) -> None:
    small.connect(KEY)

    def without_views(request: httpx.Request) -> httpx.Response | None:
        if not is_insights(request) or "views" not in request.url.params.get("metric", ""):
            return None
        answer = httpx.get(request.url, headers=request.headers).json()
        rows = [row for row in answer["data"] if row["name"] != "views"]
        return httpx.Response(200, json={"data": rows})

    results = await sync_over(small, without_views, days=5)
    insights = [result for result in results if result.asset == "account_insights"]
    assert {(result.status, result.lacking) for result in insights} == {("partial", ("views",))}
    # What a chart needs is there: its cells are whole.
    assert by_asset(results)["daily_metrics"] == {"complete"}
    night = await small.sync([KEY], days=5)
    assert {result.status for result in night} == {"complete"}
    assert small.insights(KEY) == small.true_insights(KEY, small.window(5))


async def test_what_is_never_told_is_asked_for_at_growing_distances_while_it_can_be_had(small: SmallWorld) -> None:
    small.connect(KEY)
    (day,) = days = small.window(1)
    waits: list[timedelta] = []
    await sync_over(small, empty_insights, days=days)
    while requests := queued(small):
        (request,) = requests
        waits.append(request.not_before - small.clock())
        small.clock.now = request.not_before
        small.connect(KEY)  # its token is not what this is about
        await as_the_sensor_does(small, request, empty_insights)
    assert len(waits) <= 12
    slots = [wait // SLOT * SLOT for wait in waits]
    assert slots[:4] == [*PARTIAL_BACKOFF, 2 * PARTIAL_BACKOFF[-1]]
    assert small.clock() - bucket_end(day) < OBTAINABLE
    (last,) = [r for r in await sync_over(small, empty_insights, days=days) if r.asset == "account_insights"]
    assert (last.status, last.retry_at) == ("partial", None)


async def test_a_number_once_had_is_not_lost_to_a_later_silence(small: SmallWorld) -> None:
    small.connect(KEY)
    await small.sync([KEY], days=10)
    before = small.rows(tables.media_engagement, KEY), small.daily(KEY), small.insights(KEY)
    assert any(row["saved"] for row in before[0])

    def silent(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/insights"):
            return httpx.Response(200, json={"data": []})
        if not request.url.path.endswith("/media"):
            return None
        answer = httpx.get(request.url, headers=request.headers).json()
        rows = [{name: value for name, value in row.items() if name != "insights"} for row in answer["data"]]
        return httpx.Response(200, json={**answer, "data": rows})

    small.clock.advance(timedelta(minutes=1))
    results = await sync_over(small, silent, days=10)
    with_posts = {result.date for result in results if result.asset == "media_engagement" and result.rows}
    assert {r.date for r in results if r.asset == "media_engagement" and r.status == "partial"} == with_posts
    numbers = ("saved", "reach", "views", "shares", "total_interactions", "engagement")
    kept = {row["media_id"]: [row[name] for name in numbers] for row in small.rows(tables.media_engagement, KEY)}
    assert kept == {row["media_id"]: [row[name] for name in numbers] for row in before[0]}
    assert (small.daily(KEY), small.insights(KEY)) == before[1:]
    # The day's metrics stand from before: nothing of the account is missing.
    assert by_asset(results)["account_insights"] == {"complete"}


async def test_a_post_without_insights_in_its_first_night_is_asked_again(small: SmallWorld) -> None:
    small.connect(KEY)
    day = next(day for day in reversed(small.window()) if small.world.account(KEY).posts_on(day, small.clock()))
    post = small.world.account(KEY).posts_on(day)[0].id

    def silent(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith(f"/{post}/insights"):
            return httpx.Response(200, json={"data": []})
        if not request.url.path.endswith("/media"):
            return None
        answer = httpx.get(request.url, headers=request.headers).json()
        for row in answer["data"]:
            if row["id"] == post and "insights" in row:
                row["insights"] = {"data": []}
        return httpx.Response(200, json=answer)

    results = await sync_over(small, silent)
    odd = [result for result in results if result.status != "complete"]
    assert {(result.asset, result.date, result.status) for result in odd} == {
        ("media_engagement", day, "partial"),
        ("daily_metrics", day, "partial"),
    }
    (request,) = queued(small)
    assert (request.first, request.last) == (day, day)
    await as_the_sensor_does(small, request)
    assert small.daily(KEY) == small.truth(KEY, small.window())


async def test_an_empty_listing_is_not_taken_for_an_account_without_posts(small: SmallWorld) -> None:
    small.connect(KEY)

    def no_posts(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(200, json={"data": []}) if request.url.path.endswith("/media") else None

    results = await sync_over(small, no_posts)
    assert by_asset(results)["media_engagement"] == {"partial"}
    assert by_asset(results)["daily_metrics"] == {"partial"}
    assert {r.lacking for r in results if r.asset == "media_engagement"} == {("posts",)}
    (request,) = queued(small)
    await as_the_sensor_does(small, request)
    assert small.daily(KEY) == small.truth(KEY, small.window())


async def test_an_empty_listing_that_the_account_contradicts_fails_and_heals(small: SmallWorld) -> None:
    small.connect(KEY)

    def lying(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/media") and request.url.params.get("limit") != "1":
            return httpx.Response(200, json={"data": []})
        return None

    results = await sync_over(small, lying)
    assert by_asset(results)["media_engagement"] == {"failed"}
    (request,) = queued(small)
    await as_the_sensor_does(small, request)
    assert small.daily(KEY) == small.truth(KEY, small.window())


# ---- what a person asks for ------------------------------------------------------------------------------------------


async def test_a_person_who_asks_is_not_answered_from_memory(small: SmallWorld) -> None:
    connection = small.connect(KEY)
    now = small.clock()
    known = {"u_id": connection.u_id, "account_id": connection.account_id, "subject": "account"}
    rows = [
        {**known, "metric": name, "reason": "not_supported", "detail": "Refused.", "recorded_at": now}
        for name in ("reach", "views", "follower_count")
    ]
    with small.engine.begin() as db:
        save(db, [{**row, "recheck_after": now + timedelta(days=30)} for row in rows])
    days = small.window(3)
    await small.sync([KEY], days=days)
    assert {name for name, _ in small.insights(KEY)}.isdisjoint({"reach", "views", "follower_count"})
    async with small.services_over(lambda _: None) as services:
        from ig_pipeline.sync.engine import sync_account_days  # noqa: PLC0415 - the parameter is the point

        asked = [
            result
            async for result in sync_account_days(services, {KEY: days}, run_id="a person's", asks_everything=True)
        ]
    assert {result.status for result in asked} == {"complete"}
    assert small.insights(KEY) == small.true_insights(KEY, days)


# ---- refusals without a rule -----------------------------------------------------------------------------------------


async def test_half_the_calls_refused_without_a_rule_leave_no_rule_behind(small: SmallWorld) -> None:
    small.connect(KEY)
    turn = [0]

    def every_other(request: httpx.Request) -> httpx.Response | None:
        turn[0] += is_insights(request)
        return refused("(#100) Invalid parameter") if is_insights(request) and turn[0] % 2 else None

    results = await sync_over(small, every_other)
    assert "failed" not in {result.status for result in results}
    assert {row["reason"] for row in small.rows(tables.metric_absences)} <= {"refused"}  # noted, and no rule
    for _ in range(6):
        if not (requests := queued(small)):
            break
        for request in requests:
            await as_the_sensor_does(small, request)
    assert small.insights(KEY) == small.true_insights(KEY, small.window())
    assert small.rows(tables.metric_absences) == []


async def test_one_100_33_on_the_account_is_tried_again_in_the_call(small: SmallWorld) -> None:
    small.connect(KEY)
    left = [1]

    def once(request: httpx.Request) -> httpx.Response | None:
        if is_insights(request) and left[0]:
            left[0] -= 1
            return refused("Unsupported get request. Object with ID does not exist", error_subcode=33)
        return None

    results = await sync_over(small, once)
    assert {result.status for result in results} == {"complete"}


async def test_100_33_on_an_account_becomes_final_only_after_hours(small: SmallWorld) -> None:
    small.connect(KEY)

    def gone(request: httpx.Request) -> httpx.Response | None:
        if is_insights(request):
            return refused("Unsupported get request. Object with ID does not exist", error_subcode=33)
        return None

    results = await sync_over(small, gone, days=3)
    began = small.clock()
    assert by_asset(results)["account_insights"] == {"failed"}
    assert {r.error_type for r in results if r.status == "failed"} == {"AmbiguousRefusalError"}
    assert small.connection(KEY).status == "connected"
    attempts = 0
    while requests := queued(small):
        for request in requests:
            results = await as_the_sensor_does(small, request, gone)
            attempts += 1
    assert attempts == len(BACKOFF)
    assert small.clock() - began >= sum(BACKOFF, timedelta())
    assert all("in vain" in str(result.error) for result in results if result.asset == "account_insights")


async def test_one_post_that_refuses_costs_its_own_day_until_the_refusal_was_repeated_over_hours(
    small: SmallWorld,
) -> None:
    small.connect(KEY)
    days = [day for day in small.window() if small.world.account(KEY).posts_on(day, small.clock())]
    day = days[len(days) // 2]
    post = small.world.account(KEY).posts_on(day)[0]

    def forbidden(request: httpx.Request) -> httpx.Response | None:
        if "insights" not in request.url.path and "insights.metric" not in request.url.params.get("fields", ""):
            return None
        if f"/{post.id}/" in request.url.path or touches(request, post.at):
            return refused("(#10) Application does not have permission for this action", code=10)
        return None

    def touches(request: httpx.Request, at: datetime) -> bool:
        if not request.url.path.endswith("/media"):
            return False
        since, until = int(request.url.params.get("since", 0)), int(request.url.params.get("until", 2**40))
        return since <= at.timestamp() <= until

    results = await sync_over(small, forbidden)
    assert {(r.asset, r.date) for r in results if r.status != "complete"} == {
        ("media_engagement", day),
        ("daily_metrics", day),
    }
    assert {result.status for result in results} == {"complete", "partial"}
    row = next(row for row in small.rows(tables.media_engagement, KEY) if row["media_id"] == post.id)
    assert row["like_count"] == post.count("likes", small.clock())
    assert (row["saved"], row["absences"]) == (None, {"insights": "refused"})
    assert small.connection(KEY).status == "connected"

    attempts: list[set[str]] = []
    while requests := queued(small):
        for request in requests:
            attempts.append({r.status for r in await as_the_sensor_does(small, request, forbidden)})
    # An hour later it is too early for a rule, at nine hours it is one: the day is whole, with the reason.
    assert attempts == [{"partial"}, {"partial"}, {"complete"}]
    (kept,) = [row for row in small.rows(tables.metric_absences) if row["reason"] == "refused_repeatedly"]
    assert (kept["subject"], kept["metric"]) == (post.id, "insights")
    # When it is answered again later, the number comes and what was noted goes.
    small.clock.advance(timedelta(days=8))
    await small.sync([KEY], days=[day])
    row = next(row for row in small.rows(tables.media_engagement, KEY) if row["media_id"] == post.id)
    assert row["saved"] == post.count("saved", small.clock())


async def test_a_refusal_that_ends_within_hours_leaves_nothing_behind(small: SmallWorld) -> None:
    small.connect(KEY)
    day = next(day for day in reversed(small.window()) if small.world.account(KEY).posts_on(day, small.clock()))
    post = small.world.account(KEY).posts_on(day)[0]

    def odd(request: httpx.Request) -> httpx.Response | None:
        expanded = "insights.metric" in request.url.params.get("fields", "")
        if f"/{post.id}/insights" in request.url.path or (expanded and request.url.path.endswith("/media")):
            return refused("(#100) Invalid parameter")
        return None

    await sync_over(small, odd, days=[day])
    assert {row["reason"] for row in small.rows(tables.metric_absences)} == {"refused"}
    (request,) = queued(small)
    await as_the_sensor_does(small, request)
    assert small.rows(tables.metric_absences) == []


# ---- a listing that breaks off, and odd rows -------------------------------------------------------------------------


async def test_days_that_are_listed_whole_before_a_walk_breaks_off_are_kept(small: SmallWorld) -> None:
    small.connect(KEY)

    def in_small_pages(request: httpx.Request) -> httpx.Response | None:
        params = request.url.params
        if not request.url.path.endswith("/media") or "after" in params:
            return refused("(#2) Service temporarily unavailable", code=2) if "after" in params else None
        answer = httpx.get(request.url.copy_set_param("limit", 10), headers=request.headers)
        return httpx.Response(answer.status_code, content=answer.content)

    results = await sync_over(small, in_small_pages)
    engagement = {r.date: r for r in results if r.asset == "media_engagement"}
    whole = {day for day, result in engagement.items() if result.status == "complete"}
    assert whole
    assert whole == {day for day in engagement if day >= min(whole)}
    assert {r.status for day, r in engagement.items() if day < min(whole)} == {"failed"}
    assert small.daily(KEY) == small.truth(KEY, sorted(whole))
    (request,) = queued(small)
    assert (request.first, request.last) == (small.window()[0], min(whole) - timedelta(days=1))
    await as_the_sensor_does(small, request)
    assert small.daily(KEY) == small.truth(KEY, small.window())


async def test_an_odd_row_costs_one_more_call_and_no_day(small: SmallWorld) -> None:
    small.connect(KEY)

    def odd(rows: list[Any]) -> None:
        del rows[3]["timestamp"]
        rows[2]["children"] = None

    results = await sync_over(small, with_rows(odd))
    assert {result.status for result in results} == {"complete"}
    assert small.daily(KEY) == small.truth(KEY, small.window())


async def test_a_row_that_cannot_be_read_at_all_is_told_on_its_day(small: SmallWorld) -> None:
    small.connect(KEY)

    def odd(rows: list[Any]) -> None:
        rows[3] = None

    results = await sync_over(small, with_rows(odd))
    partial = [r for r in results if r.status == "partial"]
    assert {(r.asset, r.lacking) for r in partial} == {
        ("media_engagement", ("posts",)),
        ("daily_metrics", ("engagement",)),
    }
    # The days of the posts around it: one of them lacks a post, and nothing tells which.
    assert 1 <= len({r.date for r in partial}) <= 4
    (request,) = queued(small)
    await as_the_sensor_does(small, request)
    assert small.daily(KEY) == small.truth(KEY, small.window())


async def test_a_permission_refused_for_one_day_among_successes_costs_that_day_until_the_next_try(
    small: SmallWorld,
) -> None:
    small.connect(KEY)
    third = small.window(5)[2]
    marker = f"since={total_value_window(third)[0]}"

    def once(request: httpx.Request) -> httpx.Response | None:
        if marker in str(request.url):
            return refused("(#10) Application does not have permission for this action", code=10)
        return None

    results = await sync_over(small, once, days=5)
    assert {r.date for r in results if r.status != "complete"} == {third}
    (request,) = queued(small)
    await as_the_sensor_does(small, request)
    assert small.daily(KEY) == small.truth(KEY, small.window(5))
