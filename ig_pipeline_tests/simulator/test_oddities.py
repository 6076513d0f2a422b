"""What the levers put out of order is out of order, and in order again afterwards."""

import httpx
import pytest

from ig_pipeline.simulator.oddities import APP_FAULTS, PAGE_ROWS, UNREADABLE
from ig_pipeline_tests.simulator.conftest import Asker

WHO = "acme.studio"


def app(ask: Asker) -> dict[str, str]:
    return {"client_id": ask.sim.world.app_id, "client_secret": ask.sim.world.app_secret}


def debugged(ask: Asker, token: str) -> dict[str, object]:
    params = {"input_token": token, "access_token": "|".join(app(ask).values())}
    found: dict[str, object] = ask.http.get(f"{ask.sim.url}/debug_token", params=params).json()["data"]
    return found


def exchanged(ask: Asker) -> dict[str, object]:
    params = {**app(ask), "grant_type": "fb_exchange_token", "fb_exchange_token": ask.sim.token(WHO)}
    answer: dict[str, object] = ask.http.get(f"{ask.sim.url}/oauth/access_token", params=params).json()
    return answer


def pages(ask: Asker) -> list[object]:
    answer = ask.get("me/accounts", WHO, fields="id,instagram_business_account{id,username}")
    assert answer.status_code == 200
    found: list[object] = answer.json()["data"]
    return found


@pytest.mark.parametrize("fault", APP_FAULTS)
@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_an_app_out_of_order_refuses_everybody(ask: Asker, fault: str, login: str) -> None:
    ask.control("POST", "app", fault=fault)
    answer = ask.get("me", WHO, login, fields="username" if login == "instagram" else "name")
    assert "error" in answer.json()
    assert answer.status_code == (200 if fault == "switched_off" else 400)
    assert "error" in exchanged(ask)
    ask.control("DELETE", "app")
    assert "error" not in exchanged(ask)


def test_token_answers_may_name_no_end(ask: Asker) -> None:
    ask.control("POST", "token-answers", expires_in="omitted")
    answer = exchanged(ask)
    assert set(answer) == {"access_token", "token_type"}
    assert debugged(ask, str(answer["access_token"]))["expires_at"]
    ask.control("POST", "token-answers", expires_in="stated")
    assert exchanged(ask)["expires_in"] == 5183944


def test_data_access_ends_reading_and_not_the_token_and_no_exchange_moves_it(ask: Asker) -> None:
    before = debugged(ask, ask.sim.token(WHO))["data_access_expires_at"]
    ask.control("POST", "clock", offset=3600)
    assert debugged(ask, str(exchanged(ask)["access_token"]))["data_access_expires_at"] == before
    ask.control("POST", f"tokens/{WHO}/data-access")
    error = ask.error(ask.insights(WHO, metric="reach", period="day"))
    assert (error["code"], error["error_subcode"]) == (190, 493)
    assert ask.get("me", WHO, fields="name").status_code == 200
    assert debugged(ask, ask.sim.token(WHO))["is_valid"] is True
    assert ask.insights(WHO, "instagram", metric="reach", period="day").status_code == 200
    # Going through the dialog counts as using the app.
    back = "https://app.example/back"
    code = ask.control("POST", f"consent/{WHO}", redirect_uri=back)["code"]
    params = {**app(ask), "redirect_uri": back, "code": code}
    assert ask.http.get(f"{ask.sim.url}/oauth/access_token", params=params).status_code == 200
    assert ask.insights(WHO, metric="reach", period="day").status_code == 200


def test_a_withdrawn_permission_is_missing_until_it_is_given_back(ask: Asker) -> None:
    ask.control("POST", f"tokens/{WHO}/permissions", without="instagram_manage_insights")
    assert ask.error(ask.insights(WHO, metric="reach", period="day"))["code"] == 10
    assert "instagram_manage_insights" not in str(debugged(ask, ask.sim.token(WHO))["scopes"])
    ask.control("DELETE", f"tokens/{WHO}/permissions")
    assert ask.insights(WHO, metric="reach", period="day").status_code == 200


def test_an_endless_token_says_so(ask: Asker) -> None:
    token = ask.control("POST", f"tokens/{WHO}/endless")["token"]
    ask.control("POST", "clock", offset=400 * 86_400)
    facts = debugged(ask, token)
    assert (facts["type"], facts["expires_at"], facts["data_access_expires_at"]) == ("SYSTEM_USER", 0, 0)
    account = ask.account(WHO).id
    assert ask.http.get(f"{ask.sim.url}/{account}", params={"access_token": token}).status_code == 200


@pytest.mark.parametrize("how", UNREADABLE)
def test_an_unreadable_grant_stands_before_the_readable_ones(ask: Asker, how: str) -> None:
    made = ask.control("POST", f"grants/{WHO}", unreadable=how)["id"]
    scopes = debugged(ask, ask.sim.token(WHO))["granular_scopes"]
    assert isinstance(scopes, list)
    targets = next(row["target_ids"] for row in scopes if row["scope"] == "instagram_basic")
    assert targets == [made, ask.account(WHO).id]
    answer = ask.get(made, WHO, fields="id,username")
    expected = {"nonexisting_field": 400, "malformed": 200, "gone": 400, "server_error": 500}
    assert answer.status_code == expected[how]
    assert ask.get(made, "harbor.bakery").json()["error"]["error_subcode"] == 33


@pytest.mark.parametrize("row", PAGE_ROWS)
def test_an_odd_row_stands_before_the_pages(ask: Asker, row: str) -> None:
    honest = pages(ask)
    ask.control("POST", f"pages/{WHO}", row=row)
    assert pages(ask)[1:] == honest
    ask.control("DELETE", f"pages/{WHO}")
    assert pages(ask) == honest


def test_listings_may_be_empty_for_a_while(ask: Asker) -> None:
    honest = pages(ask)
    ask.control("POST", f"pages/{WHO}", empty=2)
    assert [pages(ask), pages(ask), pages(ask)] == [[], [], honest]


@pytest.mark.parametrize(
    "path", ["app?fault=x", "token-answers", "grants/acme.studio?unreadable=x", "pages/nobody?row=no_object"]
)
def test_a_lever_pulled_wrongly_says_what_would_be_right(ask: Asker, path: str) -> None:
    answer = httpx.post(f"{ask.sim.url}/_simulator/{path}")
    assert answer.status_code == 400
    assert answer.json()["error"]
