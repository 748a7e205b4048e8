"""One picture that explains a slice: the slice beside a map for each label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.atomic import replacing
from ich_cli.core.config import BRAIN
from ich_cli.core.ctslice import CTSlice
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.overlay import blend, colours, edge_letters, opacity_of, picture
from ich_cli.core.prediction import Probabilities

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUND: Final = "#0d1117"
_TEXT: Final = "#e6edf3"
_QUIET: Final = "#8b949e"
_ALERT: Final = "#ffb454"

_LETTER: Final[dict[str, Any]] = {
    "fontsize": 8.5,
    "color": _TEXT,
    "ha": "center",
    "va": "center",
}

_DPI: Final = 160
_TILE: Final = 3.2  # inches, the side of one picture
_HEAD, _FOOT, _LINE, _SIDE, _GAP = 0.62, 0.3, 0.22, 0.22, 0.12  # inches
_LETTERS_AN_INCH: Final = 16  # of the small type
_METHOD_NAMES: Final = {"gradcam": "Grad-CAM", "hirescam": "HiResCAM", "gradcam++": "Grad-CAM++"}
_SCALE_WIDTH: Final = 0.95
_MAX_COLUMNS: Final = 4


@dataclass(frozen=True, eq=False)
class Panel:
    """What the picture shows."""

    ct: CTSlice
    maps: Mapping[str, NDArray[np.float32]]
    """Label → float32 ``(H, W)`` in [0, 1]."""
    probabilities: Probabilities
    thresholds: Mapping[str, float]
    method: str = "gradcam"
    caveat: str = ""
    """What must stand beside the probabilities."""


def write_panel(path: Path, panel: Panel) -> None:
    """Write the picture as PNG, whole or not at all, without any metadata.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    figure = draw_panel(panel)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})


def draw_panel(panel: Panel) -> Figure:
    """Draw the slice in the brain window, and beside it a map over it for each label.

    Nothing of the file's name or of the patient is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        On the Agg canvas; needs no display and touches no global state.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tiles = 1 + len(panel.maps)
    columns = min(tiles, _MAX_COLUMNS)
    rows = -(-tiles // columns)
    width = 2 * _SIDE + columns * _TILE + (columns - 1) * _GAP + _SCALE_WIDTH
    foot = _foot_lines(panel, width)
    height = rows * (_TILE + _HEAD) + _FOOT + _LINE * len(foot)
    figure = Figure(figsize=(width, height), facecolor=_GROUND)
    FigureCanvasAgg(figure)
    base = picture(panel.ct.hu)
    for index, label in enumerate(["", *panel.maps]):
        row, column = divmod(index, columns)
        left = _SIDE + column * (_TILE + _GAP)
        bottom = height - (row + 1) * (_TILE + _HEAD)
        axes = figure.add_axes(_share(left, bottom, _TILE, _TILE, width, height))
        shown = blend(base, panel.maps[label]) if label else base
        _draw_tile(axes, shown, panel.ct)
        _draw_title(axes, label, panel)
    top = height - _HEAD - _TILE
    scale = _share(width - _SIDE - 0.72, top + 0.1, 0.13, _TILE - 0.2, width, height)
    _draw_scale(figure, scale)
    _draw_foot(figure, foot, width, height)
    return figure


def _share(
    left: float, bottom: float, wide: float, high: float, width: float, height: float
) -> tuple[float, float, float, float]:
    """Inches to fractions of the figure."""
    return left / width, bottom / height, wide / width, high / height


def _draw_tile(axes: Axes, shown: NDArray[np.uint8], ct: CTSlice) -> None:
    from matplotlib.patheffects import withStroke

    between = ct.geometry.spacing or (1.0, 1.0)
    axes.imshow(shown, aspect=between[0] / between[1], interpolation="lanczos")
    axes.set_axis_off()
    letters = edge_letters(ct.geometry)
    if letters is None:
        return
    outline = withStroke(linewidth=2, foreground=_GROUND)  # readable over bone, too
    places = ((0.025, 0.5), (0.975, 0.5), (0.5, 0.97), (0.5, 0.03))
    for letter, (x, y) in zip(letters, places, strict=True):
        axes.text(x, y, letter, **_LETTER, transform=axes.transAxes, path_effects=[outline])


def _draw_title(axes: Axes, label: str, panel: Panel) -> None:
    if not label:
        window = f"window {BRAIN.center:g} / {BRAIN.width:g} HU"
        _titles(axes, "brain", window, _TEXT)
        return
    probability = panel.probabilities[LABELS.index(label)]
    threshold = panel.thresholds[label]
    over = probability >= threshold
    name = "any hemorrhage" if label == "any" else label
    digits = 2 if round(probability, 2) != round(threshold, 2) else 4  # tell them apart
    told = f"{'reaches' if over else 'under'} its threshold {threshold:.{digits}f}"
    _titles(axes, f"{name}  {probability:.{digits}f}", told, _ALERT if over else _TEXT)


def _titles(axes: Axes, large: str, small: str, color: str) -> None:
    kwargs: dict[str, Any] = {"transform": axes.transAxes, "ha": "left", "va": "bottom"}
    axes.text(0.0, 1.072, large, fontsize=11.5, fontweight="bold", color=color, **kwargs)
    axes.text(0.0, 1.02, small, fontsize=7.5, color=_QUIET, **kwargs)


def _draw_scale(figure: Figure, place: tuple[float, float, float, float]) -> None:
    axes = figure.add_axes(place)
    values = np.linspace(1, 0, 256, dtype=np.float32)[:, None]
    opacity = opacity_of(values)[:, :, None]
    ground = np.array([0x0D, 0x11, 0x17], np.float32)
    drawn = (colours(values) * opacity + ground * (1 - opacity)).astype(np.uint8)
    axes.imshow(drawn, aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.tick_params(colors=_QUIET, labelsize=7, length=2, width=0.5)
    for spine in axes.spines.values():
        spine.set_color(_QUIET)
        spine.set_linewidth(0.5)


def _foot_lines(panel: Panel, width: float) -> list[str]:
    """Return the lines under the pictures, the first one the probabilities."""
    six = (f"{label} {p:.2f}" for label, p in zip(LABELS, panel.probabilities, strict=True))
    name = _METHOD_NAMES.get(panel.method, panel.method)
    scale = f"{name}: where the model looked. A map's peak is its label's probability."
    fits = int((width - 2 * _SIDE) * _LETTERS_AN_INCH)
    told = [scale, f"{RESEARCH_ONLY} {panel.caveat}".strip()]
    return ["    ".join(six), *(line for one in told for line in wrap(one, fits))]


def _draw_foot(figure: Figure, lines: list[str], width: float, height: float) -> None:
    for place, line in enumerate(lines):
        y = (_FOOT / 2 + _LINE * (len(lines) - 1 - place)) / height
        size, color = (8.5, _TEXT) if place == 0 else (7.5, _QUIET)
        figure.text(_SIDE / width, y, line, fontsize=size, color=color, va="center")
