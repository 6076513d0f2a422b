"""A fault of the app itself is its operator's: told once, in Meta's words; no account pays for it."""

import logging
from collections import Counter
from datetime import timedelta

import httpx
import pytest

from ig_pipeline.storage import sync_requests, tables
from ig_pipeline.sync.engine import open_services, take_snapshots
from ig_pipeline.sync.media_files.results import BackfillOptions, Watcher
from ig_pipeline.sync.media_files.runs import backfill_account
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.requests.later import BACKOFF
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncRun
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = pytest.mark.anyio
SWITCHED_OFF = "API access deactivated. To reactivate, go to the app dashboard"


def lever(small: SmallWorld, method: str, path: str, **params: str | int) -> None:
    answer = httpx.request(method, f"{small.simulator.url}/_simulator/{path}", params=params)
    assert answer.status_code == 200, answer.text


def statuses_of_connections(small: SmallWorld, keys: list[str]) -> Counter[str]:
    return Counter(small.connection(key).status for key in keys)


async def test_a_switched_off_app_fails_all_accounts_with_one_sentence_and_heals_by_itself(
    small: SmallWorld, caplog: pytest.LogCaptureFixture
) -> None:
    keys = small.connect_all()
    lever(small, "POST", "app", fault="switched_off")
    before = small.simulator.calls.total()
    with caplog.at_level(logging.ERROR, "ig_pipeline.sync"):
        results = await small.sync(keys, days=3)
    assert {(result.status, result.error_type) for result in results} == {("failed", "AppFaultError")}
    (sentence,) = {result.error for result in results}
    assert sentence is not None
    assert SWITCHED_OFF in sentence
    assert "operator" in sentence
    assert "onnect" not in sentence
    assert not [key for key in keys if key in sentence]
    # Told once, and asked no more often than there were calls on the wire already.
    assert sum(record.getMessage().count(SWITCHED_OFF) for record in caplog.records) == 1
    assert small.simulator.calls.total() - before <= 16
    assert statuses_of_connections(small, keys) == {"connected": len(keys)}

    # It is asked for again by itself, and the operator's act is all it takes.
    with small.engine.connect() as db:
        requests = sync_requests.recent(db, limit=100)
    assert {request.account_key for request in requests} == set(keys)
    assert {request.requested_by for request in requests} == {"retry"}
    assert min(request.not_before for request in requests) >= small.clock() + BACKOFF[0]
    lever(small, "DELETE", "app")
    small.clock.advance(timedelta(minutes=10))
    assert {result.status for result in await small.sync(keys, days=3)} == {"complete"}


@sqlite_only
@pytest.mark.parametrize("fault", ["blocked", "deleted"])
async def test_whatever_words_say_so_no_token_is_held_dead(small: SmallWorld, fault: str) -> None:
    keys = small.connect_all()[:3]
    lever(small, "POST", "app", fault=fault)
    results = await small.sync(keys, days=1)
    assert {result.error_type for result in results} == {"AppFaultError"}
    assert statuses_of_connections(small, keys) == {"connected": 3}


@sqlite_only
async def test_an_app_in_development_mode_stops_the_accounts_without_a_role_and_no_others(small: SmallWorld) -> None:
    """Those of its own people are read as before: the other accounts of the run go on."""
    outsider, tester = small.connect_all()[:2]
    account = small.connection(outsider).account_id
    said = "(#200) This app is still in development mode, and you don't have access to it."

    def refuse(request: httpx.Request) -> httpx.Response | None:
        if f"/{account}" not in request.url.path:
            return None
        return httpx.Response(400, json={"error": {"message": said, "type": "OAuthException", "code": 200}})

    async with small.services_over(refuse) as services:
        results = await small.sync_with(services, dict.fromkeys([outsider, tester], small.window(2)))
    by_account = {(result.account_key, result.status) for result in results}
    assert by_account == {(outsider, "failed"), (tester, "complete")}
    assert "switch the app live" in str(next(result.error for result in results if result.error))


@sqlite_only
async def test_a_wrong_secret_is_the_operators_too(small: SmallWorld) -> None:
    keys = small.connect_all()[:2]

    def wrong(_: httpx.Request) -> httpx.Response:
        said = "Invalid appsecret_proof provided in the API argument"
        return httpx.Response(400, json={"error": {"message": said, "type": "GraphMethodException", "code": 100}})

    async with small.services_over(wrong) as services:
        results = await small.sync_with(services, dict.fromkeys(keys, small.window(1)))
    (sentence,) = {result.error for result in results}
    assert "IG_PIPELINE_APP_SECRET" in str(sentence)
    assert statuses_of_connections(small, keys) == {"connected": 2}


@sqlite_only
async def test_a_login_whose_app_works_goes_on_beside_one_whose_app_does_not(small: SmallWorld) -> None:
    facebook = small.connect("acme.studio").account_key
    instagram = small.connect("harbor.bakery", login="instagram", email="other@b.example").account_key

    def refuse(request: httpx.Request) -> httpx.Response | None:
        if not request.headers["authorization"].startswith("Bearer EAAG"):
            return None
        return httpx.Response(200, json={"error": {"message": f"{SWITCHED_OFF}.", "code": 200}})

    async with small.services_over(refuse) as services:
        results = await small.sync_with(services, dict.fromkeys([facebook, instagram], small.window(2)))
    by_account = {(result.account_key, result.status) for result in results}
    assert by_account == {(facebook, "failed"), (instagram, "complete")}


@sqlite_only
async def test_media_files_and_snapshots_stop_as_one(small: SmallWorld) -> None:
    keys = small.connect_all()[:3]
    lever(small, "POST", "app", fault="switched_off")
    days: list[AccountDayResult] = []
    async with open_services(small.settings, clock=small.clock) as services, open_media(small.settings) as media:
        run = SyncRun(services, "media", timeout=media.timeout)
        before = small.simulator.calls.total()
        found = [
            await backfill_account(
                run, media, key, BackfillOptions("feed"), Watcher(), triggered_by="cli", emit=days.append
            )
            for key in keys
        ]
        assert small.simulator.calls.total() - before == 1
        taken = take_snapshots(services, keys, asset="demographics", run_id="snapshots")
        snapshots = [result async for result in taken]
    assert {(result.status, result.error_type) for result in found} == {("failed", "AppFaultError")}
    assert len({result.error for result in found}) == 1
    assert {result.retry_at is not None for result in days} == {True}
    assert {result.error_type for result in snapshots} == {"AppFaultError"}
    assert statuses_of_connections(small, keys) == {"connected": 3}
    assert {row["status"] for row in small.rows(tables.instagram_sync_logs)} == {"failed"}


@sqlite_only
async def test_a_permission_that_was_withdrawn_stays_the_owners(small: SmallWorld) -> None:
    keys = small.connect_all()[:2]
    lever(small, "POST", f"tokens/{keys[0]}/permissions", without="instagram_manage_insights")
    results = await small.sync(keys, days=2, assets=["account_insights"])
    assert {(result.account_key, result.status) for result in results} == {(keys[0], "failed"), (keys[1], "complete")}
    refused = [result for result in results if result.status == "failed"]
    assert {result.error_type for result in refused} == {"PermissionMissingError"}
    assert "Connect the account again and grant it" in str(refused[0].error)
