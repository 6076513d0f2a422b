"""What a real browser does for a page of another site, and for the person who sits before Dagster's UI."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from ig_pipeline_tests.dagster_ui.site import CELLS, SIGNED_IN, WIPE, site
from ig_pipeline_tests.tours.browser import chromium, installed_chromium, new_page
from ig_pipeline_tests.web.front_door import ADMIN_TOKEN

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        installed_chromium() is None,
        reason="no Chromium here: install Debian's chromium (apt-get install chromium), or name one in CHROMIUM",
    ),
]

# A name of another site that leads to this machine: what an attacker's name server answers after the page has loaded.
EVIL = "evil.test"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as started:
        yield started


@contextmanager
def page_of_another_site(html: str) -> Iterator[str]:
    """The address of a page that says `html`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the parent's name
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{EVIL}:{server.server_port}/"
        finally:
            server.shutdown()


def attack(how: str, address: str) -> str:
    """A page that has its visitor's browser send the order, and says so in its title when an answer came."""
    url = f"{address}/graphql?query={quote(WIPE)}"
    json_order = f"JSON.stringify({{query: {WIPE!r}}})"
    done = "document.title = 'sent'"
    scripts = {
        "image": f"const i = new Image(); i.onload = i.onerror = () => {{ {done} }}; i.src = '{url}'",
        "text": f"fetch('{address}/graphql', {{method: 'POST', mode: 'no-cors', body: {json_order}, "
        f"headers: {{'Content-Type': 'text/plain; application/json'}}}}).finally(() => {{ {done} }})",
        "json": f"fetch('{address}/graphql', {{method: 'POST', body: {json_order}, "
        f"headers: {{'Content-Type': 'application/json'}}}}).finally(() => {{ {done} }})",
        "report": f"fetch('{address}/report_asset_materialization/cells?partition=evil', "
        f"{{method: 'POST', mode: 'no-cors'}}).finally(() => {{ {done} }})",
        "form": f"const f = document.createElement('form'); f.method = 'POST'; f.target = 'frame'; f.action = '{url}'; "
        f"document.body.append(f); document.querySelector('iframe').onload = () => {{ {done} }}; f.submit()",
        "socket": f"const s = new WebSocket('{address.replace('http', 'ws')}/graphql', 'graphql-ws'); "
        f"s.onopen = () => {{ document.title = 'open' }}; s.onerror = () => {{ {done} }}",
    }
    return f"<!doctype html><body><iframe name=frame></iframe><script>{scripts[how]}</script>"


def visit(browser: Browser, html: str, *, title: str) -> None:
    page = new_page(browser)
    with page_of_another_site(html) as evil:
        page.goto(evil)
        expect(page).to_have_title(title)
    page.context.close()


@pytest.mark.parametrize("how", ["image", "form", "text", "json", "report"])
def test_a_page_of_another_site_changes_nothing(browser: Browser, tmp_path: Path, how: str) -> None:
    with site(tmp_path) as ui:
        visit(browser, attack(how, ui.address), title="sent")
        assert ui.cells() == CELLS


@pytest.mark.parametrize(("how", "left"), [("image", 0), ("form", 0), ("text", 0), ("report", CELLS + 1)])
def test_the_same_pages_change_a_dagster_without_the_gate(
    browser: Browser, tmp_path: Path, how: str, left: int
) -> None:
    """Else the test above would prove nothing. (A browser asks first whether it may send JSON.)"""
    with site(tmp_path, behind_a_gate=False) as bare:
        visit(browser, attack(how, bare.address), title="sent")
        assert bare.cells() == left


def test_a_page_of_another_site_opens_no_socket(browser: Browser, tmp_path: Path) -> None:
    with site(tmp_path / "bare", behind_a_gate=False) as bare:
        visit(browser, attack("socket", bare.address), title="open")
    with site(tmp_path / "gated") as ui:
        visit(browser, attack("socket", ui.address), title="sent")


def test_a_name_that_was_turned_to_this_machine_reads_nothing(browser: Browser, tmp_path: Path) -> None:
    read = (
        "fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
        "body: JSON.stringify({query: '{assetNodes{id}}'})}).then(answer => answer.text())"
    )
    with site(tmp_path / "bare", behind_a_gate=False) as bare:
        page = new_page(browser)
        page.goto(f"http://{EVIL}:{bare.port}/favicon.svg")
        assert page.evaluate(read) == '{"data":{"assetNodes":[]}}'
        page.context.close()
    with site(tmp_path / "gated") as ui:
        page = new_page(browser)
        page.goto(f"http://{EVIL}:{ui.port}/favicon.svg")
        assert '"foreign_host"' in page.evaluate(read)
        page.context.close()


def test_no_page_shows_the_ui_in_a_frame(browser: Browser, tmp_path: Path) -> None:
    """Under a transparent frame of the UI a person would press its buttons without seeing them."""
    with site(tmp_path) as ui:
        page = new_page(browser)
        with page_of_another_site(f"<iframe src='{ui.address}/runs'></iframe>") as evil:
            page.goto(evil)
            page.wait_for_load_state("networkidle")
            assert [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"]
        page.context.close()


def test_the_uis_own_page_works(browser: Browser, tmp_path: Path) -> None:
    with site(tmp_path) as ui:
        page = new_page(browser)
        refused: list[str] = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        with (
            page.expect_websocket() as socket,
            page.expect_response(lambda answer: "/graphql?op=RunsFeedRootQuery" in answer.url) as answer,
        ):
            page.goto(f"{ui.address}/runs")
        expect(page.get_by_role("link", name="Runs").first).to_be_visible()
        assert socket.value.url == f"ws://127.0.0.1:{ui.port}/graphql"
        assert answer.value.status == 200
        assert refused == []
        page.context.close()


def test_an_operator_signs_in_and_out(browser: Browser, tmp_path: Path) -> None:
    with site(tmp_path, **SIGNED_IN) as ui:
        page = new_page(browser)
        page.goto(f"{ui.address}/runs")
        expect(page.get_by_role("heading", name="Sign in to Dagster")).to_be_visible()
        page.get_by_label("Admin token").fill("something else")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("That is not the token")).to_be_visible()
        page.get_by_label("Admin token").fill(ADMIN_TOKEN)
        with page.expect_websocket():
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("link", name="Runs").first).to_be_visible()
        assert page.url == f"{ui.address}/runs"
        page.goto(f"{ui.address}/sign-out")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in to Dagster")).to_be_visible()
        page.goto(f"{ui.address}/runs")
        expect(page.get_by_role("heading", name="Sign in to Dagster")).to_be_visible()
        page.context.close()


def test_a_page_of_another_site_does_nothing_for_one_who_is_signed_in(browser: Browser, tmp_path: Path) -> None:
    with site(tmp_path, **SIGNED_IN) as ui:
        page = new_page(browser)
        page.goto(f"{ui.address}/runs")
        page.get_by_label("Admin token").fill(ADMIN_TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Runs").first).to_be_visible()
        for how in ("image", "form", "text", "json", "report", "socket"):
            with page_of_another_site(attack(how, ui.address)) as evil:
                page.goto(evil)
                expect(page).to_have_title("sent")
        assert ui.cells() == CELLS
        page.context.close()
