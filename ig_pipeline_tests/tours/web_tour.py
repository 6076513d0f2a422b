"""`make tour-web`: the front door in a real browser, with both logins, Dagster running behind.

Consent, progress, chart, files and their pictures, a token that dies and is renewed, a deletion. Keeps pictures of
every step, on a desk and on a phone, light and dark; exits non-zero when a step does not show what it must.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect

from ig_pipeline.cli.children import free_port
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline_tests.cli.up_process import wait_for as until
from ig_pipeline_tests.tours.browser import PATIENCE, Album, chromium, new_page

BUSY, QUIET = "acme.studio", "harbor.bakery"
EMAILS = {BUSY: "owner@acme.example", QUIET: "hello@harbor.example"}
# From a request to its end takes ten seconds alone, three minutes on two cores with forty processes waiting.
wait = partial(until, seconds=600)
ADMIN_TOKEN, API_TOKEN = "admin-token-of-the-tour", "reader-token-of-the-tour"


@dataclass(frozen=True)
class Deployment:
    """A running service, and the simulated Instagram it talks to."""

    address: str
    simulator: str
    login: str
    signed_in: bool
    """Whether its pages ask for the API token first."""

    def admin(self, method: str, path: str, **query: str) -> dict[str, Any]:
        """An answer to the admin."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        answer = httpx.request(method, self.address + path, params=query, headers=headers, timeout=PATIENCE)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def carry_out(self, path: str, email: str, **query: str) -> None:
        """Ask for work, and wait until Dagster has ended it, well or not."""
        (request,) = self.admin("POST", path, email=email, **query)["requests"]

        def ended() -> bool:
            return self.admin("GET", f"/v1/sync/requests/{request['id']}")["status"] in ("done", "failed")

        wait(ended, what=f"the end of {path}")


def main(folder: Path) -> None:
    with chromium() as browser:
        for login in ("facebook", "instagram"):
            # The second one's pages are behind the API token.
            with tempfile.TemporaryDirectory() as data, deployment(Path(data), login) as deployed:
                tour(browser, deployed, Album(folder / login))
            print(f"ok  {login}: consent, chart, pictures, reconnect, deletion", flush=True)


def tour(browser: Browser, deployed: Deployment, album: Album) -> None:
    """From an empty service to a deleted account."""
    page = new_page(browser)
    complaints = complaints_of(page)
    if deployed.signed_in:
        signing_in(page, deployed, album)
    first_history(page, deployed, album)
    two_connections(page, deployed, album)
    posts_with_their_pictures(page, deployed, album)
    # From here on refusals are part of the tour, and the browser reports each.
    assert complaints == [text for text in complaints if deployed.signed_in and "401" in text], complaints
    token_that_dies(page, deployed, album)
    refusals(page, deployed, album)
    deletion(page, deployed, album)
    page.context.close()


def complaints_of(page: Page) -> list[str]:
    """What the page's console reports as an error, as it comes."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def to_consent(page: Page, address: str, email: str) -> None:
    """From the front page to Meta's dialog."""
    page.goto(address)
    if page.locator(".adder").count():
        page.locator(".adder summary").click()
    page.get_by_label("Email").fill(email)
    page.locator(".connect button").click()
    expect(page.get_by_role("button", name="Continue")).to_be_visible()


def connect(page: Page, address: str, who: str, email: str, *, album: Album | None = None) -> None:
    """From the front page through the dialog and back."""
    to_consent(page, address, email)
    page.locator(f'input[name="as"][value="{who}"]').check()
    if album:
        album.take_all_forms(page, "consent")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile("/connected"))


def signing_in(page: Page, deployed: Deployment, album: Album) -> None:
    page.goto(deployed.address)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("API token").fill("something else")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("That is not the token")).to_be_visible()
    album.take_all_forms(page, "sign-in")
    page.get_by_label("API token").fill(API_TOKEN)
    page.get_by_role("button", name="Sign in").click()


def first_history(page: Page, deployed: Deployment, album: Album) -> None:
    page.goto(deployed.address)
    expect(page.get_by_role("heading", name="thirty days")).to_be_visible()
    album.take_all_forms(page, "empty")
    connect(page, deployed.address, BUSY, EMAILS[BUSY], album=album)
    expect(page.get_by_text("on its way")).to_be_visible()
    album.take_all_forms(page, "started")
    # Thirty days are written within a second: a page that looks every few may see the beginning and the end alone.
    finished = page.get_by_role("heading", name="Your last 30 days are here")
    moving = page.get_by_text(re.compile(r"\b[1-9]\d* of 30 days"))
    expect(moving.or_(finished).first).to_be_visible()
    album.take_all_forms(page, "progress")
    expect(finished).to_be_visible()
    assert page.locator(".lead .wide .hit").count() == 30
    assert page.locator('.lead .wide .hit[data-value="no data yet"]').count() == 0
    album.take_all_forms(page, "connected")


