"""The socket, the levers, tokens, limits and counts."""

import json
import signal
import subprocess
import sys
import time
from datetime import date, timedelta

import httpx

from ig_pipeline.simulator.server import running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.simulator.conftest import NOW, Asker


def test_the_owner_finds_the_account_behind_a_page(ask: Asker) -> None:
    answer = ask.get("me/accounts", fields="id,name,access_token,instagram_business_account{id,username}").json()
    linked = [page["instagram_business_account"] for page in answer["data"] if "instagram_business_account" in page]
    assert linked == [{"id": ask.account().id, "username": "acme.studio"}]
    assert len(answer["data"]) == 2  # the other Page has no Instagram account
    page_token = answer["data"][0]["access_token"]
    assert httpx.get(f"{ask.sim.url}/{ask.account().id}?access_token={page_token}").json() == {"id": ask.account().id}


def test_instagram_login_reads_itself(ask: Asker) -> None:
    me = ask.get("me", login="instagram", fields="user_id,username,account_type").json()
    assert me == {
        "user_id": ask.account().id,
        "username": "acme.studio",
        "account_type": "BUSINESS",
        "id": ask.account().app_user_id,
    }


def test_a_version_is_optional_and_a_dead_one_is_served_by_another(ask: Asker) -> None:
    token = ask.sim.token("acme.studio")
    for path, served in {"": "v21.0", "/v25.0": "v25.0", "/v19.0": "v27.0", "/v26.0": "v26.0"}.items():
        url = f"{ask.sim.url}{path}/{ask.account().id}/insights?metric=reach&period=day&access_token={token}"
        assert f"/{served}/" in httpx.get(url).json()["paging"]["next"]


def test_whether_a_version_exists_is_told_without_a_token(ask: Asker) -> None:
    for version in ("v9.0", "v19.0", "v25.0", "v26.0", "v27.0"):  # dead ones exist as well
        answer = httpx.get(f"{ask.sim.url}/{version}/me")
        assert (answer.status_code, ask.error(answer)["code"]) == (400, 2500)
        assert ask.error(answer)["message"].startswith("An active access token must be used")
    for version in ("v28.0", "v26.7", "v99.0"):
        answer = httpx.get(f"{ask.sim.url}/{version}/me")
        assert (answer.status_code, ask.error(answer)["code"]) == (400, 2500)
        assert ask.error(answer)["message"] == "Unknown path components: /me"
        with_token = httpx.get(f"{ask.sim.url}/{version}/me?access_token={ask.sim.token('acme.studio')}")
        assert ask.error(with_token)["message"] == "Unknown path components: /me"
    alone = httpx.get(f"{ask.sim.url}/v99.0")
    assert ask.error(alone)["message"] == "Unknown path components: /v99.0"


def test_calls_are_counted_by_account_and_endpoint(ask: Asker) -> None:
    ask.insights(metric="reach", period="day")
    ask.get(f"{ask.account().id}/media")
    ask.get("me/accounts")
    assert ask.sim.calls.of("acme.studio") == 2
    assert ask.sim.calls.of("acme.studio", "insights") == 1
    counted = ask.control("GET", "calls")
    assert counted["accounts"]["acme.studio"] == {"total": 2, "endpoints": {"insights": 1, "media": 1}}
    assert counted["total"] == 3


def test_a_revoked_token_is_dead_and_a_new_one_lives(ask: Asker) -> None:
    ask.control("POST", "tokens/acme.studio/revoke", subcode=460)
    error = ask.error(ask.get("me"))
    assert (error["code"], error["error_subcode"], error["type"]) == (190, 460, "OAuthException")
    assert ask.get("me", "harbor.bakery").status_code == 200


def test_an_expired_token_says_when(ask: Asker) -> None:
    ask.control("POST", "tokens/acme.studio/expire", **{"in": 60})
    assert ask.get("me").status_code == 200
    ask.control("POST", "clock", offset=120)
    error = ask.error(ask.get("me"))
    assert (error["code"], error["error_subcode"]) == (190, 463)
    assert error["message"] == (
        "Error validating access token: Session has expired on Friday, 20-Nov-26 12:01:00 PST. "
        "The current time is Friday, 20-Nov-26 12:02:00 PST."
    )


def test_tokens_outlive_a_restart_and_end_after_sixty_days(ask: Asker) -> None:
    with running_simulator(World(accounts=8), clock=lambda: NOW + timedelta(days=1)) as later:
        headers = {"Authorization": f"Bearer {ask.sim.token('acme.studio')}"}
        assert httpx.get(f"{later.url}/me", headers=headers).status_code == 200
        later.simulation.clock.offset = timedelta(days=61)
        assert httpx.get(f"{later.url}/me", headers=headers).json()["error"]["error_subcode"] == 463


def test_no_token_and_a_strange_one_are_refused(ask: Asker) -> None:
    assert httpx.get(f"{ask.sim.url}/me").json()["error"]["code"] == 2500
    assert httpx.get(f"{ask.sim.url}/{ask.account().id}").json()["error"]["code"] == 104
    assert httpx.get(f"{ask.sim.url}/me?access_token=EAAGnonsense").json()["error"]["code"] == 190


