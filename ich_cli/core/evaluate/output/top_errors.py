"""Top errors: the most confident false positives and false negatives of each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import PreparedDataset
from ich_cli.core.evaluate.cases import Cases
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.system import write_csv
from ich_cli.core.viz import DARK, add_axes, new_figure, write_figure, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNT: Final = 10
"""Most errors of each kind and label."""
COLUMNS: Final = ("label", "kind", "rank", "row", "probability", "threshold")
Kind = Literal["false positive", "false negative"]
KINDS: Final[tuple[Kind, ...]] = ("false positive", "false negative")
_SIDE, _TITLE, _FOOT, _THUMB = 0.3, 0.3, 0.45, 1.14  # inches


@dataclass(frozen=True)
class TopError:
    """Slice with a confident false prediction of a label."""

    label: str
    kind: Kind
    rank: int
    """From 1, the most confident first."""
    row: int
    """Row in the data set, or among the matched rows of the predictions, from 0."""
    probability: float
    threshold: float
    name: str
    """Name in the data, which may identify a patient: shown only on request."""


def find_top_errors(cases: Cases, count: int = COUNT) -> list[TopError]:
    """Return each label's false positives with the highest, false negatives with the lowest p."""
    out = []
    for k, label in enumerate(LABELS):
        y, p, called = cases.labels[:, k], cases.probabilities[:, k], cases.called[:, k]
        known = True if cases.known is None else cases.known[:, k]
        kinds = (~y & called & known, y & ~called & known)
        for kind, wrong, order in zip(KINDS, kinds, (-p, p), strict=True):
            index = np.flatnonzero(wrong)
            index = index[np.argsort(order[index], kind="stable")][:count]
            out += [
                TopError(label, kind, rank, int(cases.rows[i]), float(p[i]),
                        float(cases.thresholds[label]), cases.names[i])
                for rank, i in enumerate(index, 1)
            ]  # fmt: skip
    return out


def write_top_errors_table(path: Path, errors: Sequence[TopError], *, names: bool = False) -> None:
    """Write top errors as CSV; with `names`, the slices' names too."""
    columns = (*COLUMNS, "name") if names else COLUMNS
    rows = [
        (e.label, e.kind, e.rank, e.row, f"{e.probability:.6f}", f"{e.threshold:.6f}", e.name)
        for e in errors
    ]
    write_csv(path, columns, [row if names else row[:-1] for row in rows])


def write_top_errors_image(
    path: Path, errors: Sequence[TopError], data: PreparedDataset, on: str, *, names: bool = False
) -> None:
    """Write the images of top errors as PNG: first window of the model's input.

    Parameters
    ----------
    path
        PNG file. It shows patients; `ich push` does not publish it.
    found
        Result of `find_top_errors` for the slices of `data`.
    data
        Data set with the images.
    on
        Data set and split.
    names
        Write the names of the slices; else their rows.
    """
    groups = [(label, kind) for label in LABELS for kind in KINDS]
    line = _TITLE + _THUMB + 0.24
    width, height = 2 * _SIDE + COUNT * _THUMB, 0.75 + len(groups) * line + _FOOT
    figure = new_figure(width, height, DARK)
    write_text(figure, _SIDE, height - 0.36, "Top errors: most confident first", 13,
               DARK.text, fontweight="bold")  # fmt: skip
    write_text(figure, _SIDE, height - 0.6, on, 8, DARK.quiet)
    for place, (label, kind) in enumerate(groups):
        own = [e for e in errors if (e.label, e.kind) == (label, kind)]
        top = height - 0.75 - place * line
        heading = f"{label}: {kind}s" if own else f"{label}: no {kind}"
        limit = f", threshold {own[0].threshold:.3f}" if own else ""
        write_text(figure, _SIDE, top - 0.2, heading + limit, 9, DARK.text)
        for e in own:
            left = _SIDE + (e.rank - 1) * _THUMB
            axes = add_axes(figure, left, top - _TITLE - _THUMB + 0.06, _THUMB - 0.06,
                            _THUMB - 0.06)  # fmt: skip
            _show(axes, first_window(data, e.row), e)
            caption = e.name if names else f"row {e.row}"
            write_text(figure, left, top - _TITLE - _THUMB - 0.07, caption[-22:], 6.5, DARK.quiet)
    where = (
        "First window of the model's input, cropped to the head; upper right: probability. "
        + RESEARCH_ONLY
    )
    write_text(figure, _SIDE, 0.2, where, 7.5, DARK.quiet)
    write_figure(path, figure)


def first_window(data: PreparedDataset, row: int) -> NDArray[np.uint8]:
    """Return the first window of a slice itself, not of a neighbour, uint8 ``(S, S)``."""
    windows = len(data.preprocess.windows)
    return np.asarray(data.pixels[row, data.preprocess.context * windows], np.uint8)


def _show(axes: Axes, gray: NDArray[np.uint8], one: TopError) -> None:
    axes.imshow(gray, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
    axes.set_axis_off()
    text = f"{one.probability:.2f}" if one.probability >= 0.005 else "<.01"
    place: dict[str, Any] = {"ha": "right", "va": "top", "transform": axes.transAxes}
    axes.text(0.96, 0.95, text, fontsize=7, color=DARK.alert, **place)
