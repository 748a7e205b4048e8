"""Files that the page offers to save. Their names say nothing of whom they are about."""

from __future__ import annotations

import base64
import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gradio_app.open_study import Study
from ich_cli.core.errors import IchError
from ich_cli.core.explain import explain
from ich_cli.core.predict import SLICE_COLUMNS, Format, open_table, slice_row
from ich_cli.core.viz import Panel, draw_panel

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor
    from ich_cli.core.report import StudyResult


@dataclass(frozen=True)
class Wish:
    """What is to be saved: of which study, by which bundle, at which slice."""

    study: Study
    bundle: str
    predictor: Predictor
    index: int
    label: str


def save_csv(wish: Wish) -> bytes:
    """Return the table of all slices, as `ich predict` writes it; files are called by number."""
    stream = io.BytesIO()
    with open_table(stream, Format.csv, SLICE_COLUMNS) as table:
        for entry, row in zip(wish.study.entries, wish.study.rows[wish.bundle], strict=True):
            table.append({**slice_row(row), "path": f"file {wish.study.file_number(entry)}"})
    return stream.getvalue()


def save_png(wish: Wish) -> bytes:
    """Return the slice beside the map of the label, as `ich explain` draws it."""
    ct, around = wish.study.read(wish.predictor, wish.index)
    found = explain(wish.predictor, ct, [wish.label], neighbours=around)
    panel = Panel(
        ct, found.maps, found.probabilities, wish.predictor.thresholds, found.method,
        wish.predictor.caveat,
    )  # fmt: skip
    stream = io.BytesIO()
    draw_panel(panel).savefig(stream, format="png", dpi=160, metadata={"Software": None})
    return stream.getvalue()


def save_report(wish: Wish) -> bytes:
    """Return the study's report as one page, as `ich predict --report` writes it."""
    from ich_cli.core.report import render_report

    return render_report(_result(wish)).encode("utf-8")


def save_dicom(wish: Wish) -> bytes:
    """Return a zip of the Structured Report and the maps, as `ich predict --dicom` writes them."""
    from ich_cli.core.report import write_dicom

    stream = io.BytesIO()
    with (
        tempfile.TemporaryDirectory(prefix="save-", dir=wish.study.folder) as folder,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in write_dicom(_result(wish), Path(folder, "dicom")):
            archive.write(path, path.name)
    return stream.getvalue()


def _result(wish: Wish) -> StudyResult:
    from ich_cli.core.report import study_results

    rows, limits = wish.study.rows[wish.bundle], wish.study.limits
    entry = wish.study.entries[wish.index] if 0 <= wish.index < len(rows) else None
    results = study_results(wish.predictor, wish.study.entries, rows, limits=limits)
    for result in results:
        if any(one is entry for one in result.entries):
            return result
    raise IchError("this slice belongs to no study: its file has no StudyInstanceUID")


@dataclass(frozen=True)
class Kind:
    """A kind of file to save."""

    button: str
    about: str
    name: str
    type: str
    make: Callable[[Wish], bytes]


KINDS: Final = {
    "csv": Kind("CSV", "All slices, one a row", "ich-slices.csv", "text/csv", save_csv),
    "png": Kind("PNG", "This slice and its map", "ich-slice.png", "image/png", save_png),
    "html": Kind("Report", "The study's report", "ich-report.html", "text/html", save_report),
    "dicom": Kind(
        "DICOM SR", "Structured Report and maps", "ich-dicom.zip", "application/zip", save_dicom
    ),
}


def save(kind: object, wish: Wish) -> dict[str, str]:
    """Return a file for the page: ``name``, ``type`` and base64 ``data``.

    Raises
    ------
    IchError
        For an unknown kind, a study that is not done, or a slice that is gone.
    """
    chosen = KINDS.get(kind) if isinstance(kind, str) else None
    if chosen is None:
        raise IchError(f"a file to save is one of {', '.join(KINDS)}")
    rows = wish.study.rows.get(wish.bundle, ())
    if not rows or len(rows) < len(wish.study.entries):
        raise IchError("the study is not done yet")
    data = base64.b64encode(chosen.make(wish)).decode("ascii")
    return {"name": chosen.name, "type": chosen.type, "data": data}


def card_html(markdown: str) -> str:
    """Return a model card as HTML. Raw HTML and front matter in it are left out."""
    from markdown_it import MarkdownIt

    text = markdown
    if text.startswith("---\n") and "\n---" in text[4:]:
        text = text[4:].split("\n---", 1)[1]
    if not text.strip():
        return "<p>This bundle has no card.</p>"
    rendered: Any = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return str(rendered)
