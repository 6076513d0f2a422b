"""Both logins, from the dialog to the refreshed token: docs/graph_api.md#facebook-login."""

import hmac
import re
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ig_pipeline.simulator.server import running_simulator
from ig_pipeline.simulator.tokens import USUAL_SCOPES, Login
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.simulator.conftest import NOW, Asker

BACK = "https://app.example/auth/callback?from=mail"
PATHS: dict[Login, str] = {"facebook": "v25.0/dialog/oauth", "instagram": "oauth/authorize"}


@dataclass(frozen=True)
class Browser:
    """A person in front of the dialog, without JavaScript."""

    ask: Asker
    login: Login

    def open(self, **changed: str) -> httpx.Response:
        params = {
            "client_id": self.ask.sim.world.app_id,
            "redirect_uri": BACK,
            "response_type": "code",
            "scope": ",".join(USUAL_SCOPES[self.login]),
            "state": "s p+1",
            **changed,
        }
        return self.ask.http.get(f"{self.ask.sim.url}/{PATHS[self.login]}", params=params)

    def submit(self, page: httpx.Response, do: str, who: str, *, without: str = "") -> str:
        action = re.findall(r'action="([^"]+)"', page.text)[0]
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
        granted = [scope for scope in re.findall(r'name="granted" value="([^"]+)"', page.text) if scope != without]
        form = {name: unescape(value) for name, value in hidden.items()} | {"as": who, "do": do}
        answer = self.ask.http.post(f"{self.ask.sim.url}{action}", data={**form, "granted": granted})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def code(self, who: str = "acme.studio", *, without: str = "") -> str:
        return parse_qs(urlsplit(self.submit(self.open(), "continue", who, without=without)).query)["code"][0]


def app(ask: Asker) -> dict[str, str]:
    return {"client_id": ask.sim.world.app_id, "client_secret": ask.sim.world.app_secret}


def facebook_token(ask: Asker, code: str, /, **changed: str) -> httpx.Response:
    params = {**app(ask), "redirect_uri": BACK, "code": code, **changed}
    return ask.http.get(f"{ask.sim.url}/v25.0/oauth/access_token", params=params)


def instagram_token(ask: Asker, code: str, /, **changed: str) -> httpx.Response:
    form = {**app(ask), "grant_type": "authorization_code", "redirect_uri": BACK, "code": code, **changed}
    return ask.http.post(f"{ask.sim.url}/oauth/access_token", data=form)


def graph(ask: Asker, path: str, token: str, **params: Any) -> Any:
    return ask.http.get(f"{ask.sim.url}/{path}", params={**params, "access_token": token}).json()


@pytest.mark.parametrize(("login", "fragment"), [("facebook", "_=_"), ("instagram", "_")])
def test_consent_leads_back_with_code_state_and_the_fragment_of_its_host(
    ask: Asker, login: Login, fragment: str
) -> None:
    browser = Browser(ask, login)
    page = browser.open()
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    address = urlsplit(browser.submit(page, "continue", "acme.studio"))
    query = parse_qs(address.query)
    assert (address.netloc, address.path, address.fragment) == ("app.example", "/auth/callback", fragment)
    assert (query["state"], query["from"]) == (["s p+1"], ["mail"])


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_person_may_say_no(ask: Asker, login: Login) -> None:
    browser = Browser(ask, login)
    query = parse_qs(urlsplit(browser.submit(browser.open(), "cancel", "acme.studio")).query)
    assert query["error"] == ["access_denied"]
    assert query["error_reason"] == ["user_denied"]
    assert "code" not in query


@pytest.mark.parametrize("changed", [{"client_id": "1"}, {"redirect_uri": "javascript:alert(1)"}])
def test_a_dialog_opened_wrongly_leads_nowhere(ask: Asker, changed: dict[str, str]) -> None:
    page = Browser(ask, "facebook").open(**changed)
    assert page.status_code == 400
    assert "<form" not in page.text


def test_what_a_page_is_told_is_shown_as_text(ask: Asker) -> None:
    page = Browser(ask, "instagram").open(state='"><script>alert(1)</script>')
    assert "<script>" not in page.text


def test_facebook_login_from_code_to_insights(ask: Asker) -> None:
    short = facebook_token(ask, Browser(ask, "facebook").code()).json()
    assert set(short) == {"access_token", "token_type", "expires_in"}
    assert (short["token_type"], short["expires_in"]) == ("bearer", 3600)
    exchange = {**app(ask), "grant_type": "fb_exchange_token", "fb_exchange_token": short["access_token"]}
    long = ask.http.get(f"{ask.sim.url}/v25.0/oauth/access_token", params=exchange).json()
    assert long["expires_in"] == 5183944
    pages = graph(ask, "me/accounts", long["access_token"], fields="id,access_token,instagram_business_account")
    account = next(p["instagram_business_account"]["id"] for p in pages["data"] if "instagram_business_account" in p)
    ask.sim.simulation.clock.offset = timedelta(hours=2)
    assert graph(ask, "me", short["access_token"])["error"]["error_subcode"] == 463
    insights = graph(ask, f"{account}/insights", long["access_token"], metric="reach", period="day")
    assert insights["data"][0]["name"] == "reach"


