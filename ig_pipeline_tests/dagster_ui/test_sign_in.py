"""With an admin token Dagster's UI asks for it: of browsers once, of programs with every request."""

from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy as sa
from websockets.exceptions import InvalidStatus

from ig_pipeline.settings import Settings
from ig_pipeline.storage.database import open_engine
from ig_pipeline.storage.tables import web_sessions
from ig_pipeline.web.access import AddressRefusedError, check_ui_exposure
from ig_pipeline_tests.dagster_ui.site import COUNT, SIGNED_IN, Site, site
from ig_pipeline_tests.dagster_ui.test_gate import CROSS_SITE, subscribe
from ig_pipeline_tests.web.front_door import ADMIN, ADMIN_TOKEN, PAGE, READER

PUBLIC = "https://dagster.example.com"


@pytest.fixture
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("ui"), **SIGNED_IN) as served:
        yield served


def sign_in(ui: Site, token: str = ADMIN_TOKEN, destination: str = "/runs", **headers: str) -> httpx.Response:
    return ui.client.post("/sign-in", data={"token": token, "destination": destination}, headers=headers)


def test_nothing_of_dagster_is_shown_without_the_token(ui: Site) -> None:
    for path in ("/", "/runs", "/graphql", "/logs/a/b.err", "/download_debug/x", "/favicon.svg", "/_next/x.js"):
        page = ui.client.get(path, headers=PAGE)
        assert (page.status_code, "Sign in to Dagster" in page.text) == (401, True), path
    for wrong in ({}, READER, {"Authorization": f"{ADMIN['Authorization']}x"}, {"Cookie": "ig_operator=x"}):
        assert ui.ask(COUNT, **wrong).status_code == 401
    assert ui.client.get("/server_info").status_code == 200, "for health checks"
    with pytest.raises(InvalidStatus):
        subscribe(ui, origin=ui.address)


def test_a_program_brings_the_token(ui: Site) -> None:
    assert ui.client.post("/graphql", json={"query": COUNT}, headers=ADMIN).json() == {"data": {"version": ""}}
    assert ui.client.post("/graphql", json={"query": COUNT}, headers={**ADMIN, **CROSS_SITE}).status_code == 403
    assert subscribe(ui, origin=ui.address, additional_headers=ADMIN)["type"] == "data"


def test_a_browser_is_signed_in_until_it_signs_out_and_no_copy_of_its_cookie_outlives_that(ui: Site) -> None:
    wrong = sign_in(ui, "something else")
    assert (wrong.status_code, "not the token" in wrong.text) == (401, True)
    answer = sign_in(ui)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/"))
    assert ADMIN_TOKEN not in cookie
    assert ui.ask(COUNT).status_code == 200
    copy = {"Cookie": cookie.partition(";")[0]}
    assert ui.client.get("/sign-out").status_code == 200, "asks first"
    assert ui.ask(COUNT).status_code == 200
    ui.client.post("/sign-out")
    for headers in ({}, copy):
        assert ui.ask(COUNT, **headers).status_code == 401


def test_each_sign_in_is_another_session_and_none_leads_elsewhere(ui: Site) -> None:
    first, second = (sign_in(ui, destination="//evil.example/") for _ in range(2))
    assert first.headers["location"] == second.headers["location"] == "/"
    assert first.headers["set-cookie"] != second.headers["set-cookie"]


def test_a_page_of_another_site_signs_no_one_in_or_out(ui: Site) -> None:
    assert sign_in(ui, **CROSS_SITE).status_code == 403
    sign_in(ui)
    assert ui.client.post("/sign-out", headers=CROSS_SITE).status_code == 403
    assert ui.ask(COUNT).status_code == 200


def test_guessing_has_a_limit_and_the_right_token_has_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    with site(tmp_path_factory.mktemp("ui"), **SIGNED_IN, public_requests_per_minute=3) as ui:
        assert [sign_in(ui, f"guess {n}").status_code for n in range(5)] == [401] * 3 + [429] * 2
        assert sign_in(ui).status_code == 303
        assert sign_in(ui, "x" * 70_000).status_code == 413


def test_behind_a_proxy_with_tls_the_cookie_is_bound_to_the_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    with site(tmp_path_factory.mktemp("ui"), **SIGNED_IN, ui_url=PUBLIC) as ui:
        through = {"Host": "dagster.example.com", "X-Forwarded-For": "203.0.113.9", "Origin": PUBLIC}
        answer = sign_in(ui, **through)
        assert answer.headers["set-cookie"].startswith("__Host-ig_operator=")
        assert "Secure" in answer.headers["set-cookie"]
        assert "strict-transport-security" in answer.headers
        planted = {"Cookie": f"ig_operator={answer.headers['set-cookie'].partition('=')[2].partition(';')[0]}"}
        assert ui.client.post("/graphql", json={"query": COUNT}, headers=through | planted).status_code == 401
        cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        for origin, status in ((PUBLIC, 200), ("http://dagster.example.com", 403)):
            asked = {**through, **cookie, "Origin": origin}
            assert ui.client.post("/graphql", json={"query": COUNT}, headers=asked).status_code == status


def test_what_is_stored_of_a_session_opens_none(ui: Site) -> None:
    cookie = sign_in(ui).headers["set-cookie"].partition("=")[2].partition(";")[0]
    engine = open_engine(ui.settings.effective_database_url)
    with engine.connect() as db:
        (row,) = db.execute(sa.select(web_sessions)).all()
    engine.dispose()
    assert row.role == "operator"
    assert row.id_hash not in cookie
    for value in (row.id_hash, cookie[:-4] + "AAAA", cookie + "x", "", "x" * 600, "v1.x.y"):
        assert httpx.get(f"{ui.address}/runs", headers={"Cookie": f"ig_operator={value}"}).status_code == 401


def test_while_the_database_is_away_people_are_told_so_and_programs_served(ui: Site) -> None:
    sign_in(ui)
    engine = open_engine(ui.settings.effective_database_url)
    with engine.begin() as db:
        db.execute(sa.text("alter table web_sessions rename to away"))
    engine.dispose()
    for answer in (ui.ask(COUNT), ui.client.get("/runs", headers=PAGE), sign_in(ui)):
        assert (answer.status_code, answer.json()["type"]) == (503, "database_unavailable")
    assert httpx.post(f"{ui.address}/graphql", json={"query": COUNT}, headers=ADMIN).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "dagster.example.com", ""])
def test_without_the_token_the_ui_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(AddressRefusedError, match="IG_PIPELINE_ADMIN_TOKEN"):
        check_ui_exposure(Settings(), host)
    check_ui_exposure(Settings.model_validate(SIGNED_IN), host)


def test_without_the_token_the_ui_has_no_address_elsewhere() -> None:
    with pytest.raises(AddressRefusedError, match="IG_PIPELINE_ADMIN_TOKEN"):
        check_ui_exposure(Settings(ui_url=PUBLIC), "127.0.0.1")
    check_ui_exposure(Settings(ui_url="http://localhost:3000"), "127.0.0.1")
