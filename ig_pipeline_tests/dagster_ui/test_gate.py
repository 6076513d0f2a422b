"""Dagster's UI obeys itself and programs, and no page of another site. What a page can send stands here, as raw HTTP;
`test_pages_in_a_browser` has a real browser send it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster_webserver.webserver import DagsterWebserver
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ig_pipeline.dagster_ui.uses import BEGINNINGS, EXACT, Use, use_of
from ig_pipeline_tests.dagster_ui.site import CELLS, COUNT, WIPE, Site, dagster_app, site

EVIL = "http://evil.example"
FORM = "application/x-www-form-urlencoded"
CROSS_SITE = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """As `up` serves it on one's own machine: no login."""
    with site(tmp_path_factory.mktemp("ui")) as served:
        yield served


# What a foreign page makes a browser send: method, path with query, headers, body. The older ones name no origin.
ORDERS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "an image": ("GET", f"/graphql?query={WIPE}", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, ""),
    "an image, older browser": ("GET", f"/graphql?query={WIPE}", {"Accept": "image/avif,image/webp,*/*"}, ""),
    "a link": (
        "GET",
        f"/graphql?query={WIPE}",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "*/*"},
        "",
    ),
    "a form": ("POST", f"/graphql?query={WIPE}", {**CROSS_SITE, "Content-Type": FORM}, "a=b"),
    "a form, older browser": ("POST", f"/graphql?query={WIPE}", {"Content-Type": FORM}, "a=b"),
    "a form of a page without origin": (
        "POST",
        f"/graphql?query={WIPE}",
        {"Origin": "null", "Sec-Fetch-Site": "cross-site", "Content-Type": FORM},
        "a=b",
    ),
    "JSON as text": ("POST", "/graphql", {**CROSS_SITE, "Content-Type": "text/plain; application/json"}, "JSON"),
    "JSON as text, older browser": ("POST", "/graphql", {"Content-Type": "text/plain; application/json"}, "JSON"),
    "GraphQL as text": ("POST", "/graphql", {"Content-Type": "text/plain; application/graphql"}, WIPE),
    "JSON": ("POST", "/graphql", {"Origin": EVIL, "Content-Type": "application/json"}, "JSON"),
    "JSON of the same site": (
        "POST",
        "/graphql",
        {"Sec-Fetch-Site": "same-site", "Content-Type": "application/json"},
        "JSON",
    ),
    "JSON of another port": (
        "POST",
        "/graphql",
        {"Origin": "http://127.0.0.1:1", "Content-Type": "application/json"},
        "JSON",
    ),
    "another name": ("POST", "/graphql", {"Host": "evil.example", "Content-Type": "application/json"}, "JSON"),
}


def send(served: Site, order: tuple[str, str, dict[str, str], str]) -> Any:
    method, path, headers, body = order
    content = json.dumps({"query": WIPE}) if body == "JSON" else body
    return served.client.request(method, path, headers=headers, content=content or None)


@pytest.mark.parametrize("how", ORDERS)
def test_no_page_of_another_site_wipes_a_cell(ui: Site, how: str) -> None:
    answer = send(ui, ORDERS[how])
    assert answer.status_code in (400, 403, 415), answer.text
    assert ui.cells() == CELLS


def test_those_orders_are_ones_that_dagster_itself_carries_out(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    with site(tmp_path, behind_a_gate=False) as bare:
        for how, order in ORDERS.items():
            answer = send(bare, order)
            assert (answer.status_code, bare.cells()) == (200, 0), how
            bare.fill()


@pytest.mark.parametrize("path", ["materialization", "observation", "check"])
def test_no_page_writes_into_the_grid(ui: Site, path: str) -> None:
    for headers in ({}, CROSS_SITE, {"Origin": ui.address, "Sec-Fetch-Site": "same-origin"}):
        answer = ui.client.post(f"/report_asset_{path}/cells?partition=acme|99", headers=headers)
        assert answer.status_code == 403
    assert ui.cells() == CELLS


def test_a_foreign_name_is_answered_nothing(ui: Site) -> None:
    """By DNS rebinding a page would read accounts and runs: the browser takes its own name for ours."""
    foreign = (
        "evil.example",
        f"evil.example:{ui.port}",
        "testserver",
        "localhost.evil.example",
        "[",
        "[::1",
        "",
        "a b",
    )
    for host in foreign:
        for path in ("/", "/graphql", "/server_info", "/logs/a/b.err", "/nowhere"):
            answer = ui.client.get(path, headers={"Host": host})
            assert answer.status_code == 400, (host, path)
            assert "Dagster" not in answer.text.replace("Dagster's UI", "")
    for host in ("localhost:1", "127.0.0.1", "[::1]:3000"):
        assert ui.client.get("/server_info", headers={"Host": host}).status_code == 200, host


def test_without_a_login_a_proxy_gets_no_answer(ui: Site) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host", "CF-Connecting-IP"):
        answer = ui.client.post("/graphql", json={"query": COUNT}, headers={name: "203.0.113.9"})
        assert (answer.status_code, answer.json()["type"]) == (403, "behind_a_proxy"), name
        assert "IG_PIPELINE_ADMIN_TOKEN" in answer.json()["detail"]


def test_the_ui_and_programs_are_served_as_before(ui: Site) -> None:
    page = ui.client.get("/assets?view=x", headers={"Accept": "text/html"})
    assert (page.status_code, "Dagster" in page.text) == (200, True)
    # A link in a mail or a chat.
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ui.client.get("/runs/1", headers=followed).status_code == 200
    for path in ("/favicon.svg", "/vendor/graphiql/graphiql.min.css"):
        assert ui.client.get(path).status_code == 200
    assert "GraphiQL" in ui.client.get("/graphql", headers={"Accept": "text/html"}).text
    assert ui.ask(COUNT).json() == {"data": {"version": ""}}
    assert ui.client.post("/graphql", json={"query": COUNT}).json() == {"data": {"version": ""}}, "a program"
    try:
        assert ui.ask(WIPE).json() == {"data": {"wipeAssets": {"__typename": "AssetWipeSuccess"}}}
        assert ui.cells() == 0
    finally:
        ui.fill()


def test_every_answer_forbids_frames_and_other_sites(ui: Site) -> None:
    answers = [ui.client.get("/"), ui.ask(COUNT), ui.client.get("/favicon.svg"), ui.client.get("/graphql")]
    for answer in answers:
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'nonce-" in answers[0].headers["content-security-policy"], "Dagster's own policy stays"


SUBSCRIPTION = 'subscription{pipelineRunLogs(runId:"none"){__typename}}'


def subscribe(served: Site, **options: Any) -> dict[str, Any]:
    """The first answer to a subscription."""
    address = f"ws://127.0.0.1:{served.port}/graphql"
    with connect(address, subprotocols=["graphql-ws"], **options) as socket:  # type: ignore[list-item]  # plain text
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv()) == {"type": "connection_ack"}
        socket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": SUBSCRIPTION}}))
        answer: dict[str, Any] = json.loads(socket.recv())
        return answer