def test_a_long_lived_token_is_refreshed_by_exchanging_it_again_but_an_expired_one_is_not(ask: Asker) -> None:
    exchange = {**app(ask), "grant_type": "fb_exchange_token", "fb_exchange_token": ask.sim.token("acme.studio")}
    ask.sim.simulation.clock.offset = timedelta(days=50)
    fresh = ask.http.get(f"{ask.sim.url}/oauth/access_token", params=exchange).json()["access_token"]
    ask.sim.simulation.clock.offset = timedelta(days=100)
    assert graph(ask, "me", fresh)["name"]
    expired = ask.http.get(f"{ask.sim.url}/oauth/access_token", params=exchange)
    assert ask.error(expired)["error_subcode"] == 463
    assert ask.sim.calls.of("acme.studio", "token_exchange") == 1


@pytest.mark.parametrize(
    ("changed", "subcode"), [({"redirect_uri": "https://app.example/other"}, 36008), ({"code": "AQnonsense"}, None)]
)
def test_a_code_of_another_address_gives_no_token(ask: Asker, changed: dict[str, str], subcode: int | None) -> None:
    error = ask.error(facebook_token(ask, Browser(ask, "facebook").code(), **changed))
    assert (error["code"], error.get("error_subcode")) == (100, subcode)


def test_a_code_is_good_once_and_for_an_hour(ask: Asker) -> None:
    code, late = Browser(ask, "facebook").code(), Browser(ask, "facebook").code()
    assert facebook_token(ask, code).status_code == 200
    assert ask.error(facebook_token(ask, code))["error_subcode"] == 36009
    ask.sim.simulation.clock.offset = timedelta(hours=1)
    assert ask.error(facebook_token(ask, late))["error_subcode"] == 36007


def test_a_wrong_secret_is_refused(ask: Asker) -> None:
    error = ask.error(facebook_token(ask, Browser(ask, "facebook").code(), client_secret="wrong"))
    assert error["message"] == "Error validating client secret."


def test_without_business_management_the_pages_of_a_business_are_not_listed(ask: Asker) -> None:
    who = "little.letterpress"  # its Page belongs to a business
    short = facebook_token(ask, Browser(ask, "facebook").code(who, without="business_management")).json()
    assert graph(ask, "me/accounts", short["access_token"]) == {"data": []}
    debug = graph(ask, "debug_token", "|".join(app(ask).values()), input_token=short["access_token"])["data"]
    targets = {g["scope"]: g.get("target_ids") for g in debug["granular_scopes"]}
    assert targets["instagram_basic"] == [ask.account(who).id]


def test_the_agency_pages_through_its_accounts() -> None:
    with running_simulator(World(accounts=60), clock=lambda: NOW) as sim, httpx.Client() as http:
        ask = Asker(sim, http)
        token = facebook_token(ask, Browser(ask, "facebook").code("agency")).json()["access_token"]
        url: str | None = f"{sim.url}/me/accounts?fields=instagram_business_account&access_token={token}"
        sizes, ids = [], set()
        while url:
            page = http.get(url).json()
            sizes.append(len(page["data"]))
            ids |= {entry["instagram_business_account"]["id"] for entry in page["data"]}
            url = page["paging"].get("next")
    assert sizes == [25, 25, 10]
    assert ids == {account.id for account in sim.world.accounts}


def test_debug_token_tells_a_living_token_from_a_dead_one(ask: Asker) -> None:
    owner = "|".join(app(ask).values())
    alive = graph(ask, "debug_token", owner, input_token=ask.sim.token("acme.studio"))["data"]
    assert (alive["is_valid"], alive["type"], alive["app_id"]) == (True, "USER", ask.sim.world.app_id)
    assert {"data_access_expires_at", "expires_at", "scopes", "granular_scopes", "user_id"} <= set(alive)
    ask.control("POST", "tokens/acme.studio/revoke")
    dead = graph(ask, "debug_token", owner, input_token=ask.sim.token("acme.studio"))["data"]
    assert (dead["is_valid"], dead["error"]["code"], dead["error"]["subcode"]) == (False, 190, 458)


