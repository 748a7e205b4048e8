"""The page in a browser: nothing sent, shown, stored or saved identifies a patient."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.privacy.ground import Ground
from tests.support.browsing import Visit, browser, chromium
from tests.support.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEPT = """async () => JSON.stringify([
    {...localStorage}, {...sessionStorage}, document.cookie, location.href, document.title,
    [...document.querySelectorAll('input')].map((one) => [one.value, one.title]),
    await indexedDB.databases()])"""


def listen(page: Page, ground: Ground) -> None:
    """Record all responses of the server, and the console."""

    def heard(response: Response) -> None:
        with suppress(Exception):  # a redirect has no body, a stream that goes on has none yet
            ground.output.append((f"answer to {response.url}", response.text()))
        ground.output.append((f"headers of {response.url}", str(response.headers)))

    page.on("response", heard)
    page.on("console", lambda message: ground.output.append(("console", message.text)))


def test_content_of_the_page(browser: Browser, ground: Ground) -> None:
    chromium()
    files = [path for path in sorted(ground.home.iterdir()) if path.is_file()]
    with serving(ground.temporary, "-w", str(ground.bundle)) as served:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(120_000)
        page = context.new_page()
        listen(page, ground)
        visit = Visit(page, served.address)
        visit.open(files)
        for kind in ("csv", "png", "html", "dicom"):
            with page.expect_download() as waiting:
                page.locator(f"[data-export={kind}]").click()
            name = waiting.value.suggested_filename
            (ground.work / name).write_bytes(Path(waiting.value.path()).read_bytes())
        refused = visit.at("refused").inner_text()
        ground.output += [("page", page.content()), ("kept by the page", page.evaluate(KEPT))]
        context.close()
        served.process.send_signal(signal.SIGTERM)
        out, err = served.process.communicate(timeout=120)
    ground.output += [("stdout of serve", out), ("stderr of serve", err)]

    assert "not used" in refused
    assert len(list(ground.work.iterdir())) == 4
    assert any(name.startswith("answer to") and len(text) > 10_000 for name, text in ground.output)
    ground.check()
