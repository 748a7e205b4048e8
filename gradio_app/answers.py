"""What the demo page shows, as plain values: no web page is needed to compute or test it.

File names never reach the page, for they may hold a patient's name: an upload is "file 3".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ich_cli.core import series
from ich_cli.core.config import Limits
from ich_cli.core.ctslice import CTSlice
from ich_cli.core.errors import IchError, InputError, LimitError, NothingFoundError
from ich_cli.core.gradcam import explain
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.overlay import blend, edge_letters, picture
from ich_cli.core.prediction import SlicePrediction, by_study
from ich_cli.core.predictor import Predictor
from ich_cli.core.reading import Around, Entry, Reader
from ich_cli.core.sources import printable

SLICE_HEADERS = ("slice", "file", "instance", *LABELS, "over threshold", "note")
REFUSED_HEADERS = ("file", "status", "reason")

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Answers:
    """The answers for one upload. Slices are numbered from 1 as they follow in the body."""

    entries: Sequence[Entry]
    """As `series.scan` found them."""
    rows: Sequence[SlicePrediction]
    """One an entry."""
    files: Sequence[int]
    """Number of the uploaded file that each entry came from."""
    limits: Limits

    @property
    def answered(self) -> list[int]:
        """Indices of the entries with probabilities: slice number k is ``answered[k - 1]``."""
        return [i for i, row in enumerate(self.rows) if row.probabilities]

    @property
    def worst(self) -> int:
        """Number of the slice with the highest probability of `any`; 0 without slices."""
        return max(range(1, len(self.answered) + 1), key=lambda k: self.six(k)[ANY], default=0)

    def six(self, number: int) -> tuple[float, ...]:
        """Return the six probabilities of slice `number`."""
        return self.rows[self.answered[number - 1]].probabilities or ()


@dataclass(frozen=True)
class View:
    """One slice to look at."""

    picture: Picture
    """uint8 ``(H, W, 3)``: the brain window."""
    overlay: Picture | None
    """The same with Grad-CAM over it; None where it was not asked for or is not to be had."""
    caption: str


def demo_limits(max_file_mb: int) -> Limits:
    """Return bounds for uploads: one file, all that a zip unpacks to, and its members."""
    size = max_file_mb * 2**20
    return Limits(max_file_bytes=size, max_zip_bytes=8 * size, max_zip_entries=5000)


def analyse(
    predictor: Predictor,
    paths: Sequence[Path],
    limits: Limits,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Answers:
    """Answer for all slices of an upload.

    Parameters
    ----------
    predictor
        Loaded bundle.
    paths
        Uploaded files, in the order in which they are numbered.
    limits
        Bounds on what is read.
    progress
        Called after each slice with the number done and the number of all.

    Raises
    ------
    IchError
        If nothing was uploaded, or the upload is gone.
    """
    if not paths:
        raise NothingFoundError("no file was chosen; choose DICOM files or a zip of them")
    try:
        entries = series.scan(paths, limits)
    except NothingFoundError:  # its text names the file
        raise NothingFoundError("the upload is no longer there; upload it again") from None
    rows: list[SlicePrediction] = []
    for row in predictor.stream(entries, limits=limits):
        rows.append(row)
        progress(len(rows), len(entries))
    return Answers(entries, rows, [_file_number(entry, paths) for entry in entries], limits)


def headline(answers: Answers) -> str:
    """Return what matters first, as Markdown: each study's highest probability of `any`."""
    count = len(answers.answered)
    refused = len(answers.rows) - count
    tail = f" {refused} refused, see below." if refused else ""
    if not count:
        return f"### No slice could be read.{tail}"
    studies = [one for one in by_study(answers.rows) if one.probabilities]
    worst = answers.worst
    lines = [
        f"### Highest probability of any hemorrhage: {answers.six(worst)[ANY]:.3f}",
        f"At slice {worst} of {count}.{tail}",
    ]
    if len(studies) > 1:
        lines.append(f"{len(studies)} studies, most urgent first:")
        lines.append("\n".join(_study_line(answers, k, one.worst) for k, one in enumerate(studies)))
    return "\n\n".join(lines)


