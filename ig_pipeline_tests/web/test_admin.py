"""What an admin asks for over HTTP becomes a row with its flags, once while it is queued; nonsense becomes nothing."""

from typing import Any

import pytest

from ig_pipeline.storage import sync_requests, tables
from ig_pipeline_tests.web.front_door import ADMIN, READER, FrontDoor

EMAIL = "a@b.example"
BACKFILL, RUN = "/v1/media/backfill", "/v1/sync/run"


@pytest.fixture
def accounts(door: FrontDoor) -> list[str]:
    """Two accounts of one user."""
    names = [account.username for account in door.small.world.accounts[:2]]
    return [door.small.connect(name, email=EMAIL).account_key for name in names]


def ask(door: FrontDoor, path: str, **flags: Any) -> list[dict[str, Any]]:
    answer = door.client.post(path, params={"email": EMAIL, **flags}, headers=ADMIN)
    assert answer.status_code == 202, answer.text
    found: list[dict[str, Any]] = answer.json()["requests"]
    return found


def test_without_since_everything_ever_posted_is_asked_for(door: FrontDoor, accounts: list[str]) -> None:
    requests = ask(door, BACKFILL)
    rows = door.small.rows(tables.sync_requests)
    yesterday = door.small.window(1)[0]
    assert [row["account_key"] for row in rows] == accounts
    for row, request in zip(rows, requests, strict=True):
        assert (row["kind"], row["first"], row["last"]) == ("media_files", door.settings.first_day, yesterday)
        assert row["options"] == {"media_type": "both", "limit": None, "since": None, "dry_run": False}
        followed = door.client.get(request["url"], headers=ADMIN).json()
        assert (followed["id"], followed["options"], followed["counts"]) == (row["id"], row["options"], None)


def test_the_flags_of_the_command_line_travel_with_the_request(door: FrontDoor, accounts: list[str]) -> None:
    week = door.small.window(7)[0]
    [limited] = ask(door, BACKFILL, account=accounts[0], limit=5, media_type="feed", since=week.isoformat())
    assert limited["account"] == accounts[0]
    assert limited["options"] == {"media_type": "feed", "limit": 5, "since": week.isoformat(), "dry_run": False}
    # A story of yesterday may still be alive: posts alone do not settle that day.
    assert (limited["first"], limited["last"]) == (week.isoformat(), door.small.window(2)[0].isoformat())
    [counted] = ask(door, BACKFILL, account_id=door.small.connection(accounts[1]).account_id, dry_run=True)
    assert (counted["account"], counted["options"]["dry_run"]) == (accounts[1], True)
    today = door.small.today.isoformat()
    assert ask(door, BACKFILL, account=accounts[0], since=today)[0]["options"]["since"] == today


def test_the_same_is_queued_once_and_other_flags_or_another_time_are_another_request(
    door: FrontDoor, accounts: list[str]
) -> None:
    for path, other in ((BACKFILL, {"limit": 5}), (RUN, {"days": 3})):
        first, again, others = ask(door, path), ask(door, path), ask(door, path, **other)
        assert first == again
        assert not {request["id"] for request in first} & {request["id"] for request in others}
        with door.small.engine.begin() as db:
            ids, days = [request["id"] for request in first], door.small.window(1)
            sync_requests.claim(db, ids, batch="a batch", first=days[0], last=days[0], now=door.small.clock())
        assert not {request["id"] for request in first} & {request["id"] for request in ask(door, path)}


@pytest.mark.parametrize(
    "flags",
    [
        {"limit": 0}, {"limit": -1}, {"limit": "many"}, {"limit": 10**7}, {"media_type": "reels"},
        {"since": "yesterday"}, {"since": "2026-13-01"}, {"since": "2009-12-31"}, {"since": "2026-11-21"},
        {"dry_run": "perhaps"},
        {"account": ""}, {"account_id": "abc"}, {"account_id": "1", "account": "a"}, {"provider": "tiktok"},
        {"email": "nobody"},
    ],
)  # fmt: skip
def test_flags_that_make_no_sense_are_refused_and_nothing_is_asked_for(
    door_on_sqlite: FrontDoor, flags: dict[str, Any]
) -> None:
    door_on_sqlite.small.connect(door_on_sqlite.small.world.accounts[0].username, email=EMAIL)
    answer = door_on_sqlite.client.post(BACKFILL, params={"email": EMAIL, **flags}, headers=ADMIN)
    assert (answer.status_code, answer.json()["type"]) == (422, "invalid_request")
    assert any(name in answer.json()["detail"] for name in flags), answer.text
    assert door_on_sqlite.small.rows(tables.sync_requests) == []


def test_an_account_of_somebody_else_or_of_nobody_is_not_found(door: FrontDoor, accounts: list[str]) -> None:
    foreign = door.small.connect(door.small.world.accounts[2].username, email="other@b.example")
    for flags in ({"account": foreign.account_key}, {"account_id": foreign.account_id}, {"account": "nobody\x00"}):
        answer = door.client.post(BACKFILL, params={"email": EMAIL, **flags}, headers=ADMIN)
        assert (answer.status_code, answer.json()["type"]) == (404, "no_connection")
    first = {"email": EMAIL, "account": accounts[0]}
    assert door.client.delete("/v1/connections/instagram", params=first, headers=ADMIN).status_code == 200
    gone = door.client.post(BACKFILL, params={"email": EMAIL, "account": accounts[0]}, headers=ADMIN)
    assert (gone.status_code, gone.json()["type"]) == (409, "not_connected")
    assert [request["account"] for request in ask(door, BACKFILL)] == accounts[1:]


def test_nobody_asks_without_the_admins_token(door: FrontDoor, accounts: list[str]) -> None:
    for headers in ({}, READER, {"Authorization": "Bearer"}, {"Authorization": f"{ADMIN['Authorization']}x"}):
        assert door.client.post(BACKFILL, params={"email": EMAIL}, headers=headers).status_code == 401
    assert door.small.rows(tables.sync_requests) == []
