"""Tests of the page in Chromium: user actions, and no requests to other servers."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pydicom
import pytest

from ich_cli.core.labels import LABELS
from tests.support.browsing import DONE, Visit, browser, chromium
from tests.support.proxy import PREFIX, proxied
from tests.support.serving import CAVEAT, PATIENT, Served, named_study, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(
    tiny_bundle: Path, other_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    chromium()
    temporary = tmp_path_factory.mktemp("served")
    with serving(temporary, "-w", str(tiny_bundle), "-w", str(other_bundle)) as served:
        yield served


@pytest.fixture
def visit(browser: Browser, site: Served) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    found = Visit(context.new_page(), site.address)
    yield found
    context.close()
    assert found.problems == []


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return named_study(tmp_path_factory.mktemp("study"), slices=8)


def test_page_opens_with_an_analysed_example(visit: Visit) -> None:
    assert "a synthetic head" in visit.at("verdict").inner_text()
    assert "Research use only, not a medical device." in visit.at("caveat").inner_text()
    assert CAVEAT in visit.at("caveat").inner_text()
    assert visit.page.locator("[data-el=bars] [role=radio]").count() == len(LABELS)
    assert visit.page.locator("[data-el=topslices] button").count() == 6
    visit.page.wait_for_selector("canvas[data-shown*='heat any']")


def test_upload_shows_results_without_patient_names(
    visit: Visit, study: list[Path], tmp_path: Path
) -> None:
    notes = tmp_path / f"{PATIENT}.txt"
    notes.write_text("no image")

    visit.open([*study, notes])

    visit.count(f"{visit.at('slider').input_value()} / 8")
    assert "1 file not used" in visit.at("refused").inner_text()
    assert "File 9: not DICOM" in visit.at("refused").inner_text()
    assert "Planted" not in visit.page.content()


def test_slider_wheel_keys_chart_and_thumbnails_change_the_slice(
    visit: Visit, study: list[Path]
) -> None:
    visit.open(study)

    visit.at("slider").fill("3")
    visit.shows("2 heat any")
    visit.at("stage").hover()
    visit.page.mouse.wheel(0, 60)
    visit.count("4 / 8")
    visit.shows("3 heat any")
    visit.at("stage").focus()
    visit.page.keyboard.press("ArrowUp")
    visit.count("5 / 8")
    visit.page.keyboard.press("End")
    visit.count("8 / 8")
    box = visit.page.locator("[data-el=chart] svg").bounding_box()
    assert box is not None
    visit.page.mouse.click(box["x"] + box["width"] * 1.5 / 8, box["y"] + 20)
    visit.count("2 / 8")
    thumbnail = visit.page.locator("[data-el=topslices] button").first
    place = int(thumbnail.get_attribute("data-position") or "-1")
    thumbnail.click()
    visit.count(f"{place + 1} / 8")


def test_windows_change_the_image(visit: Visit) -> None:
    visit.page.locator("[data-mode=off]").click()
    brain = visit.checksum()

    visit.page.locator("[data-el=windows] button", has_text="bone").click()
    assert visit.at("center").input_value() == "600"
    assert visit.at("width").input_value() == "2800"
    assert visit.checksum() != brain
    visit.at("center").fill("40")
    visit.at("width").fill("80")
    visit.at("width").press("Enter")
    assert visit.checksum() == brain


def test_map_is_drawn_only_right_of_the_split(visit: Visit) -> None:
    shown = visit.at("slider").input_value()
    index = int(shown) - 1
    visit.page.locator("[data-el=bars] [role=radio]", has_text="subdural").click()
    visit.shows(f"{index} heat subdural")
    painted = visit.checksum()
    visit.page.locator("[data-mode=lines]").click()
    visit.shows(f"{index} lines subdural")
    assert visit.checksum() != painted
    visit.page.locator("[data-mode=off]").click()
    bare = visit.checksum()
    bare_left = visit.left_half()
    visit.page.locator("[data-mode=heat]").click()
    assert visit.checksum() == painted

    visit.do("compare")

    assert visit.left_half() == bare_left
    visit.at("splitter").fill("0")
    assert visit.checksum() == painted
    visit.at("splitter").fill("100")
    assert visit.checksum() == bare


def test_bundle_is_switched_and_its_card_shown(visit: Visit, study: list[Path]) -> None:
    visit.open(study)
    values = visit.page.locator(".ich-value")
    first = values.all_inner_texts()

    visit.at("bundle").select_option("other")
    visit.page.wait_for_function(
        "old => [...document.querySelectorAll('.ich-value')].map(v => v.innerText) != old",
        arg=",".join(first),
    )
    visit.page.wait_for_selector(DONE)
    assert values.all_inner_texts() != first
    visit.do("card")
    visit.at("card").wait_for()
    assert "Research use only" in visit.at("cardtext").inner_text()
    visit.page.keyboard.press("Escape")
    assert visit.at("card").is_hidden()


def test_saves_table_picture_report_and_dicom(visit: Visit, study: list[Path]) -> None:
    visit.open(study)
    saved = {}
    for kind in ("csv", "png", "html", "dicom"):
        with visit.page.expect_download() as waiting:
            visit.page.locator(f"[data-export={kind}]").click()
        saved[waiting.value.suggested_filename] = Path(waiting.value.path())

    assert list(saved) == ["ich-slices.csv", "ich-slice.png", "ich-report.html", "ich-dicom.zip"]
    rows = list(csv.DictReader(saved["ich-slices.csv"].read_text("utf-8").splitlines()))
    assert [row["path"] for row in rows] == [f"file {number}" for number in range(1, 9)]
    assert saved["ich-slice.png"].read_bytes().startswith(b"\x89PNG")
    assert "Result for the study" in saved["ich-report.html"].read_text("utf-8")
    with zipfile.ZipFile(saved["ich-dicom.zip"]) as archive:
        assert archive.namelist()[0] == "report.dcm"
        contents = b"".join(archive.read(name) for name in archive.namelist())
    whole = contents + b"".join(path.read_bytes() for path in saved.values())
    assert b"Planted" not in whole


def test_folder_with_several_series_has_a_tab_each(visit: Visit, tmp_path: Path) -> None:
    named_study(tmp_path / "a", slices=4)
    named_study(tmp_path / "b", slices=6, seed=4)

    visit.at("folder").set_input_files(tmp_path)
    visit.page.wait_for_selector("[data-el=series] [role=tab] >> nth=1")
    visit.page.wait_for_selector(DONE)
    tabs = visit.page.locator("[data-el=series] [role=tab]")
    found = sorted(int(re.findall(r"(\d+) slices", text)[0]) for text in tabs.all_inner_texts())
    assert found == [4, 6]
    for number in range(2):
        slices = re.findall(r"(\d+) slices", tabs.nth(number).inner_text())[0]
        tabs.nth(number).click()
        visit.page.wait_for_selector(f"[data-el=count]:text('/ {slices}')")


def test_unreadable_upload_shows_an_error_and_the_next_one_works(
    visit: Visit, study: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "scan.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"junk" * 100)

    visit.at("files").set_input_files([broken])
    visit.page.wait_for_selector("[data-el=refused]:has-text('File 1:')")
    assert visit.at("error").inner_text().startswith("No slice could be read")
    assert visit.at("placeholder").inner_text() == "No slice to show"
    visit.open(study)
    visit.page.wait_for_selector("[data-el=count]:text('/ 8')")
    assert visit.at("refused").is_hidden()
    assert visit.at("error").is_hidden()


def many(study: list[Path], folder: Path) -> list[Path]:
    """Write 320 slices, each with a UID of its own: a few seconds of work."""
    paths = [folder / f"{number:03d}" for number in range(320)]
    for number, path in enumerate(paths):
        data = study[number % len(study)].read_bytes()
        uid = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).SOPInstanceUID
        path.write_bytes(data.replace(uid.encode(), f"{uid[:-3]}{number:03d}".encode()))
    return paths


def test_running_study_is_cancelled_and_another_follows(
    visit: Visit, study: list[Path], tmp_path: Path
) -> None:
    visit.page.evaluate(
        """() => { const status = document.querySelector('[data-el=status]');
        const watcher = new MutationObserver(() => {
            if (!/^[1-9][0-9]* of 320/.test(status.textContent)) return;
            watcher.disconnect();
            document.querySelector('[data-do=cancel]').click();  // at once: all takes two seconds
        });
        watcher.observe(status, { subtree: true, childList: true, characterData: true }); }"""
    )
    visit.at("files").set_input_files(many(study, tmp_path))
    visit.page.wait_for_selector(".ich[data-phase=cancelled]")

    found = re.fullmatch(r"Cancelled after (\d+) of 320", visit.at("status").inner_text())
    assert found is not None
    assert 0 < int(found[1]) < 320
    assert visit.page.locator("[data-do=cancel]").is_hidden()
    assert visit.page.locator(
        "[data-export=csv]"
    ).is_disabled()  # an unfinished study cannot be exported
    visit.open(study)
    visit.page.wait_for_selector("[data-el=count]:text('/ 8')")


def test_running_upload_is_cancelled(visit: Visit, study: list[Path]) -> None:
    visit.page.route("**/upload", lambda route: None)  # it never finishes

    visit.at("files").set_input_files(study)
    visit.page.wait_for_selector("[data-el=status]:text-is('Uploading')")
    visit.do("cancel")

    visit.page.wait_for_selector("[data-el=status]:text-is('Cancelled')")
    assert visit.at("error").is_hidden()
    visit.page.unroute("**/upload")
    visit.open(study)


def test_first_slice_is_shown_before_any_probability(
    visit: Visit, study: list[Path], tmp_path: Path
) -> None:
    visit.page.evaluate(
        """() => { window.events = [];
        const canvas = document.querySelector('[data-el=canvas]');
        const note = () => window.events.push([canvas.dataset.shown,
            [...document.querySelectorAll('.ich-value')].some(v => /[0-9]/.test(v.textContent))]);
        new MutationObserver(note).observe(document.querySelector('.ich'),
            { subtree: true, childList: true, attributes: true }); }"""
    )

    visit.at("files").set_input_files(many(study, tmp_path))
    visit.page.wait_for_function(
        "document.querySelector('[data-el=count]').innerText.endsWith('/ 320')"
    )
    visit.page.wait_for_function("window.events.at(-1)[1]")

    events = visit.page.evaluate("window.events")
    after = events[
        next(at for at, one in enumerate(events) if one[0] == "") :
    ]  # the example was closed
    assert next(one for one in after if one[0])[1] is False
    assert after[-1][1] is True


def test_two_users_see_only_their_own_study(
    browser: Browser, site: Served, visit: Visit, study: list[Path], tmp_path: Path
) -> None:
    visit.open(study)
    context = browser.new_context()
    other = Visit(context.new_page(), site.address)
    other.open(named_study(tmp_path, slices=5, seed=9))

    assert visit.at("count").inner_text().endswith("/ 8")
    assert other.at("count").inner_text().endswith("/ 5")
    before = len(site.files)
    context.close()  # the session ends and its files are deleted
    for _ in range(100):
        if len(site.files) <= before - 5:
            break
        visit.page.wait_for_timeout(100)
    assert len(site.files) == before - 5
    visit.at("slider").fill("1")
    visit.shows("0 heat any")
    assert other.problems == []


def test_phone_needs_no_horizontal_scrolling(browser: Browser, site: Served) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 740}, has_touch=True)
    visit = Visit(context.new_page(), site.address)

    wide = visit.page.evaluate("document.documentElement.scrollWidth")
    outside = visit.page.evaluate(
        """() => [...document.querySelectorAll('.ich button, .ich input:not([hidden]), .ich h1')]
        .filter(e => e.offsetParent && e.getBoundingClientRect().right > 376)
        .map(e => e.outerHTML)"""
    )

    assert wide == 375
    assert outside == []
    context.close()
    assert visit.problems == []


def test_keyboard_alone_reaches_everything(visit: Visit) -> None:
    page = visit.page
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.dataset.el || "
                                     "document.activeElement.dataset.do || "
                                     "document.activeElement.dataset.export || '')"))  # fmt: skip
    assert {"bundle", "card", "theme", "pick", "stage", "slider", "csv", "dicom"} <= set(reached)

    visit.at("stage").focus()
    page.keyboard.press("2")
    assert visit.at("width").input_value() == "200"
    page.keyboard.press("m")
    assert page.locator("[data-mode=off]").get_attribute("aria-pressed") == "true"
    page.locator("[role=radio][aria-checked=true]").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("[role=radio][aria-checked=true]").inner_text().startswith("epidural")


def test_nothing_moves_while_a_study_is_read(visit: Visit, study: list[Path]) -> None:
    def places() -> list[list[float]]:
        found: list[list[float]] = visit.page.evaluate(
            """() => ['stage', 'slider', 'chart', 'verdict', 'bars', 'drop'].map(name => {
            const b = document.querySelector(`[data-el=${name}]`).getBoundingClientRect();
            return [b.left, b.top, b.width] })"""
        )
        return found

    before = places()[:4]
    visit.open(study)
    assert places()[:4] == before


def test_light_theme_is_remembered(visit: Visit) -> None:
    dark = visit.page.evaluate("getComputedStyle(document.querySelector('.ich')).backgroundColor")
    visit.do("theme")
    light = visit.page.evaluate("getComputedStyle(document.querySelector('.ich')).backgroundColor")
    assert (dark, light) == ("rgb(11, 14, 18)", "rgb(244, 246, 248)")
    visit.page.reload()
    visit.page.wait_for_selector(DONE)
    again = visit.page.evaluate("getComputedStyle(document.querySelector('.ich')).backgroundColor")
    assert again == light


def test_page_works_below_the_path_of_a_proxy(
    browser: Browser, tiny_bundle: Path, study: list[Path], tmp_path: Path
) -> None:
    options = ["-w", str(tiny_bundle), "--root-path", PREFIX]
    with serving(tmp_path, *options) as served, proxied(served.address) as address:
        context = browser.new_context()
        page = context.new_page()
        requested: list[str] = []
        page.on("request", lambda request: requested.append(urlsplit(request.url).path))
        visit = Visit(page, f"{address}/")
        visit.open(study)
        with page.expect_download() as waiting:
            page.locator("[data-export=csv]").click()
        rows = Path(waiting.value.path()).read_text("utf-8").splitlines()
        manifest = page.evaluate(
            """async () => { const link = document.querySelector('link[rel=manifest]').href;
            const read = await (await fetch(link)).json();
            const icon = await fetch(new URL(read.icons[0].src, link));
            return [new URL(link).pathname, icon.status] }"""
        )
        context.close()

    assert len(rows) == 9
    assert manifest == [f"{PREFIX}/manifest.json", 200]
    assert f"{PREFIX}/gradio_api/upload" in requested
    below = {path for path in requested if path.startswith((f"{PREFIX}/", "blob:"))}
    # the browser requests these two before the page can set their paths
    assert set(requested) - below <= {"/manifest.json", "/favicon.ico"}
    assert [one for one in visit.problems if "404" not in one] == []