def test_a_throttled_account_stops_after_some_calls_and_calling_on_lengthens_the_block(ask: Asker) -> None:
    ask.control("POST", "throttle/acme.studio", minutes=5, after=2)
    path = ask.account().id
    assert [ask.get(path).status_code for _ in range(3)] == [200, 200, 400]
    blocked = ask.get(path)
    error = ask.error(blocked)
    assert (error["code"], error["error_subcode"]) == (80002, 2446079)
    usage = json.loads(blocked.headers["x-business-use-case-usage"])[path][0]
    assert (usage["call_count"], usage["type"]) == (100, "instagram")
    first = usage["estimated_time_to_regain_access"]
    for _ in range(4):
        blocked = ask.get(path)
    later = json.loads(blocked.headers["x-business-use-case-usage"])[path][0]["estimated_time_to_regain_access"]
    assert later > first >= 5
    assert ask.get(ask.account("harbor.bakery").id, "harbor.bakery").status_code == 200
    ask.control("POST", "clock", offset=3600)
    assert ask.get(path).status_code == 200


def test_usage_of_other_use_cases_is_listed_beside_the_accounts_own(ask: Asker) -> None:
    account = ask.account().id

    def listed(username: str = "acme.studio") -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = json.loads(
            ask.get(ask.account(username).id, username).headers["x-business-use-case-usage"]
        )
        return found

    own = listed()
    assert list(own) == [account]
    ask.control("POST", "usage/acme.studio", type="ads_management", percent=100, minutes=45)
    ask.control("POST", "usage/acme.studio", type="", percent=7, id=account)
    beside = listed()
    [of_the_business] = [entries for subject, entries in beside.items() if subject != account]
    assert of_the_business == [
        {
            "type": "ads_management",
            "call_count": 100,
            "total_cputime": 25,
            "total_time": 25,
            "estimated_time_to_regain_access": 45,
        }
    ]
    assert [entry.get("type") for entry in beside[account]] == ["instagram", None]
    assert list(listed("harbor.bakery")) == [ask.account("harbor.bakery").id]
    ask.control("DELETE", "usage/acme.studio")
    assert listed().keys() == own.keys()
    wrong = ask.http.post(f"{ask.sim.url}/_simulator/usage/acme.studio?id=act_1")
    assert (wrong.status_code, "number" in wrong.json()["error"]) == (400, True)


def test_the_app_can_be_throttled_as_a_whole(ask: Asker) -> None:
    ask.control("POST", "throttle/app", minutes=5)
    refused = ask.get(ask.account().id)
    error = ask.error(refused)
    assert (refused.status_code, error["code"], error["is_transient"]) == (403, 4, True)
    ask.control("DELETE", "throttle/app")
    assert ask.get(ask.account().id).status_code == 200


def test_usage_rises_with_use_and_the_budget_ends(ask: Asker) -> None:
    with running_simulator(World(), clock=lambda: NOW, calls_a_day=10) as sim:
        other = Asker(sim, ask.http)
        seen = []
        for _ in range(12):
            response = other.get(other.account().id)
            usage = json.loads(response.headers["x-business-use-case-usage"])[other.account().id][0]
            seen.append((response.status_code, usage["call_count"]))
    assert [count for _, count in seen[:10]] == list(range(10, 101, 10))
    assert [status for status, _ in seen] == [200] * 10 + [400] * 2


def test_the_truth_can_be_asked_over_http(ask: Asker) -> None:
    truth = ask.control("GET", "accounts/acme.studio/truth", first="2026-11-01", last="2026-11-03", at=NOW.isoformat())
    account = ask.account()
    assert list(truth["days"]) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert truth["days"]["2026-11-02"]["reach"] == account.reach(date(2026, 11, 2), NOW)
    assert truth["days"]["2026-11-02"]["engagement"] == account.engagement(date(2026, 11, 2), NOW)


def test_a_day_can_be_corrected(ask: Asker) -> None:
    days = {"first": "2026-11-02", "last": "2026-11-03", "at": NOW.isoformat()}
    before = ask.control("GET", "accounts/acme.studio/truth", **days)["days"]
    ask.control("POST", "accounts/acme.studio/recount", day="2026-11-02", percent="50")
    after = ask.control("GET", "accounts/acme.studio/truth", **days)["days"]
    assert after["2026-11-02"]["reach"] == before["2026-11-02"]["reach"] * 3 // 2
    assert after["2026-11-02"]["engagement"] == before["2026-11-02"]["engagement"]
    assert after["2026-11-03"] == before["2026-11-03"]


def test_a_control_request_that_makes_no_sense_says_what_would(ask: Asker) -> None:
    response = ask.http.get(f"{ask.sim.url}/_simulator/accounts/nobody/truth?first=2026-11-01")
    assert response.status_code == 400
    assert "/_simulator/accounts" in response.json()["error"]


def test_a_backfill_of_calls_takes_well_under_a_second_and_many_accounts_start_at_once() -> None:
    begin = time.perf_counter()
    with running_simulator(World(accounts=250), clock=lambda: NOW) as sim, httpx.Client() as http:
        other = Asker(sim, http)
        for _ in range(32):
            assert other.insights(metric="reach", period="day").status_code == 200
    assert time.perf_counter() - begin < 3  # measured 0.3 s; room for a busy machine


def test_the_command_serves_and_stops() -> None:
    command = [sys.executable, "-m", "ig_pipeline.cli", "simulator", "--port", "0", "--accounts", "2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            accounts = httpx.get(f"{url}/_simulator/accounts").json()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert [account["username"] for account in accounts] == ["acme.studio", "harbor.bakery"]
