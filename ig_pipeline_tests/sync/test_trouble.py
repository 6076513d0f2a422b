"""Revoked, throttled, unreachable: one account's trouble is its own, and is said in a sentence."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.graph_api.days import days_between, total_value_window
from ig_pipeline.graph_api.errors import TokenDeadError
from ig_pipeline.storage import insights, sync_requests, tables
from ig_pipeline.storage.connections import disconnect, list_connections
from ig_pipeline.storage.upsert import WriteMismatchError, Written
from ig_pipeline.sync.plan import nightly_rectangles
from ig_pipeline.sync.requests.later import GAP
from ig_pipeline.sync.results import AccountDayResult, summarise
from ig_pipeline.vault.cipher import new_key
from ig_pipeline.vault.token_vault import TokenVault
from ig_pipeline_tests.sync.harness import Disturb, SmallWorld, sqlite_only

pytestmark = pytest.mark.anyio


def statuses(results: list[AccountDayResult], key: str) -> Counter[str]:
    return Counter(result.status for result in results if result.account_key == key)


def refusal(message: str, *, code: int, status: int = 400, **more: object) -> httpx.Response:
    envelope = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A", **more}
    return httpx.Response(status, json={"error": envelope})


def when(
    matches: Callable[[httpx.Request], bool], answer: Callable[[], httpx.Response], *, times: int = 10**9
) -> Disturb:
    """A disturbance: `answer` for the first `times` requests that match."""
    left = [times]

    def disturb(request: httpx.Request) -> httpx.Response | None:
        if left[0] and matches(request):
            left[0] -= 1
            return answer()
        return None

    return disturb


async def test_of_five_accounts_one_revoked_and_one_throttled_three_are_complete(small: SmallWorld) -> None:
    keys = small.connect_all()[:5]
    revoked, throttled, good = keys[1], keys[0], keys[2:]
    small.revoke(revoked)
    small.throttle(throttled, after=14, lasting=timedelta(minutes=60))
    results = await small.sync(keys)
    for key in good:
        assert statuses(results, key) == {"complete": 90}
        assert small.daily(key) == small.truth(key, small.window())

    # The revoked one: red, with a sentence, marked, and out of the next plan.
    assert statuses(results, revoked) == {"failed": 90}
    (sentence,) = {result.error for result in results if result.account_key == revoked}
    assert sentence == (
        "Access to harbor.bakery has ended. Access was removed in the account's settings. "
        "Please connect Instagram again."
    )
    connection = small.connection(revoked)
    assert connection.status == "reconnect_required"
    assert connection.status_message is not None
    assert "connect Instagram again" in connection.status_message
    with small.engine.connect() as db:
        connected = [c.account_key for c in list_connections(db, statuses=["connected"])]
    plan = nightly_rectangles(keys, connected=connected, today=small.today, window_days=3, per_run=100)
    assert [rectangle.account_keys for rectangle in plan] == [(keys[0],), tuple(keys[2:])]

    # The throttled one: what it had stays, the rest waits for the block to end.
    found = statuses(results, throttled)
    assert found["failed"] == 0
    assert found["complete"] > 0
    assert found["deferred"] > 0
    assert small.daily(throttled).items() <= small.truth(throttled, small.window()).items()
    missing = sorted({result.date for result in results if result.status == "deferred"})
    with small.engine.connect() as db:
        requests = sync_requests.recent(db)
    for request in requests:
        assert (request.kind, request.account_key, request.status) == ("insights", throttled, "queued")
        assert request.not_before >= small.clock() + timedelta(minutes=55)
        assert "daily_metrics" in request.options["assets"]
        assert {request.first, request.last} <= set(missing)
    asked = {day for request in requests for day in days_between(request.first, request.last)}
    assert asked >= set(missing)
    # One request, unless a call was overtaken by many; days that are done are asked for again only to bridge.
    assert len(requests) <= 2
    assert len(asked - set(missing)) <= 2 * GAP

    # Later, by itself: the sensor turns the request into a run over exactly these days.
    small.clock.now = max(request.not_before for request in requests) + timedelta(seconds=1)
    later = await small.sync([throttled], days=sorted(asked))
    assert {result.status for result in later} == {"complete"}
    assert small.daily(throttled).keys() == small.truth(throttled, small.window()).keys()


async def test_a_throttled_account_is_called_no_more(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.throttle("acme.studio", after=10)
    await small.sync(["acme.studio"])
    # Ten that passed, and at most the ones already on the wire beside the one that was refused.
    assert small.calls_of("acme.studio") <= 10 + 4


async def test_the_same_run_asks_for_its_deferred_days_once(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.throttle("acme.studio")
    await small.sync(["acme.studio"], days=5, run_id="one")
    await small.sync(["acme.studio"], days=5, run_id="one")
    with small.engine.connect() as db:
        assert len(sync_requests.recent(db)) == 1


async def test_deferred_cells_are_in_the_ledger(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.throttle("acme.studio")
    results = await small.sync(["acme.studio"], days=2)
    assert statuses(results, "acme.studio") == {"deferred": 6}
    assert {row["status"] for row in small.rows(tables.instagram_sync_logs)} == {"deferred"}
    assert all(result.retry_at is not None for result in results)
    (summary,) = summarise(results)
    assert (summary.deferred, summary.total_errors, summary.success) == (6, 0, False)


@sqlite_only
async def test_a_limit_of_the_whole_app_stops_every_account(small: SmallWorld) -> None:
    keys = small.connect_all()
    answers = Counter[str]()

    def app_limit(request: httpx.Request) -> httpx.Response:
        answers["limit"] += 1
        return refusal("(#4) Application request limit reached", code=4, status=403, is_transient=True)

    async with small.services_over(app_limit) as services:
        results = await small.sync_with(services, dict.fromkeys(keys, small.window(3)))
    assert {result.status for result in results} == {"deferred"}
    # As many as may be on the wire at once, not one per account and day.
    assert answers["limit"] <= 16
    with small.engine.connect() as db:
        assert {request.account_key for request in sync_requests.recent(db)} == set(keys)


@sqlite_only
async def test_a_refused_token_is_renewed_once_and_the_call_repeated(
    small: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has stored a newer token meanwhile: the cells know nothing of it."""
    small.connect("acme.studio", token="EAAGthistokenisnotworthanythinganymore")
    asked: list[str] = []
    refresh_now = TokenVault.refresh_now

    async def counted(vault: TokenVault, account_key: str, rejected: SecretStr) -> SecretStr:
        asked.append(account_key)
        small.connect("acme.studio")
        return await refresh_now(vault, account_key, rejected)

    monkeypatch.setattr(TokenVault, "refresh_now", counted)
    results = await small.sync(["acme.studio"], days=5)
    assert statuses(results, "acme.studio") == {"complete": 15}
    assert asked == ["acme.studio"]
    assert small.connection("acme.studio").status == "connected"


