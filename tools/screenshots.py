"""Take the screenshots of the page in docs/images, with the default bundle.

    python -m tools.screenshots

Needs the packages of `pip install -e '.[dev]'` and Chromium on the path.
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

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
PORT = 7899
DONE = ".ich[data-phase=done]"
FAITHFULNESS = "[data-el=faithfulness]:has-text('Faithfulness')"
TIMEOUT_MS = 240_000


def main() -> None:
    """Serve the page and save its screenshots."""
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
        save_example(browser, address)
        save_series(browser, address, Path(folder))
        save_phone(browser, address)
        browser.close()
        server.send_signal(signal.SIGINT)


def visit(browser: Browser, address: str, width: int, height: int, scale: float = 1) -> Page:
    """Open the page and wait until its example is analysed and explained."""
    size = {"width": width, "height": height}
    page = browser.new_page(viewport=size, device_scale_factor=scale)  # type: ignore[arg-type]
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    page.wait_for_selector(DONE)
    page.wait_for_selector(FAITHFULNESS)
    return page


def save_example(browser: Browser, address: str) -> None:
    """Save the example in the dark theme, with a heat map."""
    page = visit(browser, address, 1360, 900)
    page.screenshot(path=IMAGES / "serve.png", full_page=True)
    page.close()


def save_series(browser: Browser, address: str, folder: Path) -> None:
    """Save two studies in the light theme, with contours and a refused file."""
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
    page.wait_for_selector(FAITHFULNESS)
    page.screenshot(path=IMAGES / "serve-series.png", full_page=True)
    page.close()


def save_phone(browser: Browser, address: str) -> None:
    """Save the first screen of the example on a phone."""
    page = visit(browser, address, 390, 844, scale=2)
    page.screenshot(path=IMAGES / "serve-phone.png")
    page.close()


if __name__ == "__main__":
    main()
