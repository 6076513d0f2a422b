"""A headless Chromium and a numbered album of pictures."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

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


@contextmanager
def browser_page(*, width: int = 1400, height: int = 900) -> Iterator[Page]:
    """A page in the machine's Chromium (CHROMIUM names another), or in the one `playwright install` brings."""
    path = os.environ.get("CHROMIUM") or next((found for name in _NAMES if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


class Album:
    """Pictures in the order they are taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        self._number = 0

    def take(self, page: Page, name: str) -> Path:
        """A picture of what the page shows now."""
        self._number += 1
        path = self.folder / f"{self._number:02}-{name}.png"
        page.screenshot(path=path)
        return path