async def test_an_owner_who_connects_again_during_a_run_stays_connected(
    small: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.connect("acme.studio")
    small.revoke("acme.studio")

    async def too_late(vault: TokenVault, account_key: str, rejected: SecretStr) -> SecretStr:
        small.clock.advance(timedelta(seconds=1))
        small.connect("acme.studio")
        raise TokenDeadError("refused", cause="invalid", advice="Connect again.")

    monkeypatch.setattr(TokenVault, "refresh_now", too_late)
    results = await small.sync(["acme.studio"], days=1)
    assert statuses(results, "acme.studio") == {"failed": 3}
    assert small.connection("acme.studio").status == "connected"


@sqlite_only
async def test_a_missing_permission_is_named_and_other_accounts_go_on(small: SmallWorld) -> None:
    keys = small.connect_all()[:2]
    account = small.connection(keys[0]).account_id

    def forbidden() -> httpx.Response:
        return refusal("(#10) This endpoint requires the 'instagram_manage_insights' permission", code=10)

    disturb = when(lambda request: f"/{account}/insights" in request.url.path, forbidden)
    async with small.services_over(disturb) as services:
        results = await small.sync_with(services, dict.fromkeys(keys, small.window(3)))
    assert statuses(results, keys[1]) == {"complete": 9}
    # The posts need another permission and are there.
    assert statuses(results, keys[0]) == {"complete": 3, "failed": 6}
    assert {r.error for r in results if r.error} == {
        f"{keys[0]} has not granted instagram_manage_insights. Connect the account again and grant it."
    }
    assert small.connection(keys[0]).status == "connected"


@sqlite_only
async def test_a_cell_that_fails_for_a_moment_is_asked_once_more_at_the_end(small: SmallWorld) -> None:
    small.connect("acme.studio")
    third = small.window(5)[2]
    marker = f"since={total_value_window(third)[0]}"
    storm = when(
        lambda request: marker in str(request.url),
        lambda: httpx.Response(500, text="<html>upstream</html>"),
        times=10,
    )
    async with small.services_over(storm) as services:
        results = await small.sync_with(services, {"acme.studio": small.window(5)})
    assert statuses(results, "acme.studio") == {"complete": 15}
    assert small.daily("acme.studio") == small.truth("acme.studio", small.window(5))


@sqlite_only
async def test_a_cell_that_keeps_failing_fails_alone(small: SmallWorld) -> None:
    small.connect("acme.studio")
    days = small.window(5)
    marker = f"since={total_value_window(days[2])[0]}"
    storm = when(lambda request: marker in str(request.url), lambda: httpx.Response(502, text="bad gateway"))
    async with small.services_over(storm) as services:
        results = await small.sync_with(services, {"acme.studio": days})
    assert statuses(results, "acme.studio") == {"complete": 13, "failed": 2}
    failed = [result for result in results if result.status == "failed"]
    assert {(result.asset, result.date) for result in failed} == {
        ("account_insights", days[2]),
        ("daily_metrics", days[2]),
    }
    assert {result.error_type for result in failed} == {"MalformedAnswerError"}
    assert small.daily("acme.studio").keys() == set(days) - {days[2]}


@sqlite_only
async def test_a_connection_that_is_not_connected_fails_with_the_owners_sentence(small: SmallWorld) -> None:
    connection = small.connect("acme.studio")
    with small.engine.begin() as db:
        disconnect(db, connection.id, now=small.clock())
    results = await small.sync(["acme.studio"], days=1)
    assert statuses(results, "acme.studio") == {"failed": 3}
    assert "not connected (disconnected)" in str(results[0].error)
    assert small.calls_of("acme.studio") == 0
    assert len(small.rows(tables.instagram_sync_logs)) == 3


@sqlite_only
async def test_an_unknown_account_is_said_to_be_unknown(small: SmallWorld) -> None:
    small.connect("acme.studio")
    results = await small.sync(["nobody", "acme.studio"], days=1)
    assert statuses(results, "nobody") == {"failed": 3}
    assert statuses(results, "acme.studio") == {"complete": 3}
    assert "No connection is called nobody" in str(next(r.error for r in results if r.error))


@sqlite_only
async def test_a_day_that_is_not_over_is_refused(small: SmallWorld) -> None:
    small.connect("acme.studio")
    results = await small.sync(["acme.studio"], days=[small.window(1)[0], small.today])
    assert {(r.date, r.status) for r in results} == {(small.window(1)[0], "complete"), (small.today, "failed")}
    assert {r.error_type for r in results if r.error} == {"DayNotOverError"}


async def test_an_account_whose_rows_cannot_be_written_does_not_stop_the_others(
    small: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = small.connect_all()[:2]
    broken = small.connection(keys[0]).account_id

    def refuse(_db: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("INSERT INTO instagram_insights") and broken in str(parameters):
            raise sa.exc.OperationalError("disk full", None, Exception("disk full"))

    async with small.services_over(lambda request: None) as services:
        sa.event.listen(services.engine, "before_cursor_execute", refuse)
        try:
            results = await small.sync_with(services, dict.fromkeys(keys, small.window(2)))
        finally:
            sa.event.remove(services.engine, "before_cursor_execute", refuse)
    assert statuses(results, keys[1]) == {"complete": 6}
    assert statuses(results, keys[0])["failed"] >= 4
    assert all("disk full" in str(r.error) for r in results if r.error)
    assert small.daily(keys[0]) == {}


@sqlite_only
async def test_without_reach_the_day_stands_with_its_engagement_and_the_reason(small: SmallWorld) -> None:
    small.connect("acme.studio")
    message = "(#100) The following metric (reach) is incompatible with the metric type (time_series)"
    disturb = when(lambda request: "metric=reach" in str(request.url), lambda: refusal(message, code=100))
    async with small.services_over(disturb) as services:
        results = await small.sync_with(services, {"acme.studio": small.window(2)})
    assert statuses(results, "acme.studio") == {"complete": 6}
    rolled = [result for result in results if result.asset == "daily_metrics"]
    assert all("does not give reach" in result.absences["reach"] for result in rolled)
    truth = small.truth("acme.studio", small.window(2))
    assert small.daily("acme.studio") == {day: (None, engagement) for day, (_, engagement) in truth.items()}


@sqlite_only
async def test_a_write_that_does_not_add_up_fails_its_cell_and_keeps_nothing_of_it(
    small: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.connect("acme.studio")
    days = small.window(3)
    save = insights.save

    def short(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
        written = save(db, rows)
        if rows[0]["date"] == days[1]:
            raise WriteMismatchError("instagram_insights: sent 14 rows, the database wrote 13.")
        return written

    monkeypatch.setattr(insights, "save", short)
    results = await small.sync(["acme.studio"], days=days)
    assert {(r.asset, r.date) for r in results if r.status == "failed"} == {
        ("account_insights", days[1]),
        ("daily_metrics", days[1]),
    }
    assert {row["date"] for row in small.rows(tables.instagram_insights)} == {days[0], days[2]}


@sqlite_only
async def test_a_token_of_another_key_is_said_to_be_one(small: SmallWorld, caplog: pytest.LogCaptureFixture) -> None:
    small.settings = small.settings.model_copy(update={"encryption_keys": (new_key(),)})
    small.connect("acme.studio")
    small.settings = small.settings.model_copy(update={"encryption_keys": (new_key(),)})
    results = await small.sync(["acme.studio"], days=1)
    assert statuses(results, "acme.studio") == {"failed": 3}
    assert all("IG_PIPELINE_ENCRYPTION_KEYS" in str(result.error) for result in results)
    assert "Traceback" not in caplog.text
