"""Files that the page offers to save. Their names contain no patient data."""

from __future__ import annotations

import base64
import io
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gradio_app.open_study import OpenStudy, Place, file_number
from ich_cli.core.errors import IchError
from ich_cli.core.explain import explain
from ich_cli.core.predict import SLICE_COLUMNS, Format, open_table, slice_row
from ich_cli.core.viz import Panel, draw_panel

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor
    from ich_cli.core.report import StudyResult


@dataclass(frozen=True)
class ExportRequest:
    """Study, bundle, slice and label to export."""

    study: OpenStudy
    bundle: str
    predictor: Predictor
    place: Place
    label: str


def export_csv(request: ExportRequest) -> bytes:
    """Return the table of all slices, as `ich predict` writes it, with numbers as file names."""
    stream = io.BytesIO()
    with open_table(stream, Format.csv, SLICE_COLUMNS) as table:
        for row in request.study.rows(request.bundle):
            table.append({**slice_row(row), "path": f"file {file_number(row.id)}"})
    return stream.getvalue()


def export_png(request: ExportRequest) -> bytes:
    """Return the slice beside the map of the label, as `ich explain` draws it."""
    ct, around = request.study.read(request.predictor, request.place)
    found = explain(request.predictor, ct, [request.label], neighbours=around)
    panel = Panel(
        ct, found.maps, found.probabilities, request.predictor.thresholds, found.method,
        request.predictor.caveat,
    )  # fmt: skip
    stream = io.BytesIO()
    draw_panel(panel).savefig(stream, format="png", dpi=160, metadata={"Software": None})
    return stream.getvalue()


def export_report(request: ExportRequest) -> bytes:
    """Return the study's report as one page, as `ich predict --report` writes it."""
    from ich_cli.core.report import render_report

    return render_report(_result(request)).encode("utf-8")


def export_dicom(request: ExportRequest) -> bytes:
    """Return a zip of the Structured Report and the maps, as `ich predict --dicom` writes them."""
    from ich_cli.core.report import write_dicom

    stream = io.BytesIO()
    with (
        tempfile.TemporaryDirectory(prefix="save-", dir=request.study.folder) as folder,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in write_dicom(_result(request), Path(folder, "dicom")):
            archive.write(path, path.name)
    return stream.getvalue()


def _result(request: ExportRequest) -> StudyResult:
    """Return the result of the study that holds the slice."""
    from ich_cli.core.report import study_results

    study = request.study
    predictions = study.predictions(request.bundle)
    wanted, refused = predictions[request.place[0]], study.found.refused
    results = study_results(request.predictor, predictions, refused, limits=study.limits)
    return next(one for one in results if wanted in one.group.series)


@dataclass(frozen=True)
class ExportFormat:
    """A file format to export, with its button, tooltip, file name and MIME type."""

    button: str
    about: str
    name: str
    type: str
    make: Callable[[ExportRequest], bytes]


EXPORT_FORMATS: Final = {
    "csv": ExportFormat("CSV", "All slices, one per row", "ich-slices.csv", "text/csv", export_csv),
    "png": ExportFormat("PNG", "This slice and its map", "ich-slice.png", "image/png", export_png),
    "html": ExportFormat(
        "Report", "The study's report", "ich-report.html", "text/html", export_report
    ),
    "dicom": ExportFormat(
        "DICOM SR", "Structured Report and maps", "ich-dicom.zip", "application/zip", export_dicom
    ),
}


def export(name: object, request: ExportRequest) -> dict[str, str]:
    """Return a file for the page: ``name``, ``type`` and base64 ``data``.

    Raises
    ------
    IchError
        For an unknown format, an unfinished study, or a missing slice.
    """
    chosen = EXPORT_FORMATS.get(name) if isinstance(name, str) else None
    if chosen is None:
        raise IchError(f"unknown format: choose one of {', '.join(EXPORT_FORMATS)}")
    if not request.study.is_predicted(request.bundle):
        raise IchError("the study is not finished yet; wait until all slices are done")
    data = base64.b64encode(chosen.make(request)).decode("ascii")
    return {"name": chosen.name, "type": chosen.type, "data": data}


def card_html(markdown: str) -> str:
    """Return a model card as HTML, without its front matter and raw HTML."""
    from markdown_it import MarkdownIt

    text = re.sub(r"\A---\n.*?\n---", "", markdown, flags=re.DOTALL)
    if not text.strip():
        return "<p>This bundle has no model card.</p>"
    rendered: Any = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return str(rendered)
