"""A headless Chromium, and albums of the pictures it takes. What is looked at stands in the tours."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

# Flags for root and for networks without a way out; a page of ours needs none of what they switch off.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SIZES = {"desk": (1280, 860), "phone": (390, 844)}
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# An answer takes a fraction of a second alone; on two cores with four other Dagsters, half a minute has been seen.
PATIENCE = 300.0


def installed_chromium() -> str | None:
    """The machine's own (CHROMIUM names another); None when it has none."""
    return os.environ.get("CHROMIUM") or next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """The machine's Chromium, or the one `playwright install` brings; its profile is new and empty."""
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed_chromium(), args=[*_ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser, *, width: int = 1280, height: int = 860, javascript: bool = True) -> Page:
    """A page of its own context: without anybody's cookies."""
    context = browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=javascript)
    context.set_default_timeout(PATIENCE * 1000)
    return context.new_page()


class Album:
    """Numbered pictures in the order they are taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        self._number = 0

    def take(self, page: Page, name: str) -> None:
        """What the page shows once it has come to rest."""
        self._path(name).write_bytes(_at_rest(page))

    def take_all_forms(self, page: Page, name: str) -> None:
        """The whole page on a desk and on a phone, light and dark. Fails where it is wider than the screen."""
        path = self._path(name)
        for size, (width, height) in _SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            for scheme in _SCHEMES:
                # Without transitions: a picture is taken sooner than colours have faded into each other.
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.screenshot(path=path.with_stem(f"{path.stem}_{size}_{scheme}"), full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name}: wider than a {size}"
        page.emulate_media(color_scheme="light", reduced_motion="no-preference")
        desk_width, desk_height = _SIZES["desk"]
        page.set_viewport_size({"width": desk_width, "height": desk_height})

    def _path(self, name: str) -> Path:
        self._number += 1
        return self.folder / f"{self._number:02}-{name}.png"


def _at_rest(page: Page) -> bytes:
    """A picture that is the same half a second later: canvases and spinners tell nobody when they are done.

    What moves for ever (a clock, a progress bar) is taken as it is after twenty seconds.
    """
    deadline = time.monotonic() + 20
    before, now = b"", page.screenshot()
    while before != now and time.monotonic() < deadline:
        page.wait_for_timeout(500)
        before, now = now, page.screenshot()
    return now
