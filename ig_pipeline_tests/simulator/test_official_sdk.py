"""The official SDK, a client the simulator never met: lists, reads, walks, and its typed exceptions."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from facebook_business.adobjects.igmedia import IGMedia
from facebook_business.adobjects.iguser import IGUser
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.tokens import USUAL_SCOPES, Grant
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.simulator.conftest import NOW

# Its own lists of metrics and fields are years behind the API; it says so and asks all the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:value of .* might not be compatible:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* does not allow field:UserWarning"),
]
CATALOGUE = Path(__file__).parents[3] / "shared" / "recorded" / "errors_catalogue.json"
TOTAL = {"metric_type": "total_value", "period": "day"}


@contextmanager
def sdk(sim: RunningSimulator, token: str, *, proof: bool = True) -> Iterator[FacebookAdsApi]:
    """The SDK as an app would set it up, its Graph host pointed at the simulator."""
    session = FacebookSession(sim.world.app_id, sim.world.app_secret if proof else None, token)
    session.GRAPH = sim.url
    try:
        yield FacebookAdsApi(session)
    finally:
        session.requests.close()


@pytest.fixture
def sim() -> Iterator[RunningSimulator]:
    with running_simulator(World(accounts=8), clock=lambda: NOW) as running:
        yield running


@pytest.fixture
def api(sim: RunningSimulator) -> Iterator[FacebookAdsApi]:
    with sdk(sim, sim.token("acme.studio")) as made:
        yield made


def test_it_lists_the_accounts_page_by_page(sim: RunningSimulator) -> None:
    grant = Grant("facebook", "user", sim.world.agency.id, 0, None, None, frozenset(USUAL_SCOPES["facebook"]))
    with sdk(sim, sim.simulation.book.issue(grant)) as api:
        pages = User("me", api=api).get_accounts(
            fields=["name", "instagram_business_account{id,username}"], params={"limit": 3}
        )
        linked = {page["instagram_business_account"]["username"] for page in pages}
    assert linked == {account.username for account in sim.world.accounts}


def test_it_reads_insights_of_both_types(sim: RunningSimulator, api: FacebookAdsApi) -> None:
    user = IGUser(sim.world.account("acme.studio").id, api=api)
    window = {"since": "2026-11-10", "until": "2026-11-12"}
    series = user.get_insights(params={"metric": ["reach"], "period": ["day"], **window})
    assert [value["end_time"] for value in series[0]["values"]] == [
        "2026-11-10T08:00:00+0000",
        "2026-11-11T08:00:00+0000",
    ]
    totals = user.get_insights(params={"metric": ["views", "saves"], **TOTAL, "period": ["day"], **window})
    assert [metric["name"] for metric in totals] == ["views", "saves"]
    assert all(metric["total_value"]["value"] >= 0 for metric in totals)


def test_it_walks_the_media_with_cursors_and_reads_their_insights(sim: RunningSimulator, api: FacebookAdsApi) -> None:
    account = sim.world.account("acme.studio")
    window = {"since": "2026-09-01", "until": "2026-11-20", "limit": 20}
    media = list(IGUser(account.id, api=api).get_media(fields=["id", "caption", "media_type"], params=window))
    truth = account.posts_between(datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
    assert [item["id"] for item in media] == [post.id for post in truth]
    insights = IGMedia(media[0]["id"], api=api).get_insights(params={"metric": ["saved", "reach"]})
    assert [metric["name"] for metric in insights] == ["saved", "reach"]


# ---- each error of the catalogue, brought about by what brings it about ---

Trigger = Callable[[RunningSimulator], Any]


def insights(username: str = "acme.studio", login: str = "facebook", **params: Any) -> Trigger:
    def call(sim: RunningSimulator) -> Any:
        with sdk(sim, sim.token(username, login), proof=login == "facebook") as api:  # type: ignore[arg-type]
            return IGUser(sim.world.account(username).id, api=api).get_insights(params={"period": "day", **params})

    return call


def get(
    path: Callable[[RunningSimulator], str], username: str = "acme.studio", login: str = "facebook", **params: Any
) -> Trigger:
    def call(sim: RunningSimulator) -> Any:
        with sdk(sim, sim.token(username, login), proof=login == "facebook") as api:  # type: ignore[arg-type]
            return api.call("GET", path(sim).split("/"), params=params).json()

    return call


def after(prepare: Callable[[RunningSimulator], Any], trigger: Trigger) -> Trigger:
    def call(sim: RunningSimulator) -> Any:
        prepare(sim)
        return trigger(sim)

    return call


def control(path: str) -> Callable[[RunningSimulator], Any]:
    return lambda sim: requests.post(f"{sim.url}/_simulator/{path}", timeout=5)


def faults(kind: str) -> Callable[[RunningSimulator], Any]:
    plan = json.dumps({"faults": [{"kind": kind}]})
    return lambda sim: requests.post(f"{sim.url}/_simulator/faults", plan, timeout=5)


def media_of(username: str, edge: str) -> Callable[[RunningSimulator], str]:
    """The insights of the first post that is what the error is about."""

    def path(sim: RunningSimulator) -> str:
        account = sim.world.account(username)
        posts = account.posts_between(None, NOW)
        refusing = (post for post in posts if not post.gives_views or not account.gives_insights(post, NOW))
        return f"{next(refusing).id}/{edge}"

    return path


def newest_post(sim: RunningSimulator) -> str:
    """Its insights: what an account's reach can be broken down by, a post's cannot."""
    return f"{next(sim.world.account('acme.studio').posts_between(None, NOW)).id}/insights"


def lonely_story(sim: RunningSimulator) -> str:
    """A living story hardly anybody saw; the clock is set to a day that has one."""
    account = sim.world.account("acme.studio")
    for hours in range(0, 24 * 60, 12):
        at = NOW - timedelta(hours=hours)
        for story in account.live_stories(at):
            if story.metric("reach", at) < 5:
                sim.simulation.clock.set(at)
                return f"{story.id}/insights"
    raise AssertionError("no story in sixty days had too few viewers")


def early_2025(sim: RunningSimulator) -> None:
    sim.simulation.clock.set(datetime(2025, 3, 1, tzinfo=UTC))


def page_without_proof(sim: RunningSimulator) -> Any:
    sim.simulation.require_proof = True
    with sdk(sim, sim.token("acme.studio"), proof=False) as api:
        return api.call("GET", [sim.world.account("acme.studio").page_id]).json()


def without_scope(sim: RunningSimulator) -> Any:
    """An Instagram token that was granted nothing cannot be exchanged (docs/graph_api.md#instagram-login)."""
    grant = Grant("instagram", "user", sim.world.accounts[0].id, 0, NOW, NOW + timedelta(hours=1), frozenset(), False)
    with sdk(sim, sim.simulation.book.issue(grant), proof=False) as api:
        params = {"grant_type": "ig_exchange_token", "client_secret": sim.world.app_secret}
        return api.call("GET", ["access_token"], params=params).json()


MONTHS = {"since": "2026-10-01", "until": "2026-11-01"}
PEOPLE = {"metric": "follower_demographics", "metric_type": "total_value", "breakdown": "age", "period": "lifetime"}
TRIGGERS: dict[str, Trigger] = {
    "too_long_range": insights(metric="reach", **MONTHS),
    "follower_count_older_than_30d": insights(metric="follower_count", since="2026-10-01", until="2026-10-15"),
    "needs_total_value": insights(metric="comments,total_interactions,views"),
    "incompatible_metric_type_total_value": insights(metric="follower_count", metric_type="total_value"),
    "incompatible_metric_type_time_series": insights(metric="accounts_engaged", metric_type="time_series"),
    "invalid_account_metric": insights(metric="reach,impressions"),
    "impressions_removed_v22_wording": after(early_2025, insights(metric="impressions")),
    "media_metric_not_for_product_type": get(media_of("attic.cinema", "insights"), "attic.cinema", metric="views"),
    "media_before_business_conversion": get(media_of("second.bloom", "insights"), "second.bloom", metric="reach"),
    "media_before_business_conversion_graph_instagram_com": get(
        media_of("second.bloom", "insights"), "second.bloom", "instagram", metric="reach"
    ),
    "story_too_few_viewers": get(lonely_story, metric="reach"),
    "no_permission": get(lambda sim: f"{sim.world.account('acme.studio').id}/tags"),
    "object_missing_or_no_permission": get(lambda _: "18066122755137560"),
    "demographics_not_enough_users": insights("little.letterpress", **PEOPLE),
    "app_rate_limit": after(control("throttle/app"), insights(metric="reach")),
    "buc_rate_limit": after(control("throttle/acme.studio"), insights(metric="reach")),
    "token_expired": after(control("tokens/acme.studio/expire"), insights(metric="reach")),
    "unknown_transient": after(faults("server_error_2"), insights(metric="reach")),
    "unknown_code1": insights(metric="likes", breakdown="follow_type", metric_type="total_value"),
    "reduce_data": after(faults("reduce_data"), insights(metric="reach")),
    "incompatible_breakdown": get(newest_post, login="instagram", metric="reach", breakdown="follow_type"),
    "ig_exchange_without_scope": without_scope,
    "appsecret_proof_missing": page_without_proof,
}


@pytest.mark.parametrize(
    ("key", "status", "code", "subcode", "transient"),
    [
        ("too_long_range", 400, 100, None, False),
        ("follower_count_older_than_30d", 400, 100, None, False),
        ("needs_total_value", 400, 100, None, False),
        ("incompatible_metric_type_total_value", 400, 100, None, False),
        ("incompatible_metric_type_time_series", 400, 100, None, False),
        ("invalid_account_metric", 400, 100, None, False),
        ("impressions_removed_v22_wording", 400, 100, None, False),
        ("media_metric_not_for_product_type", 400, 100, None, False),
        ("media_before_business_conversion", 400, 100, 2108006, False),
        ("media_before_business_conversion_graph_instagram_com", 400, 100, 2108006, False),
        ("story_too_few_viewers", 400, 10, None, False),
        ("no_permission", 400, 10, None, False),
        ("object_missing_or_no_permission", 400, 100, 33, False),
        ("demographics_not_enough_users", 400, 10, 2874010, False),
        ("app_rate_limit", 403, 4, None, True),
        ("buc_rate_limit", 400, 80002, 2446079, False),
        ("token_expired", 400, 190, 463, False),
        ("unknown_transient", 500, 2, None, True),
        ("unknown_code1", 500, 1, None, False),
        ("reduce_data", 500, 1, None, False),
        ("incompatible_breakdown", 400, 100, None, False),
        ("ig_exchange_without_scope", 400, 100, None, False),
        ("appsecret_proof_missing", 400, 100, None, False),
    ],
)
def test_it_gets_each_error_of_the_catalogue_as_its_own_exception(
    sim: RunningSimulator, key: str, status: int, code: int, subcode: int | None, transient: bool
) -> None:
    with pytest.raises(FacebookRequestError) as raised:
        TRIGGERS[key](sim)
    error = raised.value
    assert (error.http_status(), error.api_error_code(), error.api_error_subcode()) == (status, code, subcode)
    assert error.api_transient_error() is transient
    if CATALOGUE.exists():
        entry = next(entry for entry in json.loads(CATALOGUE.read_text()) if entry["key"] == key)
        expected = entry["body"]["error"]
        assert plain(error.api_error_message()) == plain(expected["message"])
        assert error.api_error_type() == expected.get("type")
        assert (entry["http_status"], expected.get("error_user_title")) == (
            status,
            json.loads(json.dumps(error.body()))["error"].get("error_user_title"),
        )


def plain(message: str) -> str:
    """A message without its ids and instants."""
    return re.sub(r"\w+day, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d \w+|'\d+'|\((accounts_engaged|\d{7,})\)", "…", message)


@pytest.mark.skipif(not CATALOGUE.exists(), reason="the catalogue of errors does not lie beside this checkout")
def test_no_error_of_the_catalogue_is_forgotten() -> None:
    # The reused code has an envelope that is no error object; `test_logins` asks for it.
    assert {entry["key"] for entry in json.loads(CATALOGUE.read_text())} == {*TRIGGERS, "ig_login_code_reused"}
