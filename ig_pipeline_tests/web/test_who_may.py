"""Who may what: every route of the app, every verb, every kind of caller. A route without a rule fails here.

The same table for Dagster's UI is in `dagster_ui.test_gate`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.routing import Mount, Route

from ig_pipeline.settings import Settings
from ig_pipeline.web.app import create_app
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import (
    ADMIN,
    API_TOKEN,
    CALLBACK,
    PAGE,
    READER,
    START,
    FrontDoor,
    everything_stored,
    front_door,
)

ANYONE, READERS, ADMINS, OWN_PAGES = "anyone", "readers", "admins", "own pages"
RULES: dict[tuple[str, str], str] = {
    ("GET", "/healthz"): ANYONE,
    ("GET", "/readyz"): ANYONE,
    ("GET", "/openapi.json"): ANYONE,
    ("HEAD", "/openapi.json"): ANYONE,
    ("GET", "/static/"): ANYONE,
    ("HEAD", "/static/"): ANYONE,
    ("GET", "/metrics"): READERS,
    # Starts nothing without the app's signature; leads to the page.
    ("GET", START): ANYONE,
    ("POST", START): OWN_PAGES,
    ("GET", "/connect"): ANYONE,
    # By its state and the cookie of the browser that started it.
    ("GET", CALLBACK): ANYONE,
    ("GET", "/connected"): ANYONE,
    ("GET", "/v1/connections/status"): READERS,
    ("DELETE", "/v1/connections/instagram"): ADMINS,
    ("GET", "/v1/metrics/timeline/month"): READERS,
    ("GET", "/v1/users/export"): READERS,
    ("DELETE", "/v1/users"): ADMINS,
    # By the code, which is not to be guessed.
    ("GET", "/v1/deletions"): ANYONE,
    ("GET", "/deletions/{code}"): ANYONE,
    # By Meta's signature.
    ("POST", "/v1/meta/deauthorize"): ANYONE,
    ("POST", "/v1/meta/data-deletion"): ANYONE,
    ("POST", "/v1/sync/run"): ADMINS,
    ("POST", "/v1/media/backfill"): ADMINS,
    ("GET", "/v1/sync/requests/{request_id}"): ADMINS,
    ("GET", "/"): READERS,
    ("GET", "/accounts/{account_key}"): READERS,
    ("GET", "/pictures/{account_key}/{post_id}"): READERS,
    # By the token in the form; ends one's own session alone.
    ("POST", "/sign-in"): ANYONE,
    ("POST", "/sign-out"): ANYONE,
}
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EMAIL = "a@b.example"
FOREIGN = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
FOLLOWED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
CALLERS = (
    "no one", "reader", "admin", "cookie", "own page", "own page with cookie", "foreign page",
    "foreign page with cookie", "foreign page with token", "foreign link with cookie", "foreign Host with token",
    "proxy", "proxy with reader", "proxy with admin", "proxy with cookie",
)  # fmt: skip


def routes(router: Any) -> Iterator[tuple[str, str]]:
    """Method and path of everything the app answers, whatever kind of route it is."""
    for route in router.routes:
        match route:
            case APIRoute() | Route():
                yield from ((method, route.path) for method in route.methods or ())
            case Mount():
                yield from (("GET", f"{route.path}/"), ("HEAD", f"{route.path}/"))
            case _ if hasattr(route, "original_router"):  # FastAPI's own, of a router that was included
                yield from routes(route.original_router)
            case _:
                pytest.fail(f"a kind of route no rule speaks of: {route}")


def test_every_route_has_a_rule_and_every_rule_a_route() -> None:
    assert set(routes(create_app(Settings()))) == set(RULES)


def headers_of(caller: str, cookie: str, own: str) -> dict[str, str]:
    """What a caller sends: who they are, and what their browser says of the page that sent it."""
    headers = dict(PAGE)
    for word, sent in {
        "reader": READER,
        "admin": ADMIN,
        "with token": ADMIN,
        "cookie": {"Cookie": cookie},
        "own page": {"Origin": own, "Sec-Fetch-Site": "same-origin"},
        "foreign page": FOREIGN,
        "foreign link": FOLLOWED,
        "foreign Host": {"Host": "evil.example"},
        "proxy": {"X-Forwarded-For": "203.0.113.9"},
    }.items():
        headers |= sent if word in caller else {}
    return headers


def expected(rule: str | None, verb: str, caller: str, *, is_open: bool, path_has: set[str]) -> int | None:
    """The status of a refusal; None: let in, whatever comes of it."""
    if "foreign Host" in caller:
        return 400
    if "foreign page" in caller or ("proxy" in caller and is_open):
        return 403
    if "foreign link" in caller and verb not in ("GET", "HEAD"):
        return 403
    if rule is None:
        return 405 if path_has else 404
    is_admin = "admin" in caller or "with token" in caller
    is_reader = is_open or is_admin or "reader" in caller or "cookie" in caller
    return {
        ANYONE: None,
        READERS: None if is_reader else 401,
        ADMINS: None if is_admin else 401,
        OWN_PAGES: None if "own page" in caller else 403,
    }[rule]


def ask(client: httpx.Client, verb: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """One request of a caller who has nothing but these headers."""
    address = path.replace("/static/", "/static/style.css")
    address = re.sub(r"\{(\w+)\}", lambda found: "1" if found[1].endswith("_id") else "nobody", address)
    params = {"email": EMAIL, "state": "x", "code": "A" * 16}
    form = {"email": EMAIL, "signed_request": "x.y", "token": "x"} if verb == "POST" else None
    client.cookies.clear()
    return client.request(verb, address, params=params, data=form, headers=headers)


def signed_in(door: FrontDoor) -> str:
    answer = httpx.post(f"http://127.0.0.1:{door.port}/sign-in", data={"token": API_TOKEN})
    return answer.headers["set-cookie"].partition(";")[0] if answer.status_code == 303 else "ig_session=none"


@contextmanager
def deployed(small: SmallWorld, how: str) -> Iterator[FrontDoor]:
    settings: dict[str, dict[str, Any]] = {
        "open": {},
        "with a token": {"api_token": SecretStr(API_TOKEN)},
        "with a named proxy": {"api_token": SecretStr(API_TOKEN), "proxy_addresses": "127.0.0.1"},
    }
    with front_door(small, **settings[how]) as door:
        yield door


@pytest.mark.parametrize("how", ["open", "with a token", "with a named proxy"])
def test_who_may_what(small_on_sqlite: SmallWorld, how: str) -> None:
    small_on_sqlite.connect(small_on_sqlite.world.accounts[0].username, email="owner@b.example")
    with deployed(small_on_sqlite, how) as door, httpx.Client(base_url=f"http://127.0.0.1:{door.port}") as client:
        wrong: list[str] = []
        paths = dict.fromkeys(path for _, path in RULES)
        for caller in CALLERS:
            before = everything_stored(small_on_sqlite)
            # Signing out is a request like others: each caller has a session of their own.
            cookie = signed_in(door)
            for path in paths:
                has = {verb for verb, of in RULES if of == path}
                for verb in VERBS:
                    headers = headers_of(caller, cookie, door.settings.effective_public_url)
                    due = expected(RULES.get((verb, path)), verb, caller, is_open=how == "open", path_has=has)
                    got = ask(client, verb, path, headers).status_code
                    if got != due if due is not None else got in (400, 401, 403, 405) and not proves(path, got):
                        wrong.append(f"{verb} {path} by {caller}: {got}, not {due or 'let in'}")
            if "foreign" in caller:
                after = everything_stored(small_on_sqlite)
                assert without_sessions(after) == without_sessions(before), f"{caller} changed something"
        assert wrong == []


def proves(path: str, status: int) -> bool:
    """Whether a refusal is of what the request itself should have proven: its state, signature or token."""
    by_meta = ("/v1/meta/deauthorize", "/v1/meta/data-deletion")
    return (path, status) in {(CALLBACK, 403), (CALLBACK, 400), ("/sign-in", 401), *((path, 400) for path in by_meta)}


def without_sessions(stored: str) -> str:
    """What is stored, but for the sessions this test opens."""
    return re.sub(r'\["[0-9a-f]{64}", "reader", "[^"]*", "[^"]*"\](, )?', "", stored)
