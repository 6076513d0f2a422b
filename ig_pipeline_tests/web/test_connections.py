"""Consent from the first click to the stored connection, with both logins, and every way it can fail."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.storage import tables
from ig_pipeline.storage.connections import by_account_key, mark_reconnect_required
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import ADMIN, CALLBACK, PAGE, READER, FrontDoor, front_door, signed_link

EMAIL = "a@b.example"
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_consent_stores_user_token_and_account_and_starts_the_backfill(
    small: SmallWorld, login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    who = small.world.accounts[0].username
    with front_door(small, login=login) as door, caplog.at_level(logging.INFO, "ig_pipeline"):
        answer = door.connect(EMAIL, who)
    assert answer.status_code == 200
    assert answer.json() == {"connected": True, "provider": "instagram", "backfill_started": True}
    assert f"[SYNC] Running initial 30-day IG backfill for {EMAIL}" in caplog.text
    connection = small.connection(who)
    assert (connection.email, connection.account_id) == (EMAIL, small.world.accounts[0].id)
    assert (connection.status, connection.login) == ("connected", login)
    assert connection.expires_at is not None
    assert connection.expires_at - small.clock() > timedelta(days=59)
    stored = small.rows(tables.user_tokens)[0]["access_token"]
    assert stored.startswith("v1.")
    assert connection.initial_backfill_requested_at is None, "the sensor's to do, once"


def test_a_browser_gets_a_page_that_follows_the_backfill(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    back = door.agree(door.start(EMAIL), who)
    answer = door.client.get(back, headers=PAGE, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/connected")
    page = door.client.get("/connected", headers=PAGE)
    assert page.status_code == 200
    assert who in page.text
    assert EMAIL in page.text, "whose it is now"
    assert "Starting" in page.text
    part = door.client.get("/connected", params={"part": 1}, headers=PAGE)
    assert 'data-moving="1"' in part.text
    assert "<html" not in part.text
    stranger = door.another_browser().get("/connected", headers=PAGE)
    assert stranger.status_code == 404
    assert who not in stranger.text


async def test_history_that_is_there_already_is_not_fetched_again(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    door.connect(EMAIL, who)
    await door.small.sync([who], days=2)
    again = door.connect(EMAIL, who)
    assert again.json() == {"connected": True, "provider": "instagram", "backfill_started": False}
    assert not door.small.rows(tables.sync_requests)


async def test_a_reconnect_after_a_lapse_asks_for_the_days_that_were_missed(door: FrontDoor) -> None:
    small = door.small
    who = small.world.accounts[0].username
    door.connect(EMAIL, who)
    await small.sync([who], days=5)
    with small.engine.begin() as db:
        mark_reconnect_required(db, by_account_key(db, who).id, message="Connect again.", now=small.clock())
    small.clock.advance(timedelta(days=6))
    assert door.connect(EMAIL, who).json()["backfill_started"] is False
    [request] = small.rows(tables.sync_requests)
    yesterday = small.window(1)[0]
    assert (request["account_key"], request["last"], request["reason"]) == (who, yesterday, "reconnected")
    # Six days missed, and the two before that were still settling.
    assert (request["last"] - request["first"]).days + 1 == 6 + 3
    assert door.status(EMAIL)[0]["status"] == "connected"


def test_an_agency_connects_every_account_it_ticked(door: FrontDoor) -> None:
    door.connect(EMAIL, "agency")
    assert len(door.status(EMAIL)) == len(door.small.world.accounts)


def test_declined_consent_is_told_apart_and_stores_nothing(door: FrontDoor) -> None:
    back = door.agree(door.start(EMAIL), door.small.world.accounts[0].username, cancel=True)
    refused(door, door.client.get(back), 403, "consent_declined")
    assert "declined" in door.client.get(door.agree(door.start(EMAIL), "x", cancel=True), headers=PAGE).text


def test_a_missing_permission_is_named(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    back = door.agree(door.start(EMAIL), who, without=["instagram_manage_insights"])
    answer = door.client.get(back)
    refused(door, answer, 403, "permission_missing")
    assert "instagram_manage_insights" in answer.json()["detail"]


def test_a_replayed_callback_is_refused(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    back = door.agree(door.start(EMAIL), who)
    assert door.client.get(back).status_code == 200
    calls = door.small.simulator.calls.total
    answer = door.client.get(back)
    assert (answer.status_code, answer.json()["type"]) == (409, "state_replayed")
    assert door.small.simulator.calls.total == calls


def test_a_state_of_another_browser_is_refused_and_not_spoilt_by_it(door: FrontDoor) -> None:
    back = door.agree(door.start(EMAIL), door.small.world.accounts[0].username)
    refused(door, door.another_browser().get(back), 403, "state_foreign")
    assert door.client.get(back).status_code == 200


def test_a_state_older_than_ten_minutes_is_refused(door: FrontDoor) -> None:
    back = door.agree(door.start(EMAIL), door.small.world.accounts[0].username)
    door.small.clock.advance(timedelta(minutes=10))
    refused(door, door.client.get(back), 410, "state_expired")


def test_a_code_that_was_used_elsewhere_is_refused(door: FrontDoor) -> None:
    state = door.start(EMAIL).partition("state=")[2].partition("&")[0]
    refused(door, door.client.get(CALLBACK, params={"state": state, "code": "AQ" + "x" * 180}), 400, "code_refused")


def test_two_tabs_may_be_under_way_at_once(door: FrontDoor) -> None:
    first, second = (account.username for account in door.small.world.accounts[:2])
    tabs = [(door.start(EMAIL), first), (door.start(EMAIL), second)]
    assert [door.client.get(door.agree(dialog, who)).status_code for dialog, who in tabs] == [200, 200]
    assert {connection["username"] for connection in door.status(EMAIL)} == {first, second}


def test_without_an_app_nobody_is_sent_anywhere(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, app_id=None) as door:
        answer = door.client.get(signed_link(EMAIL, now=door.small.clock().timestamp()))
    assert (answer.status_code, answer.json()["type"]) == (503, "not_configured")
    assert "IG_PIPELINE_APP_ID" in answer.json()["detail"]


async def test_status_tells_the_last_day_the_progress_and_what_to_do(door: FrontDoor) -> None:
    small = door.small
    who = small.world.accounts[0].username
    door.connect(EMAIL, who)
    [before] = door.status(EMAIL)
    assert before["provider"] == "instagram"
    progress = {"state": "queued", "days_done": 0, "days_total": 30, "days_failed": 0, "next_try_at": None}
    assert before["backfill"] == progress
    assert before["last_synced_day"] is before["action"] is before["reconnect_url"] is None
    await small.sync([who], days=3)
    assert door.status(EMAIL)[0]["last_synced_day"] == small.window(1)[0].isoformat()
    with small.engine.begin() as db:
        mark_reconnect_required(db, by_account_key(db, who).id, message="Log in again.", now=small.clock())
    [dead] = door.status(EMAIL)
    assert (dead["status"], dead["action"]) == ("reconnect_required", "Log in again.")
    assert dead["reconnect_url"] == f"{door.settings.public_url}/connect?email=a%40b.example"
    page = door.client.get(dead["reconnect_url"], headers=PAGE)
    assert (page.status_code, EMAIL in page.text) == (200, True)


def test_disconnecting_destroys_the_token_and_keeps_the_rest(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    door.connect(EMAIL, who)
    for headers in ({}, READER):
        refused_it = door.client.delete("/v1/connections/instagram", params={"email": EMAIL}, headers=headers)
        assert refused_it.status_code == 401
    assert door.status(EMAIL)[0]["status"] == "connected"
    answer = door.client.delete("/v1/connections/instagram", params={"email": EMAIL}, headers=ADMIN)
    assert answer.json() == {"disconnected": [who]}
    assert door.small.rows(tables.user_tokens)[0]["access_token"] is None
    assert door.status(EMAIL)[0]["status"] == "disconnected"
    unknown = door.client.delete("/v1/connections/instagram", params={"email": "who@b.example"}, headers=ADMIN)
    assert (unknown.status_code, unknown.json()["type"]) == (404, "no_connection")


def refused(door: FrontDoor, answer: Any, status: int, kind: str) -> None:
    """Refused with this status and type, and nothing stored."""
    assert (answer.status_code, answer.json()["type"]) == (status, kind), answer.text
    assert not door.small.rows(tables.user_tokens)
    assert not door.small.rows(tables.sync_requests)
