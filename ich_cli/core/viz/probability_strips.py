"""Draw the six probabilities along the slices of a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.labels import LABELS
from ich_cli.core.study import Probabilities
from ich_cli.core.viz.canvas import DARK, add_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW: Final = 0.42
"""Height of a label's strip in inches."""
_NAME_WIDTH, _NUMBER_WIDTH = 1.42, 0.66  # inches beside the curves
_BOTTOM_MARGIN, _TOP_MARGIN = 0.42, 0.24  # inches
HEIGHT: Final = _TOP_MARGIN + len(LABELS) * ROW + _BOTTOM_MARGIN
"""Height of all strips in inches."""
_TICKS: Final = (0.0, 0.25, 1.0)


def draw_strips(
    figure: Figure,
    probabilities: Sequence[Probabilities | None],
    thresholds: Mapping[str, float],
    *,
    left: float,
    bottom: float,
    width: float,
    marked: Sequence[int] = (),
) -> None:
    """Draw a strip for each label: its probability slice by slice, from the feet to the head.

    The height is the square root of the probability, on the same scale in every picture, so that
    small thresholds are visible. Values that reach the threshold are highlighted.

    Parameters
    ----------
    figure
        Figure with a dark ground.
    probabilities
        One entry per slice in anatomical order; None where a slice could not be read.
    thresholds
        Label → probability from which it counts as positive.
    left, bottom, width
        Position and width in the figure, in inches; the height is `HEIGHT`.
    marked
        Indices of slices to mark, such as those shown large.
    """
    values = as_array(probabilities)
    wide = width - _NAME_WIDTH - _NUMBER_WIDTH
    for place, label in enumerate(LABELS):
        low = bottom + _BOTTOM_MARGIN + (len(LABELS) - 1 - place) * ROW
        axes = add_axes(figure, left + _NAME_WIDTH, low, wide, 0.82 * ROW)
        _draw_strip(axes, label, values[:, place], thresholds[label], marked)
        if place == 0:
            axes.annotate("highest", (1, 1), (6, 3), xycoords="axes fraction", fontsize=6.5,
                          color=DARK.quiet, textcoords="offset points")  # fmt: skip
    _number_slices(axes, len(values))


def as_array(probabilities: Sequence[Probabilities | None]) -> NDArray[np.float64]:
    """Return ``(N, 6)``; NaN where a slice could not be read."""
    rows = [(np.nan,) * len(LABELS) if six is None else six for six in probabilities]
    return np.asarray(rows, np.float64).reshape(-1, len(LABELS))


def _draw_strip(
    axes: Axes,
    label: str,
    values: NDArray[np.float64],
    threshold: float,
    marked: Sequence[int],
) -> None:
    heights = np.sqrt(values)
    over = values >= threshold
    places = np.arange(1, len(values) + 1)
    colors = [DARK.alert if one else DARK.line for one in over]
    axes.bar(places, np.nan_to_num(heights), width=0.82, color=colors, linewidth=0)
    axes.axhline(np.sqrt(threshold), color=DARK.quiet, linewidth=0.7, linestyle=(0, (4, 3)))
    for index in marked:
        axes.axvspan(index + 0.5, index + 1.5, color=DARK.text, alpha=0.13, linewidth=0)
    for place in np.flatnonzero(np.isnan(values)).tolist():
        axes.plot(place + 1, 0.12, marker="x", markersize=3, color=DARK.quiet)
    axes.set_xlim(0.4, len(values) + 0.6)
    axes.set_ylim(0, 1)
    _dress(axes)
    best = float(np.nanmax(values)) if (~np.isnan(values)).any() else None
    color = DARK.alert if over.any() else DARK.text
    name = "any hemorrhage" if label == "any" else label
    axes.annotate(name, (0, 0.5), (-26, 0), xycoords="axes fraction", fontsize=8, color=color,
                  textcoords="offset points", ha="right", va="center")  # fmt: skip
    axes.annotate("-" if best is None else f"{best:.3f}", (1, 0.5), (6, 0), fontsize=8,
                  color=color, xycoords="axes fraction", textcoords="offset points",
                  va="center")  # fmt: skip


def _dress(axes: Axes) -> None:
    axes.set_facecolor("none")
    axes.set_xticks([])
    axes.set_yticks(np.sqrt(_TICKS).tolist(), [f"{tick:g}" for tick in _TICKS])
    axes.tick_params(colors=DARK.quiet, labelsize=5.5, length=1.5, width=0.5, pad=1.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(DARK.quiet)
        spine.set_linewidth(0.5)


def _number_slices(axes: Axes, count: int) -> None:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**6) if count / step <= 25)
    ticks = [1, *range(step if step > 1 else 2, count + 1, step)]
    axes.set_xticks(ticks)
    axes.tick_params(axis="x", labelsize=6.5, pad=2)
    axes.set_xlabel("slice, from the feet to the head", fontsize=7, color=DARK.quiet, labelpad=2)
