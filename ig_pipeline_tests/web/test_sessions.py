"""Signing in and out: what the cookie is good for, how long, and what cannot be made of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.storage import tables
from ig_pipeline.vault.cipher import MAY_STILL_WRITE, add_key, prune_keys
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import API_TOKEN, PAGE, FrontDoor, front_door, listening, serving

TOKEN = SecretStr(API_TOKEN)
CROSS_SITE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


def sign_in(door: FrontDoor, client: httpx.Client | None = None, **headers: str) -> str:
    """The cookie, `name=value`."""
    form = {"token": API_TOKEN, "destination": "/"}
    answer = (client or door.client).post("/sign-in", data=form, headers={**PAGE, **headers})
    assert answer.status_code == 303, answer.text
    return answer.headers["set-cookie"].partition(";")[0]


def status(door: FrontDoor, cookie: str) -> int:
    return httpx.get(f"{door.settings.effective_public_url}/", headers={**PAGE, "Cookie": cookie}).status_code


def sessions_in(small: SmallWorld) -> list[Any]:
    with small.engine.connect() as db:
        return list(db.execute(sa.select(tables.web_sessions)))


def test_a_person_signs_in_with_the_token_and_out_again(small: SmallWorld) -> None:
    with front_door(small, api_token=TOKEN) as door:
        closed = door.client.get("/", headers=PAGE)
        assert closed.status_code == 401
        assert "Sign in" in closed.text
        assert "www-authenticate" not in closed.headers
        wrong = door.client.post("/sign-in", data={"token": "x"}, headers=PAGE)
        assert wrong.status_code == 401
        assert "not the token" in wrong.text
        form = {"token": API_TOKEN, "destination": "//evil.example/"}
        let_in = door.client.post("/sign-in", data=form, headers=PAGE)
        assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
        cookie = let_in.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert API_TOKEN not in cookie
        assert door.client.get("/", headers=PAGE).status_code == 200
        door.client.post("/sign-out")
        assert door.client.get("/", headers=PAGE).status_code == 401


def test_signing_out_ends_every_copy_of_the_session_and_no_other(small: SmallWorld) -> None:
    with front_door(small, api_token=TOKEN) as door:
        other = sign_in(door, door.another_browser())
        mine = sign_in(door)
        assert mine != other, "a new one each time"
        assert (status(door, mine), status(door, other)) == (200, 200)
        door.client.post("/sign-out")
        assert (status(door, mine), status(door, other)) == (401, 200)
        small.clock.advance(timedelta(hours=12))
        assert status(door, other) == 401, "half a day is enough"
        sign_in(door)
    assert len(sessions_in(small)) == 1, "those that are over have gone"


def test_the_token_cannot_be_guessed_from_a_cookie(small_on_sqlite: SmallWorld) -> None:
    """The key was the token's hash: whoever held a cookie could try tokens at home until its signature came out."""
    with front_door(small_on_sqlite, api_token=TOKEN) as door:
        cookie = sign_in(door)
        (row,) = sessions_in(small_on_sqlite)
        for value in (row.id_hash, cookie.partition("=")[2][:-4] + "AAAA", "", "x", "v1.x.y", "x" * 5_000):
            assert status(door, f"ig_session={value}") == 401
    add_key(door.settings)
    later = datetime.now(UTC) + MAY_STILL_WRITE
    assert prune_keys(door.settings, in_use=set, now=later) == (1, None)
    with front_door(small_on_sqlite, api_token=TOKEN) as another_key:
        assert status(another_key, cookie) == 401, "what seals a cookie is the random key in keys/, not the token"


def test_another_token_ends_the_sessions_of_the_one_before(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, api_token=TOKEN) as door:
        cookie = sign_in(door)
    with front_door(small_on_sqlite, api_token=SecretStr("another-token-of-the-tests")) as changed:
        assert status(changed, cookie) == 401
    with front_door(small_on_sqlite, api_token=TOKEN) as back:
        assert status(back, cookie) == 200


def test_over_tls_cookies_are_bound_to_the_host(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, api_token=TOKEN, public_url="https://insights.example.com") as door:
        through = {"Host": "insights.example.com", "Origin": "https://insights.example.com"}
        local = httpx.Client(base_url=f"http://127.0.0.1:{door.port}", headers=PAGE | through)
        answer = local.post("/sign-in", data={"token": API_TOKEN})
        name, _, rest = answer.headers["set-cookie"].partition("=")
        assert name == "__Host-ig_session"
        assert all(part in rest for part in ("Secure", "HttpOnly", "Path=/"))
        assert "Domain" not in rest
        value = rest.partition(";")[0]
        assert local.get("/", headers={"Cookie": f"ig_session={value}"}).status_code == 401, "planted without TLS"
        assert local.get("/", headers={"Cookie": f"__Host-ig_session={value}"}).status_code == 200
        begun = local.post("/v1/connections/instagram/start", data={"email": "a@b.example"})
        assert begun.headers["set-cookie"].startswith("__Host-ig_login_")
        local.close()


def test_a_login_takes_no_value_that_was_planted(door_on_sqlite: FrontDoor) -> None:
    """Who knows the secret a login is bound to can finish theirs in that browser: for their address, by its owner."""
    planted = "p" * 43
    jar = "; ".join(f"{name}={planted}" for name in ("ig_browser", "ig_login", "ig_connected"))
    own = {"Origin": door_on_sqlite.settings.effective_public_url, "Cookie": jar}
    values = set()
    for _ in range(2):
        answer = door_on_sqlite.client.post(
            "/v1/connections/instagram/start", data={"email": "a@b.example"}, headers=own
        )
        values.add(answer.headers["set-cookie"].partition("=")[2].partition(";")[0])
    assert planted not in values
    assert len(values) == 2


def test_a_page_of_another_site_signs_no_one_in_or_out(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, api_token=TOKEN) as door:
        refused = door.client.post("/sign-in", data={"token": API_TOKEN}, headers=PAGE | CROSS_SITE)
        assert (refused.status_code, refused.json()["type"]) == (403, "foreign_page")
        sign_in(door)
        assert door.client.post("/sign-out", headers=CROSS_SITE).status_code == 403
        assert door.client.get("/", headers=PAGE).status_code == 200


def test_two_processes_of_one_deployment_know_each_others_sessions(small: SmallWorld) -> None:
    with front_door(small, api_token=TOKEN) as door, listening() as bound:
        cookie = sign_in(door)
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with serving(door.settings, bound, clock=small.clock):
            assert httpx.get(address, headers={**PAGE, "Cookie": cookie}).status_code == 200
            door.client.post("/sign-out")
            assert httpx.get(address, headers={**PAGE, "Cookie": cookie}).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_session_reads_and_changes_nothing(small_on_sqlite: SmallWorld, method: str) -> None:
    with front_door(small_on_sqlite, api_token=TOKEN) as door:
        sign_in(door)
        for path in ("/v1/connections/instagram", "/v1/users", "/v1/sync/run", "/v1/media/backfill"):
            answer = door.client.request(method, path, params={"email": "a@b.example"})
            assert answer.status_code in (401, 405), (method, path)
