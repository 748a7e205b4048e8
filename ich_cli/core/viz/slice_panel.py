"""Draw a slice beside its maps, one for each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.imaging import BRAIN, DISPLAY_WINDOWS, OPACITY, Style, Window, overlay, picture
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.study import Probabilities
from ich_cli.core.viz.canvas import (
    DARK,
    add_axes,
    draw_scale,
    draw_slice,
    new_figure,
    write_text,
)
from ich_cli.core.viz.method_names import METHOD_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILE: Final = 3.2  # side of a picture in inches
_TITLE, _UNDER, _FOOT, _LINE, _SIDE, _GAP = 0.58, 0.24, 0.3, 0.2, 0.22, 0.12  # inches
_LETTERS_PER_INCH: Final = 16  # in the small font
_SCALE_WIDTH: Final = 0.95
_MAX_COLUMNS: Final = 4


class FaithfulnessValues(Protocol):
    """Effect of replacing a map's hottest region, as measured by `faithfulness`."""

    @property
    def without(self) -> float:
        """Probability with the hottest region replaced."""

    @property
    def random_region(self) -> float:
        """Mean probability with a random region replaced."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Content of the picture."""

    ct: CTSlice
    maps: Mapping[str, NDArray[np.float32]]
    """Label → float32 ``(H, W)`` in [0, 1]."""
    probabilities: Probabilities
    thresholds: Mapping[str, float]
    method: str = "gradcam"
    caveat: str = ""
    """Warning to show with the predictions."""
    windows: tuple[Window, ...] = (BRAIN,)
    """Windows in which the slice is shown; maps are drawn over the first."""
    style: Style = "heat"
    opacity: float = OPACITY
    faithfulness: Mapping[str, FaithfulnessValues] = field(default_factory=dict)
    """Label → effect of replacing its hottest region, shown below the map."""


def draw_panel(panel: Panel) -> Figure:
    """Draw the slice in its windows and with the map of each label.

    File name and patient data are not drawn. Needs no display and touches no global state.
    """
    shown: list[Window | str] = [*panel.windows, *panel.maps]
    columns = min(len(shown), _MAX_COLUMNS)
    rows = -(-len(shown) // columns)
    width = 2 * _SIDE + columns * _TILE + (columns - 1) * _GAP + _SCALE_WIDTH
    foot = _foot_lines(panel, width)
    under = _UNDER if panel.faithfulness else 0.0
    high = _TILE + _TITLE + under
    height = rows * high + _FOOT + _LINE * len(foot)
    figure = new_figure(width, height)
    for index, what in enumerate(shown):
        row, column = divmod(index, columns)
        bottom = height - (row + 1) * high + under
        axes = add_axes(figure, _SIDE + column * (_TILE + _GAP), bottom, _TILE, _TILE)
        _draw_tile(axes, what, panel)
    scale = add_axes(figure, width - _SIDE - 0.72, height - _TITLE - _TILE + 0.1, 0.13, _TILE - 0.2)
    draw_scale(scale, panel.style, panel.opacity)
    draw_foot(figure, foot[1:], _SIDE)
    top = _FOOT / 2 + _LINE * (len(foot) - 1)
    write_text(figure, _SIDE, top, foot[0], 8.5, DARK.text, va="center")
    return figure


def draw_foot(figure: Figure, lines: Sequence[str], left: float) -> None:
    """Write lines in the small font at the lower edge."""
    for place, line in enumerate(reversed(lines)):
        write_text(figure, left, _FOOT / 2 + _LINE * place, line, 7.5, DARK.quiet, va="center")


def _draw_tile(axes: Axes, what: Window | str, panel: Panel) -> None:
    if isinstance(what, Window):
        draw_slice(axes, picture(panel.ct.hu, what), panel.ct.geometry)
        titles(axes, window_name(what), f"window {what.center:g} / {what.width:g} HU", DARK.text)
    else:
        draw_map(axes, panel, what, -0.025)


def draw_map(axes: Axes, panel: Panel, label: str, below: float) -> None:
    """Draw the slice under the map of a label, with titles, and its faithfulness `below`."""
    values = panel.maps[label]
    shown = overlay(panel.ct.hu, values, panel.opacity, panel.style, panel.windows[0])
    draw_slice(axes, shown, panel.ct.geometry)
    large, small, over = threshold_text(label, panel.probabilities, panel.thresholds)
    titles(axes, large, small, DARK.alert if over else DARK.text)
    if panel.faithfulness:
        line = faithfulness_line(panel.faithfulness.get(label))
        axes.text(0.0, below, line, fontsize=7.5, color=DARK.quiet, va="top",
                  transform=axes.transAxes)  # fmt: skip


def window_name(window: Window) -> str:
    """Return the name of a window, or its numbers."""
    names = {value: name for name, value in DISPLAY_WINDOWS.items()}
    return names.get(window, f"{window.center:g} / {window.width:g}")


def threshold_text(
    label: str, probabilities: Probabilities, thresholds: Mapping[str, float]
) -> tuple[str, str, bool]:
    """Return the label with its probability, a line about its threshold, and True if reached."""
    probability, threshold = probabilities[LABELS.index(label)], thresholds[label]
    over = probability >= threshold
    digits = 2 if round(probability, 2) != round(threshold, 2) else 4  # so that they differ
    name = "any hemorrhage" if label == "any" else label
    relation = "reaches" if over else "under"
    return (
        f"{name}  {probability:.{digits}f}",
        f"{relation} its threshold {threshold:.{digits}f}",
        over,
    )


def faithfulness_line(measured: FaithfulnessValues | None) -> str:
    """Return the text below a map."""
    if measured is None:
        return "the map is empty: nothing here raises the probability"
    return (
        f"hottest tenth replaced {measured.without:.3f} · a random one {measured.random_region:.3f}"
    )


def titles(axes: Axes, large: str, small: str, color: str) -> None:
    """Write a line in large and one in small type above a picture."""
    kwargs: dict[str, Any] = {"transform": axes.transAxes, "ha": "left", "va": "bottom"}
    axes.text(0.0, 1.072, large, fontsize=11.5, fontweight="bold", color=color, **kwargs)
    axes.text(0.0, 1.02, small, fontsize=7.5, color=DARK.quiet, **kwargs)


def method_lines(method: str, *, measured: bool) -> list[str]:
    """Return the explanation of the maps."""
    name = METHOD_NAMES.get(method, method)
    if method == "eigencam":
        lines = [f"{name} uses no gradients: all labels have the same map, scaled by "
                 "their probabilities."]  # fmt: skip
    else:
        shown = "the probability in each patch" if method == "patch" else "where the model looked"
        lines = [f"{name}: {shown}. A map's peak is its label's probability in that "
                 "slice alone."]  # fmt: skip
    if measured:
        lines.append("Under a map: the probability with the hottest tenth of the head replaced by "
                     "healthy-looking tissue, and the mean with random tenths.")  # fmt: skip
    return lines


def wrapped(lines: list[str], width: float) -> list[str]:
    """Wrap lines in the small font to a width in inches."""
    fits = int((width - 2 * _SIDE) * _LETTERS_PER_INCH)
    return [line for one in lines for line in wrap(one, fits)]


def _foot_lines(panel: Panel, width: float) -> list[str]:
    """Return the lines below the pictures; the first has the probabilities."""
    six = (f"{label} {p:.2f}" for label, p in zip(LABELS, panel.probabilities, strict=True))
    lines = method_lines(panel.method, measured=bool(panel.faithfulness))
    lines.append(f"{RESEARCH_ONLY} {panel.caveat}".strip())
    return ["    ".join(six), *wrapped(lines, width)]
