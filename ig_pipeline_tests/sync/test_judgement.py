"""One judgement of each connection and of the night, after a night in which each sort of trouble struck one account."""

from datetime import timedelta

import httpx
import pytest

from ig_pipeline.storage.connections import disconnect, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.sync.judgement import ConnectionJudgement, NightJudgement, judge_connections, judge_night
from ig_pipeline_tests.sync.harness import SmallWorld

pytestmark = pytest.mark.anyio


def judged(small: SmallWorld) -> dict[str, ConnectionJudgement]:
    with reading(small.engine) as db:
        found = judge_connections(db, list_connections(db), now=small.clock(), window_days=3)
    return {one.connection.account_key: one for one in found.values()}


def night(small: SmallWorld) -> NightJudgement:
    with reading(small.engine) as db:
        return judge_night(db, now=small.clock(), window_days=3, first_day=small.settings.first_day)


def forbidden() -> httpx.Response:
    message = "(#10) This endpoint requires the 'instagram_manage_insights' permission"
    return httpx.Response(400, json={"error": {"message": message, "type": "OAuthException", "code": 10}})


async def a_night(small: SmallWorld) -> list[str]:
    """Five accounts: one dead, one without a permission, one throttled, one silent, one well."""
    keys = small.connect_all()[:5]
    for one in [small.connection(key) for key in small.connect_all()[5:]]:
        with small.engine.begin() as db:
            disconnect(db, one.id, now=small.clock())
    small.clock.advance(timedelta(hours=2))
    dead, refused, throttled, silent, _ = keys
    small.revoke(dead)
    small.throttle(throttled)
    forbidden_id, silent_id = small.connection(refused).account_id, small.connection(silent).account_id

    def disturb(request: httpx.Request) -> httpx.Response | None:
        if f"/{forbidden_id}/insights" in request.url.path:
            return forbidden()
        if f"/{silent_id}/insights" in request.url.path:
            return httpx.Response(200, json={"data": []})
        return None

    async with small.services_over(disturb) as services:
        await small.sync_with(services, dict.fromkeys(keys, small.window(3)))
    return keys


async def test_each_connection_is_told_apart_by_who_must_act(small: SmallWorld) -> None:
    dead, refused, throttled, silent, well = await a_night(small)
    found = judged(small)
    states = {key: found[key].state for key in (dead, refused, throttled, silent, well)}
    assert states == {dead: "owner", refused: "owner", throttled: "waiting", silent: "waiting", well: "fine"}
    assert {one.state for key, one in found.items() if key not in states} == {"disconnected"}
    assert "Access was removed" in str(found[dead].for_owner)
    assert "instagram_manage_insights" in str(found[refused].for_owner)
    assert "rate limit" in str(found[throttled].sentence)
    assert "left out" in str(found[silent].sentence)
    assert found[well].sentence is found[silent].for_owner is None


async def test_a_night_says_whose_cells_are_not_complete_and_why(small: SmallWorld) -> None:
    dead, refused, throttled, silent, _ = await a_night(small)
    found = night(small)
    assert found.cells == 5 * 9
    assert {one.account_key: (one.missing, one.state) for one in found.incomplete} == {
        dead: (9, "owner"),
        refused: (6, "owner"),
        throttled: (9, "waiting"),
        silent: (6, "waiting"),
    }
    assert found.complete == found.cells - 30
    assert all(one.why for one in found.incomplete)


async def test_connecting_again_is_judged_by_what_comes_after_it(small: SmallWorld) -> None:
    _, refused, *_ = await a_night(small)
    small.clock.advance(timedelta(minutes=5))
    small.connect(refused, email=f"{refused}@b.example")
    assert judged(small)[refused].state == "fine"
    await small.sync([refused], days=3)
    assert judged(small)[refused].state == "fine"
    assert refused not in {one.account_key for one in night(small).incomplete}


async def test_a_night_that_nobody_asked_for_is_not_whole(small: SmallWorld) -> None:
    small.connect("acme.studio")
    assert not night(small).incomplete  # its first backfill may still be under way
    small.clock.advance(timedelta(hours=2))
    (one,) = night(small).incomplete
    assert (one.missing, one.cells, one.state) == (9, 9, "waiting")
    assert "nightly_sync" in one.why
    await small.sync(["acme.studio"], days=3)
    assert not night(small).incomplete


async def test_a_fault_of_the_app_is_the_operators(small: SmallWorld) -> None:
    small.connect("acme.studio")
    message = "API access deactivated. To reactivate, go to the app dashboard."
    gone = httpx.Response(200, json={"error": {"message": message, "type": "OAuthException", "code": 200}})
    async with small.services_over(lambda _: gone) as services:
        await small.sync_with(services, {"acme.studio": small.window(3)})
    found = judged(small)["acme.studio"]
    assert (found.state, found.for_owner) == ("operator", None)
    assert message.rstrip(".") in str(found.sentence)
