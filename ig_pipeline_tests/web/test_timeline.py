"""The month on a chart, asked for over HTTP, and the admin's way to fetch it again."""

import csv
import io
from datetime import date

import pytest

from ig_pipeline.storage import tables
from ig_pipeline.web.routes import health
from ig_pipeline_tests.web.front_door import ADMIN, PAGE, FrontDoor

pytestmark = pytest.mark.anyio
EMAIL = "a@b.example"
MONTH = "/v1/metrics/timeline/month"


async def test_the_timeline_shows_thirty_days_as_they_are_in_the_world(door: FrontDoor) -> None:
    small = door.small
    who = small.world.accounts[0].username
    door.connect(EMAIL, who)
    await small.sync([who], days=30)
    answer = door.client.get(MONTH, params={"email": EMAIL, "days": 30}).json()
    days = small.window(30)
    assert [date.fromisoformat(row["date"]) for row in answer["timeline"]] == days
    shown = {date.fromisoformat(row["date"]): (row["reach"], row["engagement"]) for row in answer["timeline"]}
    assert shown == small.truth(who, days)
    assert answer["accounts"][0]["account"] == who
    assert answer["accounts"][0]["timeline"] == answer["timeline"]
    [status] = door.status(EMAIL)
    assert status["last_synced_day"] == days[-1].isoformat()


async def test_days_not_there_yet_are_null_so_that_a_chart_has_its_points(door: FrontDoor) -> None:
    small = door.small
    first, second = (account.username for account in small.world.accounts[:2])
    door.connect(EMAIL, first)
    door.connect(EMAIL, second)
    await small.sync([first], days=2)
    answer = door.client.get(MONTH, params={"email": EMAIL}).json()
    assert len(answer["timeline"]) == 30
    assert [row["reach"] is None for row in answer["timeline"]] == [True] * 28 + [False] * 2
    assert len(answer["accounts"]) == 2
    nobody = door.client.get(MONTH, params={"email": "nobody@b.example", "days": 7}).json()
    assert [row["reach"] for row in nobody["timeline"]] == [None] * 7


async def test_csv_is_given_to_whoever_asks_for_it(door_on_sqlite: FrontDoor) -> None:
    small = door_on_sqlite.small
    who = small.world.accounts[0].username
    door_on_sqlite.connect(EMAIL, who)
    await small.sync([who], days=1)
    answer = door_on_sqlite.client.get(MONTH, params={"email": EMAIL, "days": 2}, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["scope"], row["account"]) for row in rows] == [("total", "")] * 2 + [("account", who)] * 2
    [[day, (reach, engagement)]] = small.truth(who, small.window(1)).items()
    assert rows[1] == {
        "date": day.isoformat(),
        "scope": "total",
        "account": "",
        "reach": str(reach),
        "engagement": str(engagement),
    }
    assert rows[0]["reach"] == ""


def test_the_admin_asks_for_yesterday_by_a_row_and_can_follow_it(door: FrontDoor) -> None:
    small = door.small
    who = small.world.accounts[0].username
    door.connect(EMAIL, who)
    asked = {"email": EMAIL, "provider": "instagram"}
    answer = door.client.post("/v1/sync/run", params=asked, headers=ADMIN)
    assert answer.status_code == 202
    [request] = answer.json()["requests"]
    first, row = small.rows(tables.sync_requests)
    assert first["requested_by"] == "first_backfill"
    yesterday = small.window(1)[0]
    assert (row["id"], row["first"], row["last"], row["status"]) == (request["id"], yesterday, yesterday, "queued")
    assert door.client.get(request["url"], headers=ADMIN).json()["status"] == "queued"
    assert door.client.get(request["url"]).status_code == 401
    week = door.client.post("/v1/sync/run", params={**asked, "days": 7}, headers=ADMIN).json()["requests"][0]
    assert (week["first"], week["last"]) == (small.window(7)[0].isoformat(), yesterday.isoformat())
    door.client.delete("/v1/connections/instagram", params={"email": EMAIL}, headers=ADMIN)
    refused = door.client.post("/v1/sync/run", params=asked, headers=ADMIN)
    assert (refused.status_code, refused.json()["type"]) == (409, "not_connected")


async def test_the_pages_show_the_month_and_work_without_a_script(door_on_sqlite: FrontDoor) -> None:
    small = door_on_sqlite.small
    who = small.world.accounts[0].username
    door_on_sqlite.connect(EMAIL, who)
    await small.sync([who], days=30)
    home = door_on_sqlite.client.get("/", headers=PAGE)
    assert f'href="/accounts/{who}"' in home.text
    page = door_on_sqlite.client.get(f"/accounts/{who}", headers=PAGE).text
    reach, _ = small.truth(who, small.window(1))[small.window(1)[0]]
    assert f"{reach:,} accounts reached</title>" in page
    assert page.count('<svg role="img"') >= 4
    assert "Top posts" in page
    assert "<details>" in page


async def test_monitoring_counts_what_the_runs_did(door_on_sqlite: FrontDoor) -> None:
    small = door_on_sqlite.small
    who = small.world.accounts[0].username
    door_on_sqlite.connect(EMAIL, who)
    await small.sync([who], days=2)
    text = door_on_sqlite.client.get("/metrics").text
    assert 'ig_pipeline_cells_total{asset="daily_metrics",status="complete"} 2.0' in text
    assert f'ig_pipeline_last_success_timestamp_seconds{{account="{who}"}}' in text
    assert f'ig_pipeline_token_expiry_timestamp_seconds{{account="{who}"}}' in text
    assert 'ig_pipeline_connections{status="connected"} 1.0' in text


def test_readiness_names_what_is_not_ready(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_KEPT_S", 0.0)
    assert door.client.get("/readyz").json() == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok", "keys": "ok"},
    }
    with door.small.engine.begin() as db:
        db.exec_driver_sql("update ig_pipeline_alembic_version set version_num = '0001'")
    answer = door.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"].startswith("pending")