def test_appsecret_proof_is_checked_and_may_be_required(ask: Asker) -> None:
    token, secret = ask.sim.token("acme.studio"), ask.sim.world.app_secret
    proof = hmac.new(secret.encode(), token.encode(), sha256).hexdigest()
    assert "name" in graph(ask, "me", token, appsecret_proof=proof)
    assert "Invalid appsecret_proof" in graph(ask, "me", token, appsecret_proof="0" * 64)["error"]["message"]
    with running_simulator(World(), clock=lambda: NOW, require_proof=True) as sim:
        strict = Asker(sim, ask.http)
        assert "appsecret_proof" in graph(strict, "me", token)["error"]["message"]
        assert graph(strict, strict.account().page_id, token)["error"]["message"] == (
            "(#100) Pages Public Content Access requires either app secret proof or an app token"
        )
        assert "name" in graph(strict, "me", token, appsecret_proof=proof)


def test_instagram_login_answers_in_both_shapes_with_an_id_beyond_doubles(ask: Asker) -> None:
    observed = instagram_token(ask, Browser(ask, "instagram").code("acme.studio") + "").json()
    assert observed["user_id"] == int(ask.account().id) > 2**53
    assert observed["permissions"] == sorted(USUAL_SCOPES["instagram"])
    documented = instagram_token(ask, Browser(ask, "instagram").code("harbor.bakery")).json()["data"][0]
    assert documented["user_id"] == ask.account("harbor.bakery").id
    assert documented["permissions"] == ",".join(sorted(USUAL_SCOPES["instagram"]))


def test_instagram_login_from_code_to_a_refreshed_token(ask: Asker) -> None:
    short = instagram_token(ask, Browser(ask, "instagram").code()).json()["access_token"]
    exchange = {"grant_type": "ig_exchange_token", "client_secret": ask.sim.world.app_secret}
    long = graph(ask, "access_token", short, **exchange)
    assert long["expires_in"] == 5183944
    young = graph(ask, "refresh_access_token", long["access_token"], grant_type="ig_refresh_token")["error"]
    assert (young["type"], young["code"]) == ("IGApiException", 100)
    ask.sim.simulation.clock.offset = timedelta(hours=24)
    fresh = graph(ask, "refresh_access_token", long["access_token"], grant_type="ig_refresh_token")
    assert fresh["expires_in"] == 5183944
    ask.sim.simulation.clock.offset = timedelta(days=60, hours=12)
    assert graph(ask, "me", fresh["access_token"], fields="username")["username"] == "acme.studio"
    assert graph(ask, "me", long["access_token"])["error"]["code"] == 190
    again = graph(ask, "access_token", fresh["access_token"], **exchange)["error"]
    assert again["message"] == "Session key invalid"


def test_instagram_refuses_a_used_code_in_an_envelope_of_its_own(ask: Asker) -> None:
    code = Browser(ask, "instagram").code()
    assert instagram_token(ask, code).status_code == 200
    again = instagram_token(ask, code)
    assert (again.status_code, again.json()) == (
        400,
        {
            "error_type": "OAuthException",
            "code": 400,
            "error_message": "Matching code was not found or was already used",
        },
    )


def test_an_exchange_without_the_basic_scope_is_an_unsupported_request(ask: Asker) -> None:
    code = Browser(ask, "instagram").code(without="instagram_business_basic")
    short = instagram_token(ask, code).json()["access_token"]
    error = graph(ask, "access_token", short, grant_type="ig_exchange_token", client_secret=ask.sim.world.app_secret)
    assert (error["error"]["type"], error["error"]["message"]) == (
        "IGApiException",
        "Unsupported request - method type: get",
    )


def test_without_the_insights_scope_there_are_no_insights(ask: Asker) -> None:
    short = facebook_token(ask, Browser(ask, "facebook").code(without="instagram_manage_insights")).json()
    refused = graph(ask, f"{ask.account().id}/insights", short["access_token"], metric="reach", period="day")
    assert refused["error"]["message"] == "(#10) Application does not have permission for this action"


def test_removing_the_app_ends_its_tokens_until_the_next_consent(ask: Asker) -> None:
    token = ask.sim.token("acme.studio")
    assert ask.http.delete(f"{ask.sim.url}/me/permissions", params={"access_token": token}).json() == {"success": True}
    assert graph(ask, "me", token)["error"]["error_subcode"] == 458
    code = ask.control("POST", "consent/acme.studio", redirect_uri=BACK)["code"]
    assert "name" in graph(ask, "me", facebook_token(ask, code).json()["access_token"])


def test_with_instagram_login_no_call_ends_a_token(ask: Asker) -> None:
    token = ask.sim.token("acme.studio", "instagram")
    refused = ask.http.delete(f"{ask.sim.url}/me/permissions", params={"access_token": token})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, 100)
    assert "id" in graph(ask, "me", token)
