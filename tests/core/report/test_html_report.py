"""Tests of the HTML report: content, self-containment, and accessibility."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from ich_cli.core.errors import OutputError
from ich_cli.core.labels import LABELS
from ich_cli.core.phantom import write_studies
from ich_cli.core.report import StudyResult, html_report, render_report, write_report
from ich_cli.core.report.html_report import choose_slices
from ich_cli.core.report.probability_lanes import lanes, y_of
from ich_cli.core.study.quality_gate import Reason
from ich_cli.core.viz import html
from tests.support.dicom import series
from tests.support.reports import result

CSS = Path(html.__file__).with_name("templates") / "report.css"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_studies(folder, 1, 5, size=64, slices=(12, 12), thickness=(5, 5))
    return folder / "study-0001"


@pytest.fixture(scope="module")
def study(tiny_bundle: Path, phantom: Path) -> StudyResult:
    slices = sorted(phantom.glob("*.dcm"))
    return result(tiny_bundle, *slices, any=0.0, subdural=0.0)


@pytest.fixture(scope="module")
def page(study: StudyResult) -> str:
    return render_report(study)


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.seen if tag == name]


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    raw = [np.frombuffer(base64.b64decode(one), np.uint8) for one in found]
    return [cv2.imdecode(one, cv2.IMREAD_COLOR) for one in raw]


def test_report_states_result_model_and_limitations(page: str, study: StudyResult) -> None:
    assert study.study.verdict in page
    assert f"{study.study.probabilities[0]:.3f}" in page  # type: ignore[index]
    assert page.count("Research use only, not a medical device.") == 2
    assert "never saw a real CT" in page
    assert study.predictor.bundle.config.sha256 in page
    assert "nothing: random numbers" in page
    assert study.study.study_uid in page
    assert "only 55 mm of the head" in page  # 12 slices of 5 mm: the gate speaks up
    assert page.count("<tr>") == 1 + len(LABELS) + 1 + 12  # two tables, one row per slice


def test_report_says_which_series_was_used(study: StudyResult, page: str) -> None:
    note = "answered from series 1.5: 5.0 mm; 2 other series not used"

    noted = render_report(replace(study, study=replace(study.study, note=note)))

    assert f"<p><strong>Note:</strong> {note}.</p>" in noted
    assert "<strong>Note:</strong>" not in page


def test_report_has_no_scripts_links_or_requests(page: str) -> None:
    tags = _Tags(page)

    assert not tags.of("script")
    assert not tags.of("link")
    assert "default-src 'none'" in str(tags.of("meta"))
    assert {str(one["src"])[:22] for one in tags.of("img")} == {"data:image/png;base64,"}
    for attributes in (attributes for _, attributes in tags.seen):
        assert not {"href", "srcset", "action", "onload", "background"} & set(attributes)
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"\b(https?|wss?|ftp):", page)


def test_every_image_and_chart_has_a_text_alternative(page: str) -> None:
    tags = _Tags(page)

    assert all(str(one["alt"]).startswith(("Slice ", "The same slice")) for one in tags.of("img"))
    charts = tags.of("svg")
    assert len(charts) == 6
    assert all(one["role"] == "img" and "highest" in str(one["aria-label"]) for one in charts)
    assert tags.of("html")[0]["lang"] == "en"
    assert {one.get("scope") for one in tags.of("th")} == {"col", "row"}


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_has_contrast(scheme: str) -> None:
    """WCAG 2 AA: 4.5 to 1 for text."""
    blocks = re.findall(r":root\s*{(.*?)}", CSS.read_text(), re.S)
    colours = dict(re.findall(r"--([\w-]+):\s*(#\w+)", blocks[0]))
    if scheme != "light":
        colours |= dict(re.findall(r"--([\w-]+):\s*(#\w+)", blocks[1 if scheme == "dark" else 2]))

    for text, ground in (
        *(("text", g) for g in ("ground", "raised")),
        *(("quiet", g) for g in ("ground", "raised")),
        *((t, g) for t in ("positive", "accent") for g in ("ground", "raised")),
        *((v, f"{v}-soft") for v in ("positive", "unsure", "negative")),
    ):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    channels = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_highlighted_slices_are_the_top_ones(study: StudyResult) -> None:
    chosen = choose_slices(study)

    p = [one.row.by_label() for one in study.slices]
    assert next(iter(chosen)) is study.slices[int(np.argmax([one["any"] for one in p]))]
    subdural = study.slices[int(np.argmax([one["subdural"] for one in p]))]
    assert "subdural" in chosen[subdural]
    assert all(labels[0] == "any" for labels in chosen.values())
    assert len(chosen) <= html_report.MAX_IMAGES


def test_pictures_show_the_head_and_its_maps(page: str, study: StudyResult) -> None:
    shown = choose_slices(study)
    found = pictures(page)

    assert len(found) == sum(1 + len(labels) for labels in shown.values())
    assert all(max(one.shape) == 440 for one in found)
    assert all(one.max() > 200 for one in found)  # bone


def test_text_from_files_is_escaped(study: StudyResult) -> None:
    evil = "<script>alert(1)</script>&\"'"
    (series,) = study.group.series
    rows = tuple(replace(row, note=evil) for row in series.slices)
    group = replace(study.group, series=[replace(series, slices=rows)])
    worded = replace(study.study, quality=(Reason("metal", evil),), study_uid=evil, note=evil)

    page = render_report(replace(study, group=group, study=worded))

    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;") == 4


def test_text_burned_into_the_background_is_removed(
    phantom: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    for path in sorted(phantom.glob("*.dcm"))[3:9]:
        image = pydicom.dcmread(path)
        pixels = image.pixel_array.copy()
        pixels[1:4, 1:12] = 1024 + 300  # a bright bar stands for a line of text
        image.PixelData = pixels.tobytes()
        image.save_as(tmp_path / path.name)
    study = result(tiny_bundle, tmp_path, any=0.0)
    mapped = html_report.explain_slice(study, next(iter(choose_slices(study))), ["any"])

    assert mapped.ct.hu[2, 5] == 300
    assert (html_report.mask_background(mapped.ct)[:5, :13] == 0).all()
    assert (html_report.overlay_map(mapped, "any")[:5, :13] == 0).all()
    assert html_report.mask_background(mapped.ct).max() == 255


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ({"BurnedInAnnotation": "YES"}, False),
        ({"BurnedInAnnotation": "NO"}, True),
        ({}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, False),  # a captured screen
    ],
)
def test_slices_that_may_show_patient_data_have_no_image(
    elements: dict[str, str], shown: bool, tiny_bundle: Path, tmp_path: Path
) -> None:
    series(tmp_path, [0, 5, 10], **elements)

    page = render_report(result(tiny_bundle, tmp_path, any=0.0))

    assert bool(pictures(page)) == shown
    assert ("Not shown: patient data may be burned into the pixels" in page) != shown


def test_a_deleted_file_has_no_image_in_the_report(tiny_bundle: Path, tmp_path: Path) -> None:
    paths = series(tmp_path, [0, 5, 10])
    study = result(tiny_bundle, tmp_path, any=0.0)
    for path in paths:
        path.unlink()

    page = render_report(study)

    assert "Not shown: the file was deleted or changed" in page
    assert pictures(page) == []


def test_report_is_written_atomically(
    study: StudyResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{study.name}.html"
    path.write_text("old")

    def fail(_: StudyResult) -> str:
        raise OutputError("the disk is full")

    monkeypatch.setattr(html_report, "render_report", fail)
    with pytest.raises(OutputError):
        write_report(study, path)

    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert re.fullmatch(r"study-[0-9a-f]{12}", study.name)


def test_lanes_are_drawn_to_scale() -> None:
    """Lanes are 48 high with a margin of 3: the y coordinate of p is 3 + 42 (1 - √p)."""
    assert [y_of(p) for p in (0, 0.25, 1)] == [45, 24, 3]
    p = np.zeros((4, 6))
    p[:, 0] = [0, 0.25, 1, 0]

    first = lanes(p, dict.fromkeys(LABELS, 0.25))[0]

    assert first.line == "75,45 225,24 375,3 525,45"  # 600 wide, slices in the middle of theirs
    assert first.threshold == 24
    assert first.over == ((150, 300),)
    assert (first.peak, first.at) == (1, 3)
