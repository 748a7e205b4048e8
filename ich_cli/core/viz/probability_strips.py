"""Draw the six probabilities along the slices of a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.labels import LABELS
from ich_cli.core.study import Probabilities
from ich_cli.core.viz.canvas import DARK, Theme, add_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW: Final = 0.42
"""Height of a label's strip in inches."""
_NAME_WIDTH, _NUMBER_WIDTH, _BOTTOM_MARGIN, _TOP_MARGIN = (
    1.42,
    0.66,
    0.42,
    0.24,
)  # inches around the curves
_TICKS: Final = (0.0, 0.25, 1.0)


def strip_height() -> float:
    """Return the height of the chart in inches."""
    return _TOP_MARGIN + len(LABELS) * ROW + _BOTTOM_MARGIN


def strip_chart(
    probabilities: Sequence[Probabilities | None],
    thresholds: Mapping[str, float],
    *,
    marked: Sequence[int] = (),
    width: float = 9.0,
    theme: Theme = DARK,
) -> Figure:
    """Draw a strip for each label: its probability slice by slice, from the feet to the head.

    The height is the square root of the probability, on the same scale in every picture, so that
    small thresholds are visible. Values that reach the threshold are highlighted.

    Parameters
    ----------
    probabilities
        One entry per slice in anatomical order; None where a slice could not be read.
    thresholds
        Label → probability from which it counts as positive.
    marked
        Indices of slices to mark, such as those shown large.
    width
        Width of the figure in inches.
    theme
        `DARK` for screens, `LIGHT` for paper.

    Returns
    -------
    matplotlib.figure.Figure
        On the Agg canvas; save it as PNG or SVG.
    """
    figure = new_figure(width, strip_height(), theme)
    draw_strips(figure, probabilities, thresholds, left=0.0, bottom=0.0, width=width,
                marked=marked, theme=theme)  # fmt: skip
    return figure


def draw_strips(
    figure: Figure,
    probabilities: Sequence[Probabilities | None],
    thresholds: Mapping[str, float],
    *,
    left: float,
    bottom: float,
    width: float,
    marked: Sequence[int] = (),
    theme: Theme = DARK,
) -> None:
    """Draw the chart into a figure, at a position in inches."""
    values = as_array(probabilities)
    wide = width - _NAME_WIDTH - _NUMBER_WIDTH
    for place, label in enumerate(LABELS):
        low = bottom + _BOTTOM_MARGIN + (len(LABELS) - 1 - place) * ROW
        axes = add_axes(figure, left + _NAME_WIDTH, low, wide, 0.82 * ROW)
        _draw_strip(axes, label, values[:, place], thresholds[label], marked, theme)
        if place == 0:
            axes.annotate("highest", (1, 1), (6, 3), xycoords="axes fraction", fontsize=6.5,
                          color=theme.quiet, textcoords="offset points")  # fmt: skip
    _number_slices(axes, len(values), theme)


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
    theme: Theme,
) -> None:
    heights = np.sqrt(values)
    over = values >= threshold
    places = np.arange(1, len(values) + 1)
    colors = [theme.alert if one else theme.line for one in over]
    axes.bar(places, np.nan_to_num(heights), width=0.82, color=colors, linewidth=0)
    axes.axhline(np.sqrt(threshold), color=theme.quiet, linewidth=0.7, linestyle=(0, (4, 3)))
    for index in marked:
        axes.axvspan(index + 0.5, index + 1.5, color=theme.text, alpha=0.13, linewidth=0)
    for place in np.flatnonzero(np.isnan(values)).tolist():
        axes.plot(place + 1, 0.12, marker="x", markersize=3, color=theme.quiet)
    axes.set_xlim(0.4, len(values) + 0.6)
    axes.set_ylim(0, 1)
    _dress(axes, theme)
    best = float(np.nanmax(values)) if (~np.isnan(values)).any() else None
    color = theme.alert if over.any() else theme.text
    name = "any hemorrhage" if label == "any" else label
    axes.annotate(name, (0, 0.5), (-26, 0), xycoords="axes fraction", fontsize=8, color=color,
                  textcoords="offset points", ha="right", va="center")  # fmt: skip
    axes.annotate("-" if best is None else f"{best:.3f}", (1, 0.5), (6, 0), fontsize=8,
                  color=color, xycoords="axes fraction", textcoords="offset points",
                  va="center")  # fmt: skip


def _dress(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor("none")
    axes.set_xticks([])
    axes.set_yticks(np.sqrt(_TICKS).tolist(), [f"{tick:g}" for tick in _TICKS])
    axes.tick_params(colors=theme.quiet, labelsize=5.5, length=1.5, width=0.5, pad=1.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.quiet)
        spine.set_linewidth(0.5)


def _number_slices(axes: Axes, count: int, theme: Theme) -> None:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**6) if count / step <= 25)
    ticks = [1, *range(step if step > 1 else 2, count + 1, step)]
    axes.set_xticks(ticks)
    axes.tick_params(axis="x", labelsize=6.5, pad=2)
    axes.set_xlabel("slice, from the feet to the head", fontsize=7, color=theme.quiet, labelpad=2)
