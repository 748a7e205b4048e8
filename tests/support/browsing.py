"""Chromium for tests of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
DONE = ".ich[data-phase=done]"


def chromium() -> str:
    """Return where Chromium is; skip without it, or fail if ICH_REQUIRE_BROWSER is 1."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
    if found is None:
        if os.environ.get("ICH_REQUIRE_BROWSER") == "1":
            pytest.fail("ICH_REQUIRE_BROWSER=1, but there is no chromium on the path")
        pytest.skip("no chromium on the path: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield started
        started.close()


class Visit:
    """An open page and its problems: console errors, requests to other machines."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", lambda m: m.type == "error" and self.problems.append(m.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._check(request.url))
        page.goto(address)
        page.wait_for_selector(DONE)

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.problems.append(f"a request to {url}")

    def at(self, name: str) -> Locator:
        return self.page.locator(f"[data-el={name}]")

    def do(self, name: str) -> None:
        self.page.locator(f"[data-do={name}]:visible").first.click()

    def open(self, paths: list[Path]) -> None:
        self.at("files").set_input_files(paths)
        self.page.wait_for_selector(f"{DONE}:not(:has([data-el=verdict] p:text('example')))")

    def shows(self, what: str) -> None:
        """Wait until the canvas shows an index and map, such as ``5 heat any``."""
        self.page.wait_for_selector(f"canvas[data-shown='{what}']")

    def count(self, text: str) -> None:
        self.page.wait_for_selector(f"[data-el=count]:text-is('{text}')")

    def left_half(self) -> str:
        """Return the pixels of the left half of the canvas, without a margin."""
        found: str = self.at("canvas").evaluate(
            """c => { const w = Math.floor(0.48 * c.width);
            return c.getContext('2d').getImageData(0, 0, w, c.height).data.join() }"""
        )
        return found

    def checksum(self) -> str:
        found: str = self.at("canvas").evaluate("c => c.toDataURL()")
        return found
