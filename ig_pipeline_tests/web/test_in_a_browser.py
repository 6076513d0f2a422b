"""The short form of `make tour-web`: consent to chart in a real Chromium, with its script and without any."""

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import anyio
import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from ig_pipeline.storage.connections import by_account_key, mark_initial_backfill_requested
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.media_files.results import BackfillOptions, Watcher
from ig_pipeline.sync.media_files.runs import backfill_account
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.session import SyncRun
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.tours.browser import chromium, installed_chromium, new_page
from ig_pipeline_tests.tours.web_tour import complaints_of, connect
from ig_pipeline_tests.web.front_door import API_TOKEN, FrontDoor, front_door

WHO = "acme.studio"
# Neither loopback nor with TLS: to such a name browsers do not say how a page is related to what it asks.
NAME = "insights.test"
T = TypeVar("T")

pytestmark = [
    # On one worker, so that one browser serves both.
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        installed_chromium() is None,
        reason="no Chromium here: install Debian's chromium (apt-get install chromium), or name one in CHROMIUM",
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as started:
        yield started


def elsewhere(work: Callable[[], Awaitable[T]]) -> T:
    """What Dagster does meanwhile, in a thread: the browser's own event loop holds this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, work).result()


def thirty_days_arrive(small: SmallWorld) -> None:
    days = small.window()
    with small.engine.begin() as db:
        connection = by_account_key(db, WHO)
        mark_initial_backfill_requested(db, connection.id, first=days[0], last=days[-1], now=small.clock())
    elsewhere(lambda: small.sync([WHO]))


def files_arrive(small: SmallWorld) -> None:
    async def backfill() -> None:
        async with open_services(small.settings, clock=small.clock) as services, open_media(small.settings) as media:
            options = BackfillOptions(media_types="feed", since=small.window()[0])
            await backfill_account(SyncRun(services, "r"), media, WHO, options, Watcher(), triggered_by="test")

    elsewhere(backfill)


def drawn(page: Page) -> list[bool]:
    """For each picture of a post whether there is something to see."""
    return [
        bool(image.evaluate("e => e.decode().then(() => e.naturalWidth)")) for image in page.locator(".post img").all()
    ]


def test_a_person_connects_and_sees_the_days_and_pictures_arrive(browser: Browser, door_on_sqlite: FrontDoor) -> None:
    page = new_page(browser)
    complaints = complaints_of(page)
    connect(page, door_on_sqlite.settings.effective_public_url, WHO, "owner@acme.example")
    expect(page.get_by_text("on its way")).to_be_visible()
    thirty_days_arrive(door_on_sqlite.small)
    expect(page.get_by_role("heading", name="Your last 30 days are here")).to_be_visible()  # by the page's script
    assert page.locator(".lead .wide .hit").count() == 30
    page.locator(".lead .wide .hit").nth(20).hover()
    expect(page.locator(".lead .tip")).to_contain_text("accounts reached")
    files_arrive(door_on_sqlite.small)
    page.goto(f"{door_on_sqlite.settings.effective_public_url}/accounts/{WHO}")
    assert drawn(page) == [True] * 6
    assert complaints == []
    page.context.close()


def test_without_javascript_everything_is_there_to_read(browser: Browser, door_on_sqlite: FrontDoor) -> None:
    page = new_page(browser, width=390, height=844, javascript=False)
    connect(page, door_on_sqlite.settings.effective_public_url, WHO, "owner@acme.example")
    thirty_days_arrive(door_on_sqlite.small)
    expect(page.get_by_role("heading", name="Your last 30 days are here")).to_be_visible()  # by `<noscript>`'s refresh
    expect(page.locator(".lead .narrow svg")).to_be_visible()
    page.get_by_text("Show the numbers").first.click()
    assert page.locator(".lead tbody tr").count() == 30
    expect(page.locator(".lead tbody tr").first).to_be_visible()
    page.get_by_role("link", name="Instagram insights").click()
    page.get_by_role("link", name=WHO).click()
    expect(page.get_by_role("heading", name=WHO)).to_be_visible()
    page.context.close()


def test_our_forms_are_known_as_ours_without_tls_too(browser: Browser, small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, api_token=SecretStr(API_TOKEN), allowed_hosts=(NAME,)) as door:
        page = new_page(browser)
        page.goto(f"http://{NAME}:{door.port}/")
        page.get_by_label("API token").fill(API_TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="thirty days")).to_be_visible()
        page.get_by_label("Email").fill("owner@acme.example")
        page.locator(".connect button").click()
        expect(page.get_by_role("button", name="Continue")).to_be_visible()
        page.goto(f"http://{NAME}:{door.port}/connect?email=owner@acme.example")
        expect(page.get_by_text("owner@acme.example")).to_be_visible()
        page.get_by_role("button", name="continue").click()
        expect(page.locator('input[name="as"]').first).to_be_visible()
        page.context.close()
