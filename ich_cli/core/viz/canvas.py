"""Shared parts of figures: themes, a canvas without a display, PNG files without metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import Geometry
from ich_cli.core.imaging import LEVELS, Style, colours, edge_letters, line_colour, opacity_of
from ich_cli.core.system import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI: Final = 160
_BARS_MM: Final = (100, 50, 20, 10, 5)
_MAX_BAR: Final = 0.34  # largest width of the scale bar, as a share of the picture


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure, in matplotlib's notation."""

    ground: str
    text: str
    quiet: str
    alert: str
    """Colour of values above their threshold."""
    line: str
    """Colour of values below their threshold."""


DARK: Final = Theme("#0d1117", "#e6edf3", "#8b949e", "#ffb454", "#6e7f94")
"""Theme for screens."""
LIGHT: Final = Theme("#ffffff", "#1b1f24", "#5a636d", "#b45309", "#8795a5")
"""Theme for print."""


def new_figure(width: float, height: float, theme: Theme = DARK) -> Figure:
    """Return an empty figure in inches on the Agg canvas; touches no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=theme.ground)
    FigureCanvasAgg(figure)
    return figure


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG without metadata; the file appears only when complete.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with replacing(path) as file:
        figure.savefig(
            file, format="png", dpi=DPI, metadata={"Software": None},
            facecolor=figure.get_facecolor(),
        )  # fmt: skip


def add_axes(figure: Figure, left: float, bottom: float, wide: float, high: float) -> Axes:
    """Add axes at a place in inches from the lower left corner."""
    width, height = figure.get_size_inches()
    place = (left / width, bottom / height, wide / width, high / height)
    return figure.add_axes(place)


def write_text(
    figure: Figure, left: float, bottom: float, text: str, size: float, color: str, **more: Any
) -> None:
    """Write text at a place in inches from the lower left corner."""
    width, height = figure.get_size_inches()
    figure.text(left / width, bottom / height, text, fontsize=size, color=color, **more)


def draw_slice(axes: Axes, shown: NDArray[np.uint8], geometry: Geometry) -> None:
    """Draw a slice with orientation letters and a scale bar, where they are known.

    Parameters
    ----------
    axes
        Axes to draw into.
    shown
        uint8 ``(H, W, 3)``, RGB.
    geometry
        Orientation gives the letters (PS3.3 C.7.6.2.1.1), PixelSpacing the bar and the shape of
        pixels that are not square.
    """
    between = geometry.spacing or (1.0, 1.0)
    axes.imshow(shown, aspect=between[0] / between[1], interpolation="lanczos")
    axes.set_axis_off()
    letters = edge_letters(geometry)
    places = ((0.025, 0.5), (0.975, 0.5), (0.5, 0.97), (0.5, 0.03))
    for letter, (x, y) in zip(letters or (), places, strict=letters is not None):
        axes.text(x, y, letter, transform=axes.transAxes, fontsize=8.5, **_mark())
    if geometry.spacing:
        _draw_bar(axes, shown.shape[1] * geometry.spacing[1])


def _mark() -> dict[str, Any]:
    from matplotlib.patheffects import withStroke

    outline = withStroke(linewidth=2, foreground=DARK.ground)  # readable on bone
    return {"color": DARK.text, "ha": "center", "va": "center", "path_effects": [outline]}


def _draw_bar(axes: Axes, field_mm: float) -> None:
    """Draw a bar of a round length in the lower left corner."""
    from matplotlib.patheffects import withStroke

    length = next((mm for mm in _BARS_MM if mm <= _MAX_BAR * field_mm), None)
    if length is None:
        return
    ends = [0.04, 0.04 + length / field_mm]
    axes.plot(ends, [0.03, 0.03], transform=axes.transAxes, color=DARK.text, linewidth=1.4,
              solid_capstyle="butt", scalex=False, scaley=False,
              path_effects=[withStroke(linewidth=3, foreground=DARK.ground)])  # fmt: skip
    axes.text(sum(ends) / 2, 0.065, f"{length} mm", transform=axes.transAxes, fontsize=7, **_mark())


def draw_scale(axes: Axes, style: Style, opacity: float) -> None:
    """Draw the colour scale of a map, or of its contours, on black."""
    if style == "contour":
        places = [(n + 0.5) / len(LEVELS) for n in range(len(LEVELS))]
        for place, level in zip(places, LEVELS, strict=True):
            red, green, blue = line_colour(level)
            axes.axhline(place, color=(red / 255, green / 255, blue / 255), linewidth=1.8)
        axes.set_facecolor("black")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_yticks(places, [f"{level:.2f}" for level in LEVELS])
    else:
        values = np.linspace(1, 0, 256, dtype=np.float32)[:, None]
        shown = colours(values) * opacity_of(values, opacity)[:, :, None]
        axes.imshow(shown.astype(np.uint8), aspect="auto", extent=(0, 1, 0, 1))
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.tick_params(colors=DARK.quiet, labelsize=7, length=2, width=0.5)
    for spine in axes.spines.values():
        spine.set_color(DARK.quiet)
        spine.set_linewidth(0.5)