def slice_table(answers: Answers) -> list[list[str | int | float]]:
    """Return one row a slice by `SLICE_HEADERS`, highest probability of `any` first."""
    numbers = range(1, len(answers.answered) + 1)
    ordered = sorted(numbers, key=lambda number: -answers.six(number)[ANY])
    return [_slice_row(answers, number) for number in ordered]


def refused_table(answers: Answers) -> list[list[str]]:
    """Return one row a refused file or frame by `REFUSED_HEADERS`, in order of upload."""
    return [
        [f"file {number}", row.status, row.note]
        for row, number in zip(answers.rows, answers.files, strict=True)
        if not row.probabilities
    ]


def view(predictor: Predictor, answers: Answers, number: int, label: str = "") -> View:
    """Return the pictures of a slice.

    Parameters
    ----------
    predictor
        The one that gave the answers.
    answers
        As `analyse` gave them.
    number
        Of the slice, from 1.
    label
        Whose Grad-CAM to lay over it; empty for none.

    Raises
    ------
    IchError
        If there is no such slice, or its file is gone or damaged.
    """
    if not 1 <= number <= len(answers.answered):
        raise IchError(f"there is no slice {number}; there are {len(answers.answered)}")
    index = answers.answered[number - 1]
    ct, around = _read(predictor, answers, index)
    brain = picture(ct.hu)
    lines = [_caption(answers, number, ct)]
    overlay = None
    if label:
        try:
            values = explain(predictor, ct, [label], neighbours=around).maps[label]
            overlay = blend(brain, values)
            if not values.any():
                lines.append(f"The map is empty: nothing in this slice speaks for {label}.")
        except IchError as error:  # a transformer has no feature map: the slice is shown all the
            lines.append(f"No Grad-CAM: {error}")  # same
    return View(brain, overlay, "\n\n".join(lines))


def _read(predictor: Predictor, answers: Answers, index: int) -> tuple[CTSlice, Around]:
    entry = answers.entries[index]
    if isinstance(entry, InputError):
        raise IchError(f"this slice cannot be shown: {entry.note}")
    reader = Reader(
        predictor.prepare, predictor.preprocess, answers.entries, answers.limits, kept=0
    )
    try:
        return series.load(entry, answers.limits), reader.around(index)
    except LimitError as error:
        raise IchError(f"this slice cannot be shown: {error.note}") from None
    except InputError:  # readable before: gradio clears old uploads
        raise IchError("the upload is no longer there; upload it again") from None


def _caption(answers: Answers, number: int, ct: CTSlice) -> str:
    six = zip(LABELS, answers.six(number), strict=True)
    text = f"**Slice {number} of {len(answers.answered)}** · " + " · ".join(
        f"{label} {probability:.3f}" for label, probability in six
    )
    edges = edge_letters(ct.geometry)
    if edges is None:
        return f"{text}\n\nNo orientation in the file: left and right are not known."
    return (
        f"{text}\n\nEdges of the picture: left {edges.left}, right {edges.right}, "
        f"top {edges.top}, bottom {edges.bottom}."
    )


def _slice_row(answers: Answers, number: int) -> list[str | int | float]:
    index = answers.answered[number - 1]
    row = answers.rows[index]
    instance = "" if row.id.instance is None else row.id.instance
    place: list[str | int | float] = [number, f"file {answers.files[index]}", instance]
    six = [round(probability, 3) for probability in answers.six(number)]
    return [*place, *six, ", ".join(row.positive), row.note]


def _study_line(answers: Answers, position: int, worst: object) -> str:
    ids = [answers.rows[index].id for index in answers.answered]
    number = 1 + next(k for k, one in enumerate(ids) if one == worst)
    return f"{position + 1}. {answers.six(number)[ANY]:.3f} at slice {number}"


def _file_number(entry: Entry, paths: Sequence[Path]) -> int:
    name = entry.name if isinstance(entry, InputError) else entry.source.name
    for number, path in enumerate(map(str, paths), 1):
        if name == printable(path) or name.startswith(f"{printable(path)}!"):
            return number
    return 0
