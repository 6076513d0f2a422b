"""Consent from the first click to the stored connection, with both logins, and every way it can fail."""

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.simulator.oddities import PAGE_ROWS, PageRow, Unreadable
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
    assert f"[SYNC] Running initial 30-day IG backfill for {who}" in caplog.text
    assert EMAIL not in caplog.text
    connection = small.connection(who)
    assert (connection.email, connection.account_id) == (EMAIL, small.world.accounts[0].id)
    assert (connection.status, connection.login) == ("connected", login)
    assert connection.expires_at is not None
    assert connection.expires_at - small.clock() > timedelta(days=59)
    stored = small.rows(tables.user_tokens)[0]["access_token"]
    assert stored.startswith("v1.")
    assert connection.initial_backfill_requested_at is None, "the sensor's to claim, once"
    [request] = small.rows(tables.sync_requests)
    assert (request["requested_by"], request["status"]) == ("first_backfill", "queued")


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
    assert len(door.small.rows(tables.sync_requests)) == 1, "the first backfill, asked for once"


async def test_a_reconnect_after_a_lapse_asks_for_the_days_that_were_missed(door: FrontDoor) -> None:
    small = door.small
    who = small.world.accounts[0].username
    door.connect(EMAIL, who)
    await small.sync([who], days=5)
    with small.engine.begin() as db:
        mark_reconnect_required(db, by_account_key(db, who).id, message="Connect again.", now=small.clock())
    small.clock.advance(timedelta(days=6))
    assert door.connect(EMAIL, who).json()["backfill_started"] is False
    _, request = small.rows(tables.sync_requests)
    yesterday = small.window(1)[0]
    assert (request["account_key"], request["last"], request["reason"]) == (who, yesterday, "reconnected")
    # Six days missed, and the two before that were still settling.
    assert (request["last"] - request["first"]).days + 1 == 6 + 3
    assert door.status(EMAIL)[0]["status"] == "connected"


def test_an_agency_connects_every_account_it_ticked(door: FrontDoor) -> None:
    door.connect(EMAIL, "agency")
    assert len(door.status(EMAIL)) == len(door.small.world.accounts)


@pytest.mark.parametrize("unreadable", ["nonexisting_field", "malformed", "gone"])
def test_one_granted_id_that_cannot_be_read_spoils_no_consent(door: FrontDoor, unreadable: Unreadable) -> None:
    account = next(account for account in door.small.world.accounts if account.owned_by_business)
    door.small.simulator.simulation.oddities.unreadable[account.user_id] = unreadable
    back = door.agree(door.start(EMAIL), account.username, without=["business_management"])
    assert door.client.get(back).status_code == 200
    assert [state["username"] for state in door.status(EMAIL)] == [account.username]


@pytest.mark.parametrize("row", PAGE_ROWS)
def test_one_odd_page_spoils_no_agencys_consent(door: FrontDoor, row: PageRow) -> None:
    small = door.small
    small.simulator.simulation.oddities.rows[small.world.agency.id] = row
    assert door.connect(EMAIL, "agency").status_code == 200
    assert len(door.status(EMAIL)) == len(small.world.accounts)