def test_websockets_are_for_the_uis_own_page(ui: Site) -> None:
    assert subscribe(ui, origin=ui.address)["payload"]["data"]["pipelineRunLogs"] == {
        "__typename": "PipelineRunLogsSubscriptionFailure"
    }
    for origin in (EVIL, "null", None, "http://127.0.0.1:1", "https://127.0.0.1.evil.example"):
        with pytest.raises(InvalidStatus) as refused:
            subscribe(ui, origin=origin)
        assert refused.value.response.status_code == 403, origin
    rebound = {"Host": f"evil.example:{ui.port}"}
    with pytest.raises(InvalidStatus):
        subscribe(ui, origin=f"http://evil.example:{ui.port}", additional_headers=rebound)


def dagsters_routes(folder: Path) -> Iterator[tuple[str, set[str], str]]:
    """Path, methods and kind of every route of the installed Dagster."""
    with dagster_app(folder) as (_, app):
        for route in app.routes:
            match route:
                case WebSocketRoute():
                    yield route.path, {"GET"}, "websocket"
                case Mount():
                    yield f"{route.path}/", {"GET", "HEAD"}, "files"
                case Route():
                    yield route.path, set(route.methods or ()), "endpoint"
                case _:
                    pytest.fail(f"a kind of route nobody has decided about: {route}")


def test_every_route_of_dagster_is_decided_about(tmp_path: Path) -> None:
    """A new release with a new address fails here before it is open to anyone."""
    build = Path(DagsterWebserver.relative_path(None, "webapp/build"))  # type: ignore[arg-type]  # uses no self
    files = {f"/{path.name}" for path in build.iterdir() if path.is_file()}
    pages = {"/", "/{path:path}"}
    undecided = []
    for path, methods, kind in dagsters_routes(tmp_path):
        beginning = path.partition("{")[0]
        if path in pages or path in files or (kind == "files" and path in ("/_next/", "/vendor/")):
            decided = use_of(path) is Use.PAGE and methods <= {"GET", "HEAD"}
        elif kind == "websocket":
            decided = use_of(path) is Use.GRAPHQL
        else:
            decided = path in EXACT or beginning in BEGINNINGS
        undecided += [] if decided else [path]
    assert undecided == []


# Caller → what it sends along. What each use answers it: a status, or None for "Dagster's own".
CALLERS: dict[str, dict[str, str]] = {
    "program": {},
    "own page": {"Origin": "OWN", "Sec-Fetch-Site": "same-origin"},
    "typed address": {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    "foreign page": CROSS_SITE,
    "foreign link": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    "foreign frame": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "foreign Host": {"Host": "evil.example"},
    "proxy": {"X-Forwarded-For": "203.0.113.9"},
}
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def expected(use: Use, verb: str, caller: str) -> int | None:
    """The status of a refusal, None where Dagster answers."""
    if caller == "foreign Host":
        return 400
    if caller in ("proxy", "foreign page", "foreign frame") or (
        caller == "foreign link" and verb not in ("GET", "HEAD")
    ):
        return 403
    match use:
        case Use.CLOSED:
            return 403
        case Use.GRAPHQL:
            return 415  # none of these requests is JSON
        case Use.READ if caller == "foreign link":
            return 403
        case _:
            return None if verb in ("GET", "HEAD") else 405


def test_who_may_what_on_every_route_of_dagster(ui: Site, tmp_path: Path) -> None:
    for path in dict.fromkeys(path for path, _, _ in dagsters_routes(tmp_path)):
        address = (
            path.replace("{path:path}", "a/b").replace("{asset_key:path}", "cells").replace("{run_id:str}", "none")
        )
        for verb in VERBS:
            for caller, headers in CALLERS.items():
                sent = {name: value.replace("OWN", ui.address) for name, value in headers.items()}
                due = expected(use_of(address), verb, caller)
                if due is None and use_of(address) is Use.READ:
                    continue  # Dagster raises on a run and a log that are not there
                answer = ui.client.request(verb, address, headers=sent)
                if due is None:
                    assert answer.status_code in (200, 404), (path, verb, caller, answer.status_code)
                else:
                    assert answer.status_code == due, (path, verb, caller, answer.status_code)
    assert ui.cells() == CELLS
