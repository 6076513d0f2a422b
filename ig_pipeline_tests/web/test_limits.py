"""What is limited, by what, and that no one is refused for what strangers do behind the same proxy."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from pydantic import SecretStr

from ig_pipeline.web.rate_limit import RateLimit, network_of
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import (
    ADMIN,
    API_TOKEN,
    CALLBACK,
    PAGE,
    READER,
    START,
    FrontDoor,
    front_door,
    signed_link,
)
from ig_pipeline_tests.web.test_corpus import DEAUTHORIZE, DELETION, payload, person_of, sign

EMAIL = {"email": "a@b.example"}
LIMIT = 5


@pytest.fixture
def door(small_on_sqlite: SmallWorld) -> Iterator[FrontDoor]:
    with front_door(small_on_sqlite, api_token=SecretStr(API_TOKEN), public_requests_per_minute=LIMIT) as opened:
        yield opened


def strangers(door: FrontDoor, **headers: str) -> dict[str, list[int]]:
    """Everything strangers can ask without proving anything, twice as often as they may; by purpose, the statuses."""
    client = door.another_browser()
    own = {"Origin": door.settings.effective_public_url}
    asks: dict[str, Callable[[], httpx.Response]] = {
        "token": lambda: client.get("/metrics", headers={"Authorization": "Bearer x"} | headers),
        "sign_in": lambda: client.post("/sign-in", data={"token": "x"}, headers=headers),
        "start": lambda: client.post(START, data=EMAIL, headers=own | headers),
        "link": lambda: client.get(signed_link("a@b.example", key="x" * 40), headers=headers),
        "callback": lambda: client.get(CALLBACK, params={"state": "x", "code": "y"}, headers=headers),
        "meta": lambda: client.post(DEAUTHORIZE, data={"signed_request": "x.y"}, headers=headers),
        "look_up": lambda: client.get("/v1/deletions", params={"code": "A" * 16}, headers=headers),
        "pages": lambda: client.get("/deletions/AAAA", headers=headers),
        "result": lambda: client.get("/connected", headers=headers),
    }  # fmt: skip
    return {purpose: [ask().status_code for _ in range(2 * LIMIT)] for purpose, ask in asks.items()}


def test_each_purpose_has_a_limit_of_its_own(door: FrontDoor) -> None:
    seen = strangers(door)
    for purpose in ("token", "sign_in", "start", "callback", "meta", "look_up"):
        assert seen[purpose][:LIMIT].count(429) == 0, purpose
        assert set(seen[purpose][LIMIT:]) == {429}, purpose
    for shares in ("link", "pages", "result"):
        assert set(seen[shares]) == {429}, f"{shares} is counted with another"


def test_strangers_use_up_nothing_of_those_who_prove_who_they_are(door: FrontDoor) -> None:
    """Behind a proxy that no setting names, all come from one address; and 120 requests a minute shut them all out."""
    who = door.small.world.accounts[0].username
    dialog = door.start("a@b.example")
    door.connect("a@b.example", "agency")
    strangers(door)
    back = door.agree(dialog, who)
    assert door.client.get(back, headers=PAGE).status_code == 303, "a login of this browser"
    assert door.client.get("/connected", headers=PAGE).status_code == 200
    link = signed_link("a@b.example", now=door.small.clock().timestamp())
    assert [door.client.get(link).status_code for _ in range(2 * LIMIT)] == [303] * 2 * LIMIT
    assert door.client.post("/sign-in", data={"token": API_TOKEN}).status_code == 303
    assert door.client.get("/", headers=PAGE).status_code == 200
    assert door.another_browser().get("/", headers=PAGE).status_code == 401, "the page to sign in on"
    assert door.client.get("/v1/connections/status", params=EMAIL, headers=READER).status_code == 200
    assert door.client.post("/v1/sync/run", params=EMAIL, headers=ADMIN).status_code == 202
    secret = door.settings.app_secret
    assert secret is not None
    for n in range(2 * LIMIT):
        text = sign(payload(door, "424242", nonce=n), secret.get_secret_value())
        answer = door.client.post(DELETION, data={"signed_request": text})
        assert answer.status_code == 200, "signed by Meta"
    assert door.client.get("/v1/deletions", params={"code": answer.json()["confirmation_code"]}).status_code == 200
    mine = sign(payload(door, person_of(door)), secret.get_secret_value())
    assert door.client.post(DEAUTHORIZE, data={"signed_request": mine}).status_code == 200


def test_behind_a_proxy_no_setting_names_each_caller_has_a_limit_and_all_have_another(door: FrontDoor) -> None:
    own = {"Origin": door.settings.effective_public_url}
    assert 429 in strangers(door, **{"X-Forwarded-For": "203.0.113.9"})["start"]

    def starts(caller: str) -> int:
        headers = own | {"X-Forwarded-For": f"10.9.9.9, {caller}"}
        return door.client.post(START, data=EMAIL, headers=headers).status_code

    assert starts("203.0.113.9") == 429
    assert starts("203.0.113.10") == 303, "another caller of the same proxy"
    # Who makes callers up is stopped as well, at ten times the limit of one.
    assert [starts(f"198.51.100.{n}") for n in range(10 * LIMIT)].count(429) > LIMIT // 2


def test_ipv6_callers_are_counted_by_network() -> None:
    assert network_of("2001:db8:1:2:aaaa::1") == network_of("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("unix:") == network_of("") == "unknown"
    limit = RateLimit(2)
    seen = [limit.allows("start", (network_of(f"2001:db8::{n}"), "")) for n in range(3)]
    assert seen == [True, True, False]


def test_guessing_is_slowed_down(door: FrontDoor) -> None:
    path = "/v1/connections/status"
    answers = [door.client.get(path, params=EMAIL, headers={"Authorization": f"Bearer {n}"}) for n in range(LIMIT + 2)]
    assert [answer.status_code for answer in answers] == [401] * LIMIT + [429] * 2
    assert answers[-1].headers["retry-after"] == "60"
    assert door.client.get(path, params=EMAIL, headers=READER).status_code == 200