@pytest.mark.parametrize(("empty", "status"), [(1, 200), (2, 422)])
def test_nobody_is_told_that_there_is_no_account_after_one_empty_listing(
    door_on_sqlite: FrontDoor, empty: int, status: int
) -> None:
    small = door_on_sqlite.small
    account = small.world.accounts[0]
    simulation = small.simulator.simulation
    simulation.oddities.empty[account.user_id] = empty
    simulation.oddities.unreadable[account.user_id] = "gone"
    # The ids of the grant lead nowhere either, so that only the listing can.
    simulation.oddities.only_unreadable = True
    answer = door_on_sqlite.connect(EMAIL, account.username)
    assert answer.status_code == status
    if status != 200:
        refused(door_on_sqlite, answer, 422, "no_professional_account")


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


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_with_a_switched_off_app_the_operator_has_to_act_and_not_the_person(
    small_on_sqlite: SmallWorld, login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    small = small_on_sqlite
    who = small.world.accounts[0].username
    with front_door(small, login=login) as door:
        back = door.agree(door.start(EMAIL), who)
        small.simulator.simulation.oddities.app = "switched_off"
        with caplog.at_level(logging.ERROR, "ig_pipeline"):
            answer = door.client.get(back)
        refused(door, answer, 503, "operator_needed")
        assert "operator of this service" in answer.json()["detail"]
        assert "onnect again" not in answer.text
        assert "API access deactivated. To reactivate, go to the app dashboard" in caplog.text
        # Once it is switched on again, the person's next try is an ordinary one.
        small.simulator.simulation.oddities.app = None
        assert door.connect(EMAIL, who).status_code == 200


def test_a_replayed_callback_is_refused(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    back = door.agree(door.start(EMAIL), who)
    assert door.client.get(back).status_code == 200
    calls = door.small.simulator.calls.total()
    answer = door.client.get(back)
    assert (answer.status_code, answer.json()["type"]) == (409, "state_replayed")
    assert door.small.simulator.calls.total() == calls


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


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_token_whose_end_is_not_told_is_stored_with_one(small: SmallWorld, login: Login) -> None:
    small.simulator.simulation.oddities.expires_in_omitted = True
    who = small.world.accounts[0].username
    with front_door(small, login=login) as door:
        door.connect(EMAIL, who)
        [state] = door.status(EMAIL)
    # Facebook tells when it is asked; Instagram cannot be.
    assert state["expiry"] == ("stated" if login == "facebook" else "assumed")
    left = datetime.fromisoformat(state["expires_at"]) - small.clock()
    assert timedelta(days=59) < left <= timedelta(days=60)
    reads_until = state["data_access_expires_at"]
    if login == "instagram":
        assert reads_until is None
    else:
        assert datetime.fromisoformat(reads_until) == small.clock() + timedelta(days=90)


@pytest.mark.parametrize(
    ("days_left", "pill", "tone"), [(15, "Connected", "good"), (14, "Ends soon", "worry"), (3, "Connect again", "bad")]
)
def test_the_end_of_reading_is_announced_to_the_owner(door: FrontDoor, days_left: int, pill: str, tone: str) -> None:
    small = door.small
    who = small.world.accounts[0].username
    door.connect(EMAIL, who)
    small.clock.advance(timedelta(days=90 - days_left))
    with small.engine.begin() as db:
        soon = small.clock() + timedelta(days=60)
        db.execute(sa.update(tables.user_tokens).values(expires_at=soon))  # renewed meanwhile
    [state] = door.status(EMAIL)
    page = door.client.get(f"/accounts/{who}", headers=PAGE).text
    home = door.client.get("/", headers=PAGE).text
    assert state["status"] == "connected"
    assert pill in page
    assert f'class="pill {tone}"' in home
    warned = days_left <= 14
    for text in (str(state["action"]), page, home):
        assert ("counts as using it" in text) == warned
    assert (state["reconnect_url"] is not None) == warned
    # Connecting again is the person's use of the app: it moves the end.
    door.connect(EMAIL, who)
    assert door.status(EMAIL)[0]["action"] is None


def test_an_end_that_nobody_told_is_not_called_never(door_on_sqlite: FrontDoor) -> None:
    door, small = door_on_sqlite, door_on_sqlite.small
    who = small.world.accounts[0].username
    small.connect(who, expires_in=None)
    with small.engine.begin() as db:
        db.execute(sa.update(tables.user_tokens).values(expires_at=None))
    assert "assumed because Meta did not say" in door.client.get(f"/accounts/{who}", headers=PAGE).text
    assert "ig_pipeline_token_expiry_timestamp_seconds{" in door.client.get("/metrics", headers=ADMIN).text
    with small.engine.begin() as db:
        db.execute(sa.update(tables.user_tokens).values(expiry="never"))
    assert "<dd>never</dd>" in door.client.get(f"/accounts/{who}", headers=PAGE).text
    assert "ig_pipeline_token_expiry_timestamp_seconds{" not in door.client.get("/metrics", headers=ADMIN).text


def test_disconnecting_destroys_the_token_and_keeps_the_rest(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    door.connect(EMAIL, who)
    for headers in ({}, READER):
        refused_it = door.client.delete("/v1/connections/instagram", params={"email": EMAIL}, headers=headers)
        assert refused_it.status_code == 401
    assert door.status(EMAIL)[0]["status"] == "connected"
    answer = door.client.delete("/v1/connections/instagram", params={"email": EMAIL}, headers=ADMIN)
    assert answer.json()["disconnected"] == [who]
    assert door.small.rows(tables.user_tokens)[0]["access_token"] is None
    assert door.status(EMAIL)[0]["status"] == "disconnected"
    unknown = door.client.delete("/v1/connections/instagram", params={"email": "who@b.example"}, headers=ADMIN)
    assert (unknown.status_code, unknown.json()["type"]) == (404, "no_connection")


def refused(door: FrontDoor, answer: Any, status: int, kind: str) -> None:
    """Refused with this status and type, and nothing stored."""
    assert (answer.status_code, answer.json()["type"]) == (status, kind), answer.text
    assert not door.small.rows(tables.user_tokens)
    assert not door.small.rows(tables.sync_requests)