def two_connections(page: Page, deployed: Deployment, album: Album) -> None:
    connect(page, deployed.address, QUIET, EMAILS[QUIET])
    expect(page.get_by_role("heading", name="Your last 30 days are here")).to_be_visible()
    page.goto(deployed.address)
    expect(page.get_by_role("link", name=BUSY)).to_be_visible()
    album.take_all_forms(page, "connections")
    page.locator(".adder summary").click()
    album.take_all_forms(page, "another-one")
    page.locator(".adder summary").click()
    page.get_by_role("link", name=BUSY).click()
    expect(page.get_by_role("heading", name=BUSY)).to_be_visible()
    page.locator(".lead .wide .hit").nth(20).hover()
    expect(page.locator(".lead .tip")).to_contain_text("accounts reached")
    album.take(page, "hover")
    page.mouse.move(0, 0)
    page.get_by_text("Show the numbers").first.click()
    album.take_all_forms(page, "account-before-its-files")


def posts_with_their_pictures(page: Page, deployed: Deployment, album: Album) -> None:
    month = instagram_day(datetime.now(UTC)) - timedelta(days=30)
    deployed.carry_out("/v1/media/backfill", EMAILS[BUSY], since=month.isoformat())
    page.goto(f"{deployed.address}/accounts/{BUSY}")
    assert page.locator(".post img").count() == page.locator(".post").count() == 6
    for image in page.locator(".post img").all():
        assert image.evaluate("e => e.decode().then(() => e.naturalWidth)"), "a picture is not drawn"
    album.take_all_forms(page, "account")


def token_that_dies(page: Page, deployed: Deployment, album: Album) -> None:
    httpx.post(f"{deployed.simulator}/_simulator/tokens/{QUIET}/revoke").raise_for_status()
    deployed.carry_out("/v1/sync/run", EMAILS[QUIET])
    page.goto(deployed.address)
    expect(page.get_by_role("button", name="Reconnect")).to_be_visible()
    album.take_all_forms(page, "connections-one-to-reconnect")
    page.get_by_role("link", name=QUIET).click()
    expect(page.get_by_text("Reconnect needed")).to_be_visible()
    album.take_all_forms(page, "account-to-reconnect")
    page.get_by_role("button", name="Reconnect").click()
    page.locator(f'input[name="as"][value="{QUIET}"]').check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile("/connected"))
    album.take_all_forms(page, "reconnected")


def refusals(page: Page, deployed: Deployment, album: Album) -> None:
    page.goto(f"{deployed.address}/v1/connections/instagram/callback?state=forged&code=x")
    expect(page.get_by_role("heading", name="was not started here")).to_be_visible()
    album.take_all_forms(page, "refused-forged")
    to_consent(page, deployed.address, EMAILS[BUSY])
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(re.compile(re.escape(deployed.address)))
    album.take_all_forms(page, "refused-declined")
    to_consent(page, deployed.address, EMAILS[BUSY])
    page.locator('input[name="granted"][value*="insights"]').uncheck()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile(re.escape(deployed.address)))
    album.take_all_forms(page, "refused-permission")
    page.goto(f"{deployed.address}/accounts/nobody")
    expect(page.get_by_role("heading", name="no such account")).to_be_visible()
    album.take_all_forms(page, "nothing-there")


def deletion(page: Page, deployed: Deployment, album: Album) -> None:
    asked = deployed.admin("DELETE", "/v1/users", email=EMAILS[BUSY])
    page.goto(str(asked["url"]))
    expect(page.get_by_role("heading", name=re.compile("The data is"))).to_be_visible()
    album.take_all_forms(page, "deletion")

    def done() -> bool:
        page.reload()
        return page.get_by_role("heading", name="The data is deleted").count() > 0

    wait(done, what="the deletion's end")
    album.take_all_forms(page, "deleted")


@contextmanager
def deployment(data: Path, login: str) -> Iterator[Deployment]:
    """A simulated Instagram and `ig-pipeline up` on it."""
    command = [sys.executable, "-m", "ig_pipeline.cli"]
    simulated = [*command, "simulator", "--port", "0", "--json", "--accounts", "3", "--latency", "120"]
    with running(simulated, {}) as simulator:
        assert simulator.stdout is not None
        url = json.loads(simulator.stdout.readline())["url"]
        app = httpx.get(f"{url}/_simulator").json()
        address = f"http://127.0.0.1:{free_port()}"
        settings = {
            "DATA_DIR": str(data),
            "GRAPH_URL": url,
            "APP_ID": app["app_id"],
            "APP_SECRET": app["app_secret"],
            "LOGIN": login,
            "WEB_PORT": address.rpartition(":")[2],
            "ADMIN_TOKEN": ADMIN_TOKEN,
            **({"API_TOKEN": API_TOKEN} if login == "instagram" else {}),
        }
        with running([*command, "up", "--quiet", "--port", str(free_port())], settings):
            wait_for(f"{address}/readyz")
            yield Deployment(address, url, login, "API_TOKEN" in settings)


@contextmanager
def running(command: list[str], settings: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process with these settings, in a session of its own as `up` starts its own; stopped by a signal at the end."""
    environment = os.environ | {f"IG_PIPELINE_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_for(url: str) -> None:
    """Until `url` answers."""

    def answers() -> bool:
        try:
            return httpx.get(url, timeout=2).is_success
        except httpx.TransportError:
            return False

    wait(answers, what=url)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    print(f"Pictures: {sys.argv[1]}")
