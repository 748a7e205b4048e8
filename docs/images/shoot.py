"""Make the pictures of the page again, with the bundle that ships: `python docs/images/shoot.py`.

It needs the packages of `pip install -e '.[dev]'` and a Chromium on the path.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from ich_cli.core.phantom import write_studies

HERE = Path(__file__).parent
PORT = 7899
DONE = ".ich[data-phase=done]"
FAITH = "[data-el=faithfulness]:has-text('Faithfulness')"
PATIENCE_MS = 240_000


def main() -> None:
    """Serve the page, visit it, save what it looks like."""
    command = [sys.executable, "-m", "ich_cli", "serve", "--port", str(PORT), "--quiet"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as playwright,
    ):
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
        )
        desk(browser, address)
        series(browser, address, Path(folder))
        phone(browser, address)
        browser.close()
        server.send_signal(signal.SIGINT)


def visit(browser: Browser, address: str, width: int, height: int, scale: float = 1) -> Page:
    """Open the page and wait until its example is analysed and its map explained."""
    size = {"width": width, "height": height}
    page = browser.new_page(viewport=size, device_scale_factor=scale)  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.wait_for_selector(DONE)
    page.wait_for_selector(FAITH)
    return page


def desk(browser: Browser, address: str) -> None:
    """Show the example in the dark room: a map as heat."""
    page = visit(browser, address, 1360, 900)
    page.screenshot(path=HERE / "serve.png", full_page=True)
    page.close()


def series(browser: Browser, address: str, folder: Path) -> None:
    """Open two studies in the light room: contours, a file refused."""
    for number, (seed, slices) in enumerate([(2010, 23), (2008, 40)]):
        write_studies(folder / str(number), 1, seed=seed, size=384, slices=(slices, slices))
    for other in (*folder.rglob("*.csv"), *folder.rglob("*.npz"), *folder.rglob("*.json")):
        other.unlink()
    (folder / "notes.txt").write_text("no image", "utf-8")
    page = visit(browser, address, 1360, 900)
    page.locator("[data-do=theme]").click()
    page.locator("[data-el=folder]").set_input_files(folder)
    page.wait_for_selector("[data-el=series] [role=tab] >> nth=1")
    page.wait_for_selector(DONE)
    page.locator("[data-mode=lines]").click()
    page.wait_for_selector("canvas[data-shown*='lines']")
    page.wait_for_selector(FAITH)
    page.screenshot(path=HERE / "serve-series.png", full_page=True)
    page.close()


def phone(browser: Browser, address: str) -> None:
    """Show the example on a phone: its first screen."""
    page = visit(browser, address, 390, 844, scale=2)
    page.screenshot(path=HERE / "serve-phone.png")
    page.close()


if __name__ == "__main__":
    main()
