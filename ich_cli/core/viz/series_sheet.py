"""Draw a summary of a series: probabilities, top slices in large, all slices as thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.imaging import BRAIN, Window, picture, to_uint8
from ich_cli.core.labels import ANY, LABELS, RESEARCH_ONLY
from ich_cli.core.study import Probabilities
from ich_cli.core.viz.canvas import (
    DARK,
    add_axes,
    draw_scale,
    draw_slice,
    new_figure,
    write_text,
)
from ich_cli.core.viz.probability_strips import HEIGHT, draw_strips
from ich_cli.core.viz.slice_panel import (
    Panel,
    draw_foot,
    draw_map,
    method_lines,
    threshold_text,
    titles,
    window_name,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THUMBNAILS: Final = 48
"""Largest number of thumbnails; longer series show every second, third … slice."""

_WIDTH: Final = 12.0  # inches
_SIDE, _GAP, _TITLE, _UNDER, _HEAD, _FOOT, _LINE = 0.3, 0.14, 0.58, 0.26, 0.62, 0.3, 0.2
_SCALE: Final = 0.75
_COLUMNS: Final = 12
_SMALL: Final = 128  # longer side of a thumbnail in pixels


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """Thumbnail of a slice."""

    index: int
    """Index of the slice in its series, from 0."""
    grey: NDArray[np.uint8]
    """``(h, w)``, square pixels."""


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """Content of the summary."""

    probabilities: Sequence[Probabilities | None]
    """One entry per slice in anatomical order; None where a slice could not be read."""
    top: Sequence[tuple[int, Panel]]
    """Index and content of the slices shown in large, highest probability first; at least one."""
    thumbnails: Sequence[Thumbnail]
    ranked_by: str = LABELS[ANY]
    """Label by whose probability the slices shown in large are chosen."""


def draw_sheet(sheet: ContactSheet) -> Figure:
    """Draw the summary without file names or patient data; needs no display."""
    first = sheet.top[0][1]
    wide = (_WIDTH - 2 * _SIDE - _SCALE - (len(sheet.top) - 1) * _GAP) / max(3, len(sheet.top))
    large = _TITLE + wide + len(first.maps) * (_TITLE + wide + _UNDER)
    small = (_WIDTH - 2 * _SIDE) / _COLUMNS
    rows = -(-len(sheet.thumbnails) // _COLUMNS)
    foot = _foot_lines(sheet)
    feet = _FOOT + _LINE * len(foot)
    height = _HEAD + HEIGHT + 0.15 + large + 0.5 + rows * small + feet
    figure = new_figure(_WIDTH, height)
    _draw_head(figure, sheet, height)
    top = height - _HEAD - HEIGHT
    marked = [index for index, _ in sheet.top]
    draw_strips(figure, sheet.probabilities, first.thresholds, left=_SIDE / 2, bottom=top,
                width=_WIDTH - _SIDE, marked=marked)  # fmt: skip
    top -= 0.15
    for place, (index, panel) in enumerate(sheet.top):
        _draw_column(figure, panel, index, _SIDE + place * (wide + _GAP), top, wide)
    scale = add_axes(figure, _WIDTH - _SIDE - 0.5, top - large + _UNDER + 0.1, 0.13, wide - 0.2)
    draw_scale(scale, first.style, first.opacity)
    _draw_thumbnails(figure, sheet, top - large - 0.5, small)
    draw_foot(figure, foot, _SIDE)
    return figure


def thumbnail(ct: CTSlice, index: int, window: Window = BRAIN) -> Thumbnail:
    """Return a thumbnail of 128 pixels on its longer side."""
    down, across = ct.geometry.spacing or (1.0, 1.0)
    height, width = ct.shape[0] * down, ct.shape[1] * across
    scale = _SMALL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(to_uint8(ct.hu, window), size, interpolation=cv2.INTER_AREA)
    return Thumbnail(index, np.asarray(small, np.uint8))


def spread(count: int, most: int = THUMBNAILS) -> list[int]:
    """Return at most `most` indices below `count`, evenly spread, the first one 0."""
    step = max(1, -(-count // most))
    return list(range(0, count, step))


def _draw_head(figure: Figure, sheet: ContactSheet, height: float) -> None:
    index, panel = sheet.top[0]
    large, small, over = threshold_text(sheet.ranked_by, panel.probabilities, panel.thresholds)
    color = DARK.alert if over else DARK.text
    title = f"{large}  in slice {index + 1} of {len(sheet.probabilities)}"
    write_text(figure, _SIDE, height - 0.32, title, 14, color, fontweight="bold", va="center")
    unread = sum(six is None for six in sheet.probabilities)
    missing = f" · {unread} could not be read (x)" if unread else ""
    line = f"the highest of the series; {small}{missing}"
    write_text(figure, _SIDE, height - 0.57, line, 8, DARK.quiet, va="center")


def _draw_column(
    figure: Figure, panel: Panel, index: int, left: float, top: float, wide: float
) -> None:
    """Draw a slice in large, and again with the map of each label."""
    bottom = top - _TITLE - wide
    axes = add_axes(figure, left, bottom, wide, wide)
    window = panel.windows[0]
    draw_slice(axes, picture(panel.ct.hu, window), panel.ct.geometry)
    titles(axes, f"slice {index + 1}", f"{window_name(window)} window "
           f"{window.center:g} / {window.width:g} HU", DARK.text)  # fmt: skip
    for label in panel.maps:
        bottom -= _TITLE + wide
        axes = add_axes(figure, left, bottom, wide, wide)
        draw_map(axes, panel, label, -0.022)
        bottom -= _UNDER


def _draw_thumbnails(figure: Figure, sheet: ContactSheet, top: float, small: float) -> None:
    if not sheet.thumbnails:
        return
    shown, count = len(sheet.thumbnails), len(sheet.probabilities)
    which = "all slices" if shown == count else f"{shown} of {count} slices"
    line = f"{which}, from the feet to the head; framed: any hemorrhage reaches its threshold"
    write_text(figure, _SIDE, top + 0.14, line, 8, DARK.quiet, va="center")
    threshold = sheet.top[0][1].thresholds[LABELS[ANY]]
    for place, one in enumerate(sheet.thumbnails):
        row, column = divmod(place, _COLUMNS)
        axes = add_axes(figure, _SIDE + column * small, top - (row + 1) * small + 0.03,
                        small - 0.06, small - 0.06)  # fmt: skip
        six = sheet.probabilities[one.index]
        _draw_thumbnail(axes, one, None if six is None else six[ANY], threshold)


def _draw_thumbnail(
    axes: Axes, one: Thumbnail, probability: float | None, threshold: float
) -> None:
    axes.imshow(one.grey, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    over = probability is not None and probability >= threshold
    for spine in axes.spines.values():
        spine.set_color(DARK.alert if over else DARK.line)
        spine.set_linewidth(1.6 if over else 0.4)
    axes.text(0.05, 0.95, f"{one.index + 1}", fontsize=6, color=DARK.text, va="top",
              transform=axes.transAxes)  # fmt: skip
    if probability is not None:
        axes.text(0.95, 0.95, f"{probability:.2f}", fontsize=6, va="top", ha="right",
                  color=DARK.alert if over else DARK.quiet, transform=axes.transAxes)  # fmt: skip


def _foot_lines(sheet: ContactSheet) -> list[str]:
    panel = sheet.top[0][1]
    chosen = "Large: the slices with the highest probability, no two of them neighbours."
    lines = [chosen, *method_lines(panel.method, measured=bool(panel.faithfulness))]
    lines.append(f"{RESEARCH_ONLY} {panel.caveat}".strip())
    return wrapped(lines, _WIDTH)
