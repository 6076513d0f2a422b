"""Meta is down for the whole of a run: its cells are red with the reason, and heal by themselves, within bounds."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import httpx
import pytest

from ig_pipeline.storage import sync_logs, sync_requests, tables
from ig_pipeline.storage.connections import mark_initial_backfill_requested
from ig_pipeline.storage.overview import Backfill, standings
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline.sync.requests.later import BACKOFF, REMEMBERED, SLOT
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = pytest.mark.anyio

KEY = "acme.studio"


def down(_: httpx.Request) -> httpx.Response:
    return httpx.Response(503, text="Service Unavailable")


async def sync_while_down(small: SmallWorld, keys: Sequence[str] = (KEY,), *, days: int = 30) -> list[AccountDayResult]:
    async with small.services_over(down) as services:
        return await small.sync_with(services, dict.fromkeys(keys, small.window(days)))


def queued(small: SmallWorld) -> list[SyncRequest]:
    with small.engine.connect() as db:
        return [request for request in sync_requests.recent(db, limit=1000) if request.status == "queued"][::-1]


def launch(small: SmallWorld, request: SyncRequest) -> None:
    """As the sensor does, when its time has come."""
    small.clock.now = request.not_before
    with small.engine.begin() as db:
        assert [due.id for due in sync_requests.due(db, now=small.clock())] == [request.id]
        days = {"first": request.first, "last": request.last}
        sync_requests.claim(db, [request.id], batch="a batch", **days, now=small.clock())


def end(small: SmallWorld, request: SyncRequest) -> None:
    with small.engine.begin() as db:
        sync_requests.end(db, [request.id], status=sync_requests.FAILED, detail="It failed.", now=small.clock())


def first_backfill(small: SmallWorld) -> Backfill:
    """As the front door shows it."""
    days, connection = small.window(), small.connection(KEY)
    with small.engine.begin() as db:
        mark_initial_backfill_requested(db, connection.id, first=days[0], last=days[-1], now=small.clock())
        (standing,) = standings(db, initial_days=30, account_keys=[KEY])
    return standing.backfill


async def test_a_first_backfill_of_an_outage_is_complete_after_it_without_a_person(small: SmallWorld) -> None:
    small.connect(KEY)
    results = await sync_while_down(small)
    (request,) = queued(small)
    assert {(r.status, r.retry_at) for r in results} == {("failed", request.not_before)}
    at = f"{request.not_before:%Y-%m-%d %H:%M} UTC"
    assert all(r.error is not None and r.error.endswith(f"Its next attempt is due at {at}.") for r in results)
    assert (request.kind, request.requested_by, request.account_key) == ("insights", "retry", KEY)
    assert (request.first, request.last) == (small.window()[0], small.window()[-1])
    assert BACKOFF[0] <= request.not_before - small.clock() < BACKOFF[0] + SLOT
    progress = first_backfill(small)
    assert (progress.state, progress.failed, progress.next_try_at) == ("incomplete", 30, request.not_before)

    launch(small, request)
    assert first_backfill(small).state == "running"
    again = await small.sync([KEY])
    assert {result.status for result in again} == {"complete"}
    assert small.daily(KEY) == small.truth(KEY, small.window())
    assert first_backfill(small).state == "done"
    assert not queued(small)


async def test_meta_down_for_good_ends_in_red_cells_with_the_reason(small: SmallWorld) -> None:
    small.connect(KEY)
    pauses = []
    for _ in BACKOFF:
        await sync_while_down(small, days=3)
        (request,) = queued(small)
        pauses.append(request.not_before - small.clock())
        launch(small, request)
        end(small, request)
    assert pauses == sorted(pauses)
    results = await sync_while_down(small, days=3)
    assert not queued(small)
    assert {(r.status, r.retry_at) for r in results} == {("failed", None)}
    tried = f"Tried {len(BACKOFF) + 1} times in vain; ask for it again when Meta answers."
    with small.engine.connect() as db:
        newest = sync_logs.recent_failures(db, limit=1)[0]
    assert newest.error_message is not None
    assert newest.error_message.endswith(tried)
    assert "HTTP 503" in newest.error_message
    assert {row["requested_by"] for row in small.rows(tables.sync_requests)} == {"retry"}
    assert len(small.rows(tables.sync_requests)) == len(BACKOFF)


async def test_the_night_after_begins_anew(small: SmallWorld) -> None:
    small.connect(KEY)
    for _ in range(len(BACKOFF) + 1):
        await sync_while_down(small, days=1)
        for request in queued(small):
            launch(small, request)
            end(small, request)
    small.clock.advance(REMEMBERED)
    await sync_while_down(small, days=3)
    (request,) = queued(small)
    assert request.not_before - small.clock() < BACKOFF[0] + SLOT


async def test_two_runs_that_fail_on_the_same_cells_ask_once(small: SmallWorld) -> None:
    small.connect(KEY)
    await sync_while_down(small, days=5)
    await sync_while_down(small, days=3)
    (request,) = queued(small)
    assert request.last == small.window(1)[0]
    # A day more is a request more, for that day and what is near it.
    await sync_while_down(small, days=10)
    assert [r.first for r in queued(small)] == [small.window(5)[0], small.window(10)[0]]


async def test_what_only_a_person_can_mend_is_not_tried_again(small: SmallWorld) -> None:
    keys = small.connect_all()[:2]
    small.revoke(keys[0])
    blocked = {"message": "(#368) The action attempted has been deemed abusive", "code": 368, "type": "OAuthException"}
    account = small.connection(keys[1]).account_id

    def disturb(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(400, json={"error": blocked}) if account in request.url.path else None

    async with small.services_over(disturb) as services:
        results = await small.sync_with(services, dict.fromkeys(keys, small.window(3)))
    assert {r.error_type for r in results} == {"TokenDeadError", "PolicyBlockedError"}
    assert {(r.status, r.retry_at) for r in results} == {("failed", None)}
    assert not small.rows(tables.sync_requests)


@sqlite_only
async def test_only_what_failed_is_asked_for_again(small: SmallWorld) -> None:
    small.connect(KEY)

    def without_insights(request: httpx.Request) -> httpx.Response | None:
        return down(request) if request.url.path.endswith("/insights") else None

    async with small.services_over(without_insights) as services:
        await small.sync_with(services, {KEY: small.window(3)})
    (request,) = queued(small)
    assert request.options == {"assets": ["account_insights", "daily_metrics"]}


@sqlite_only
async def test_accounts_struck_one_after_the_other_are_tried_again_together(small: SmallWorld) -> None:
    keys = small.connect_all()
    small.clock.now = small.clock().replace(minute=1)
    for key in keys:
        await sync_while_down(small, [key], days=2)
        small.clock.advance(timedelta(seconds=20))
    times: set[datetime] = {request.not_before for request in queued(small)}
    assert times == {small.clock().replace(minute=10, second=0)}
    assert len(queued(small)) == len(keys)
