"""`make tour-web`: a person connects Instagram in a real browser, with both logins, Dagster running behind.

Saves a picture of every step, on a desk and on a phone, light and dark, in the folder it names; exits non-zero when
a step does not show what it must.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from ig_pipeline.cli.ports import free_port

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desk": (1280, 860), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WHO = "acme.studio"
# The days arrive in seconds; a machine with other work to do gets more time.
PATIENCE_MS = 120_000


def main(folder: Path) -> None:
    """Both logins, one after the other."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        for login in ("facebook", "instagram"):
            with tempfile.TemporaryDirectory() as data, deployment(Path(data), login) as address:
                tour(browser, address, folder / login)
        browser.close()


def tour(browser: Browser, address: str, folder: Path) -> None:
    """From an empty service to thirty days on a chart."""
    folder.mkdir(parents=True, exist_ok=True)
    page = browser.new_context().new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    expect(page.get_by_role("heading", name="thirty days")).to_be_visible()
    shoot(page, folder / "1_empty")
    page.get_by_label("Email").fill("owner@acme.example")
    page.get_by_role("button", name="Connect Instagram").click()
    expect(page.get_by_role("button", name="Continue")).to_be_visible()
    shoot(page, folder / "2_consent")
    page.locator(f'input[name="as"][value="{WHO}"]').check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile("/connected"))
    expect(page.get_by_text("on its way")).to_be_visible()
    shoot(page, folder / "3_started")
    # Thirty days are written within a second: a page that looks every few may see the beginning and the end alone.
    finished = page.get_by_role("heading", name="Your last 30 days are here")
    moving = page.get_by_text(re.compile(r"\b[1-9]\d* of 30 days"))
    expect(moving.or_(finished).first).to_be_visible(timeout=PATIENCE_MS)
    shoot(page, folder / "4_progress")
    expect(finished).to_be_visible(timeout=PATIENCE_MS)
    assert page.locator(".lead .wide .hit").count() == 30
    assert page.locator('.lead .wide .hit[data-value="no data yet"]').count() == 0
    shoot(page, folder / "5_connected")
    page.goto(address)
    shoot(page, folder / "6_connections")
    page.get_by_role("link", name=WHO).click()
    expect(page.get_by_role("heading", name=WHO)).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 860})
    page.locator(".lead .wide .hit").nth(20).hover()
    expect(page.locator(".lead .tip")).to_contain_text("accounts reached")
    page.screenshot(path=folder / "7_hover.png")
    shoot(page, folder / "8_account")
    page.goto(f"{address}/v1/connections/instagram/callback?state=forged&code=x")
    expect(page.get_by_role("heading", name="was not started here")).to_be_visible()
    shoot(page, folder / "9_refused")
    # The refusal above is the one error a browser may report.
    assert not [text for text in complaints if "400" not in text], complaints
    page.context.close()


def shoot(page: Page, path: Path) -> None:
    """The page as it is, on a desk and a phone, light and dark."""
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=path.with_name(f"{path.name}_{size}_{scheme}.png"), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path.name}: wider than {size}"
    page.emulate_media(color_scheme="light")


@contextmanager
def deployment(data: Path, login: str) -> Iterator[str]:
    """A simulated Instagram and `ig-pipeline up` on it; the front door's address."""
    command = [sys.executable, "-m", "ig_pipeline.cli"]
    simulated = [*command, "simulator", "--port", "0", "--json", "--accounts", "3", "--latency", "120"]
    with running(simulated, {}) as simulator:
        assert simulator.stdout is not None
        url = json.loads(simulator.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/_simulator") as answer:  # our own address
            app = json.load(answer)
        port = free_port()
        settings = {
            "DATA_DIR": str(data),
            "GRAPH_URL": url,
            "APP_ID": app["app_id"],
            "APP_SECRET": app["app_secret"],
            "LOGIN": login,
            "WEB_PORT": str(port),
        }
        with running([*command, "up", "--quiet", "--port", str(free_port())], settings):
            wait_for(f"http://127.0.0.1:{port}/readyz")
            yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], settings: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process with these settings, in a session of its own as `up` starts its own; stopped by a signal at the end."""
    environment = os.environ | {f"IG_PIPELINE_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str) -> None:
    """Until `url` answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


if __name__ == "__main__":
    pictures = Path(sys.argv[1] if len(sys.argv) > 1 else "tour/web").resolve()
    main(pictures)
    print(f"Pictures: {pictures}")
