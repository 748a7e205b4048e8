"""The worst false positives and negatives of each label: rows to read, and a page of pictures."""

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

WORST: Final = 10
"""Of each kind and label."""
COLUMNS: Final = ("label", "kind", "rank", "row", "probability", "threshold")
Kind = Literal["false positive", "false negative"]
_SIDE, _TITLE, _FOOT, _THUMB = 0.3, 0.3, 0.45, 1.14  # inches


@dataclass(frozen=True)
class Mistake:
    """A slice that was called wrongly."""

    label: str
    kind: Kind
    rank: int
    """From 1, the surest first."""
    row: int
    """Place in the data set, or among the matched rows of the predictions, from 0."""
    probability: float
    threshold: float
    name: str
    """What the data call it: shown only where somebody asks for it."""


def mistakes(cases: Cases, most: int = WORST) -> list[Mistake]:
    """Return the worst of each label: positives by falling, negatives by rising probability."""
    out = []
    for k, label in enumerate(LABELS):
        y, p, called = cases.labels[:, k], cases.probabilities[:, k], cases.called[:, k]
        for kind, wrong, order in (
            ("false positive", ~y & called, -p),
            ("false negative", y & ~called, p),
        ):
            index = np.flatnonzero(wrong)
            index = index[np.argsort(order[index], kind="stable")][:most]
            out += [
                Mistake(label, kind, rank, int(cases.rows[i]), float(p[i]),  # type: ignore[arg-type]
                        float(cases.thresholds[label]), cases.names[i])
                for rank, i in enumerate(index, 1)
            ]  # fmt: skip
    return out


def write_mistakes(path: Path, found: Sequence[Mistake], *, names: bool = False) -> None:
    """Write them as CSV; with `names` also what the data call each slice."""
    columns = (*COLUMNS, "name") if names else COLUMNS
    rows = [
        (m.label, m.kind, m.rank, m.row, f"{m.probability:.6f}", f"{m.threshold:.6f}", m.name)
        for m in found
    ]
    write_csv(path, columns, [row if names else row[:-1] for row in rows])


def write_worst(
    path: Path, found: Sequence[Mistake], data: PreparedDataset, on: str, *, names: bool = False
) -> None:
    """Write a page of pictures as PNG: the slices as the model sees them, first window.

    Parameters
    ----------
    path
        Of the page. It shows patients, and `ich push` does not publish it.
    found
        As `mistakes` gave them, of the slices of `data`.
    data
        Where the pictures are.
    on
        Data and split.
    names
        Write what the data call each slice under it; else its row.
    """
    lines = [(label, kind) for label in LABELS for kind in ("false positive", "false negative")]
    line = _TITLE + _THUMB + 0.24
    width, height = 2 * _SIDE + WORST * _THUMB, 0.75 + len(lines) * line + _FOOT
    figure = new_figure(width, height, DARK)
    write_text(figure, _SIDE, height - 0.36, "The worst false positives and negatives", 13,
               DARK.text, fontweight="bold")  # fmt: skip
    write_text(figure, _SIDE, height - 0.6, on, 8, DARK.quiet)
    for place, (label, kind) in enumerate(lines):
        own = [m for m in found if (m.label, m.kind) == (label, kind)]
        top = height - 0.75 - place * line
        told = f"{label}: {kind}s" if own else f"{label}: no {kind}"
        limit = f", threshold {own[0].threshold:.3f}" if own else ""
        write_text(figure, _SIDE, top - 0.2, told + limit, 9, DARK.text)
        for m in own:
            left = _SIDE + (m.rank - 1) * _THUMB
            axes = add_axes(figure, left, top - _TITLE - _THUMB + 0.06, _THUMB - 0.06,
                            _THUMB - 0.06)  # fmt: skip
            _show(axes, thumb(data, m.row), m)
            caption = m.name if names else f"row {m.row}"
            write_text(figure, left, top - _TITLE - _THUMB - 0.07, caption[-22:], 6.5, DARK.quiet)
    where = (
        "First window of the model's input, head cropped; upper right: the probability. "
        + RESEARCH_ONLY
    )
    write_text(figure, _SIDE, 0.2, where, 7.5, DARK.quiet)
    write_figure(path, figure)


def thumb(data: PreparedDataset, row: int) -> NDArray[np.uint8]:
    """Return the first window of a slice, of its own and not of a neighbour, uint8 ``(S, S)``."""
    windows = len(data.preprocess.windows)
    return np.asarray(data.pixels[row, data.preprocess.context * windows], np.uint8)


def _show(axes: Axes, grey: NDArray[np.uint8], one: Mistake) -> None:
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
    axes.set_axis_off()
    told = f"{one.probability:.2f}" if one.probability >= 0.005 else "<.01"
    place: dict[str, Any] = {"ha": "right", "va": "top", "transform": axes.transAxes}
    axes.text(0.96, 0.95, told, fontsize=7, color=DARK.alert, **place)
