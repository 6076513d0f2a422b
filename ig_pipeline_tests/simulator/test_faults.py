"""Faults on demand, batches and multi-reads."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner

from ig_pipeline.simulator.__main__ import simulator
from ig_pipeline.simulator.faults import KINDS, STORM, FaultPlanError, load_plan, read_plan
from ig_pipeline.simulator.server import running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.simulator.conftest import NOW, Asker


def outcome(ask: Asker, path: str, timeout: float = 5, **params: Any) -> str:
    """What a plain client makes of a call."""
    headers = {"Authorization": f"Bearer {ask.sim.token('acme.studio')}"}
    try:
        response = httpx.get(f"{ask.sim.url}/{path}", params=params, headers=headers, timeout=timeout)
    except httpx.HTTPError as failure:
        return type(failure).__name__
    try:
        body = response.json()
    except ValueError:
        return f"{response.status_code} {response.headers['content-type'].split(';')[0]} no JSON"
    if "error" in body:
        error = body["error"]
        return f"{response.status_code} code {error['code']} transient {error.get('is_transient', False)}"
    return f"{response.status_code} {response.headers['content-type'].split(';')[0]}"


def set_plan(ask: Asker, plan: dict[str, Any]) -> None:
    response = ask.http.post(f"{ask.sim.url}/_simulator/faults", content=json.dumps(plan))
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("server_error_1", "500 code 1 transient False"),
        ("server_error_2", "500 code 2 transient True"),
        ("reduce_data", "500 code 1 transient False"),
        ("transient_400", "400 code 2 transient True"),
        ("unavailable", "503 text/plain no JSON"),
        ("bad_gateway", "502 text/html no JSON"),
        ("too_many_requests", "429 text/plain no JSON"),
        ("html", "200 text/html no JSON"),
        ("empty", "200 application/json no JSON"),
        ("reset", "ReadError"),
        ("truncated", "RemoteProtocolError"),
        ("cut_json", "200 application/json no JSON"),
        ("wrong_content_type", "200 text/plain"),
    ],
)
def test_each_fault_looks_as_it_does_in_the_wild(ask: Asker, kind: str, seen: str) -> None:
    set_plan(ask, {"faults": [{"kind": kind, "times": 1}]})
    path = f"{ask.account().id}/insights"
    assert outcome(ask, path, metric="reach", period="day") == seen
    assert outcome(ask, path, metric="reach", period="day") == "200 application/json"


def test_a_hanging_call_outlives_a_short_timeout(ask: Asker) -> None:
    set_plan(ask, {"faults": [{"kind": "hang", "times": 1}]})
    assert outcome(ask, "me", timeout=0.2) == "ReadTimeout"
    assert outcome(ask, "me") == "200 application/json"


def test_a_metric_can_go_missing_and_a_page_can_repeat_itself(ask: Asker) -> None:
    set_plan(ask, {"faults": [{"kinds": ["missing_metric", "repeated_cursor"]}]})
    metrics = ask.insights(metric="reach,follower_count", period="day").json()["data"]
    assert [metric["name"] for metric in metrics] == ["reach"]
    path = f"{ask.account().id}/media"
    first = ask.get(path, limit=5).json()
    after = first["paging"]["cursors"]["after"]
    second = ask.get(path, limit=5, after=after).json()
    assert second["paging"]["cursors"]["after"] == after
    assert f"after={after}" in second["paging"]["next"]


def test_an_error_can_be_given_word_for_word(ask: Asker) -> None:
    body = {"error": {"message": "(#368) Temporarily blocked", "type": "OAuthException", "code": 368}}
    set_plan(ask, {"faults": [{"kind": "error", "error": {"status": 400, "body": body}, "account": "acme.*"}]})
    assert ask.get(ask.account().id).json() == body
    assert ask.get(ask.account("harbor.bakery").id, "harbor.bakery").status_code == 200


def test_rules_choose_endpoint_account_and_moment(ask: Asker) -> None:
    set_plan(ask, {"faults": [{"kind": "unavailable", "endpoint": "media", "after": 1, "times": 1}]})
    path = f"{ask.account().id}/media"
    assert [ask.get(path).status_code for _ in range(3)] == [200, 503, 200]
    assert ask.http.get(f"{ask.sim.url}/_simulator/faults").json()["struck"] == {"unavailable": 1}


def test_the_same_seed_gives_the_same_storm_in_any_order_of_calls() -> None:
    plan = read_plan({"seed": 3, "faults": [{"kinds": ["server_error_1", "html", "empty"], "probability": 0.33}]})

    def storm(order: list[int], plan_seed: int = 3) -> dict[int, list[str]]:
        chosen = plan.model_copy(update={"seed": plan_seed})
        with running_simulator(World(), clock=lambda: NOW, faults=chosen) as sim, httpx.Client() as http:
            ask = Asker(sim, http)
            seen: dict[int, list[str]] = {n: [] for n in range(20)}
            for n in order:
                seen[n].append(outcome(ask, ask.account().id, n=n))
        return seen

    forward, backward = [*range(20), *range(20)], [*reversed(range(20)), *range(20)]
    assert storm(forward) == storm(backward) != storm(forward, plan_seed=4)
    failed = sum(text != "200 application/json" for texts in storm(forward).values() for text in texts)
    assert 5 <= failed <= 22


def test_a_storm_knows_more_than_thirteen_ways_and_can_be_bounded_in_a_row(ask: Asker) -> None:
    assert len(STORM) >= 13
    assert set(STORM) < set(KINDS)
    set_plan(ask, {"faults": [{"kind": "server_error_1", "in_a_row": 2}]})
    assert [ask.get("me").status_code for _ in range(6)] == [500, 500, 200, 500, 500, 200]


@pytest.mark.parametrize(
    "plan", [{"faults": [{"kind": "sunshine"}]}, {"faults": [{"kinds": []}]}, {"faults": [{"kind": "error"}]}, [1]]
)
def test_a_plan_that_cannot_be_read_says_where(plan: object) -> None:
    with pytest.raises(FaultPlanError, match="Kinds are"):
        read_plan(plan)


def test_a_plan_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("seed: 9\nfaults:\n  - {kinds: storm, probability: 0.33, in_a_row: 3, endpoint: insights}\n")
    plan = load_plan(file)
    assert (plan.seed, plan.faults[0].kinds, plan.faults[0].in_a_row) == (9, STORM, 3)
    file.write_text("faults: [{kind: nothing}]")
    result = CliRunner().invoke(simulator, ["--faults", str(file)])
    assert result.exit_code == 1
    assert "faults.0.kinds" in result.output


def test_the_plan_in_the_documentation_can_be_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    [plan] = re.findall(r"```yaml\n(seed: .*?)```", page, re.DOTALL)
    read = read_plan(yaml.safe_load(plan))
    assert [len(rule.kinds) for rule in read.faults] == [len(STORM), 1]
    assert {22: "twenty-two"}[len(STORM)] in page


def test_a_batch_answers_each_part_and_each_part_counts(ask: Asker) -> None:
    account, token = ask.account().id, ask.sim.token("acme.studio")
    parts = [
        {"method": "GET", "relative_url": f"{account}?fields=username"},
        {"method": "GET", "relative_url": f"v25.0/{account}/insights?metric=nonsense&period=day"},
        {"method": "GET", "relative_url": f"{account}/media?limit=1"},
    ]
    answer = ask.http.post(f"{ask.sim.url}/v25.0/", data={"batch": json.dumps(parts), "access_token": token})
    assert answer.status_code == 200
    assert [part["code"] for part in answer.json()] == [200, 400, 200]
    assert json.loads(answer.json()[0]["body"]) == {"username": "acme.studio", "id": account}
    assert {"name", "value"} == set(answer.json()[0]["headers"][0])
    assert ask.sim.calls.of("acme.studio") == 3
    many = ask.http.post(f"{ask.sim.url}/", data={"batch": json.dumps(parts * 20), "access_token": token})
    assert "Maximum batch size is 50" in ask.error(many)["message"]


def test_a_part_of_a_batch_that_timed_out_is_null(ask: Asker) -> None:
    set_plan(ask, {"faults": [{"kind": "hang", "endpoint": "profile"}]})
    parts = [{"method": "GET", "relative_url": ask.account().id}, {"method": "GET", "relative_url": "me"}]
    token = ask.sim.token("acme.studio")
    answer = ask.http.post(ask.sim.url, data={"batch": json.dumps(parts), "access_token": token}).json()
    assert answer[0] is None
    assert answer[1]["code"] == 200


def test_a_multi_read_counts_each_id_and_one_bad_id_loses_all(ask: Asker) -> None:
    posts = [post.id for post in list(ask.account().posts_between(None, NOW))[:3]]
    answer = ask.get("", ids=",".join(posts), fields="id,media_type")
    assert list(answer.json()) == posts
    assert ask.sim.calls.of("acme.studio") == 3
    assert ask.error(ask.get("", ids=f"{posts[0]},18066122755137560"))["error_subcode"] == 33
    insights = ask.get("insights", ids=",".join(posts), metric="reach").json()
    assert {key: value["data"][0]["name"] for key, value in insights.items()} == dict.fromkeys(posts, "reach")
