"""Figures: ROC, precision-recall, reliability and confusion, one panel for each label."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from ich_cli.core.evaluate.bootstrap import resample_bins
from ich_cli.core.evaluate.cases import Cases
from ich_cli.core.evaluate.labelled_predictions import Evaluation
from ich_cli.core.evaluate.metrics import Report
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.viz import LIGHT, Theme, add_axes, new_figure, write_figure, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

COLOURS: Final = ("#0b72b9", "#d1660a", "#23875a", "#a8479a", "#7a6a00", "#b03a3a")
"""Colours of models, in order; distinct for the colour-blind, on light and on dark."""
GRID: Final = "#c3cad2"
_MOST_POINTS: Final = 600  # of a curve: more than it has pixels
_GROUPS: Final = 8  # groups of equal size in a reliability diagram
_PANEL, _GAP_X, _GAP_Y, _EDGE = 2.5, 0.62, 0.86, 0.6  # inches


@dataclass(frozen=True, eq=False)
class CurveData:
    """One model's cases and metrics, for the figures."""

    name: str
    cases: Cases
    report: Report


def curve_data(models: Sequence[Evaluation]) -> list[CurveData]:
    """Return the slices of models; a single model needs no name."""
    alone = len(models) == 1
    return [CurveData("" if alone else m.name, m.predictions.slices, m.slices) for m in models]


def before_and_after(before: Evaluation, after: Evaluation) -> tuple[CurveData, CurveData]:
    """Return the slices of a model before and after calibration."""
    return (CurveData("before", before.predictions.slices, before.slices),
            CurveData("after", after.predictions.slices, after.slices))  # fmt: skip


Corner = Literal["lower right", "upper left", "best"]
Draw = Callable[["Axes", Sequence[CurveData], int, Theme], None]


def draw_roc(axes: Axes, models: Sequence[CurveData], k: int, theme: Theme = LIGHT) -> None:
    """Draw true against false positive rate; dots are the thresholds."""
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=0.8, linestyle=(0, (4, 3)))
    for model, colour in zip(models, COLOURS, strict=False):
        known = model.cases.scores.of(k)
        y, p = known.labels[:, k], known.probabilities[:, k]
        values = model.report.labels[LABELS[k]]
        if values["auroc"] is None:
            continue
        fpr, tpr, _ = roc_curve(y, p)
        axes.plot(
            *_thinned(fpr, tpr), color=colour, linewidth=1.4, label=_legend(model, k, "auroc")
        )
        axes.plot(1 - (values["specificity"] or 0), values["recall"] or 0, "o", color=colour,
                  markersize=4.5, markeredgecolor=theme.ground, markeredgewidth=0.6)  # fmt: skip
    missing = "no negative" if models[0].report.positives[LABELS[k]] else "no positive"
    _finish(axes, theme, "false positive rate", "true positive rate", "lower right", missing)


def draw_precision_recall(
    axes: Axes, models: Sequence[CurveData], k: int, theme: Theme = LIGHT
) -> None:
    """Draw precision against recall; the dashed line is the share of positives."""
    for model, colour in zip(models, COLOURS, strict=False):
        known = model.cases.scores.of(k)
        y, p = known.labels[:, k], known.probabilities[:, k]
        values = model.report.labels[LABELS[k]]
        if not y.any():
            continue
        axes.axhline(y.mean(), color=GRID, linewidth=0.8, linestyle=(0, (4, 3)))
        precision, recall, _ = precision_recall_curve(y, p)
        axes.step(*_thinned(recall, precision), where="post", color=colour, linewidth=1.4,
                  label=_legend(model, k, "ap"))  # fmt: skip
        if values["precision"] is not None:
            axes.plot(values["recall"] or 0, values["precision"], "o", color=colour, markersize=4.5,
                      markeredgecolor=theme.ground, markeredgewidth=0.6)  # fmt: skip
    _finish(axes, theme, "recall", "precision", "best")


def draw_reliability(axes: Axes, models: Sequence[CurveData], k: int, theme: Theme = LIGHT) -> None:
    """Draw observed share against mean probability in groups of equal size, with 95 % intervals.

    Both axes have a square-root scale, because rare labels have low probabilities.
    """
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=0.8, linestyle=(0, (4, 3)))
    for model, colour in zip(models, COLOURS, strict=False):
        if not len(model.cases.scores.of(k).labels):
            continue
        mean, seen, low, high = resample_bins(model.cases.scores, k, _GROUPS)
        root = [np.sqrt(values) for values in (mean, seen, low, high)]
        axes.vlines(root[0], root[2], root[3], color=colour, linewidth=0.9, alpha=0.6)
        axes.plot(root[0], root[1], "o-", color=colour, linewidth=1.1, markersize=3.6,
                  label=_legend(model, k, "ece"))  # fmt: skip
    _finish(axes, theme, "predicted probability", "observed share", "upper left")
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    names = ["0", ".01", ".05", ".2", ".5", "1"]
    axes.set_xticks(np.sqrt(ticks), names)
    axes.set_yticks(np.sqrt(ticks), names)


def draw_confusion(axes: Axes, models: Sequence[CurveData], k: int, theme: Theme = LIGHT) -> None:
    """Draw the first model's confusion matrix; shades are shares of a row."""
    counts = models[0].report.confusion[LABELS[k]]
    cells = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]])
    shares = cells / np.maximum(cells.sum(1, keepdims=True), 1)
    for row in range(2):
        for column in range(2):
            colour = COLOURS[0] if row == column else COLOURS[1]
            alpha = 0.1 + 0.45 * float(shares[row, column])
            across = [column, column + 1]
            axes.fill_between(across, 1 - row, 2 - row, color=colour, alpha=alpha, linewidth=0)
            place = (column + 0.5, 1.5 - row)
            axes.text(place[0], place[1] + 0.08, f"{cells[row, column]:,}", color=theme.text,
                      fontsize=11, ha="center", va="center", fontweight="bold")  # fmt: skip
            share = f"{100 * shares[row, column]:.1f} %" if cells[row].sum() else "none"
            axes.text(place[0], place[1] - 0.2, share, color=theme.text, fontsize=7.5,
                      ha="center", va="center")  # fmt: skip
    axes.set(xlim=(0, 2), ylim=(0, 2))
    axes.set_xticks([0.5, 1.5], ["negative", "positive"])
    axes.set_yticks([1.5, 0.5], ["absent", "present"], rotation=90, va="center")
    axes.set_xlabel("called", fontsize=8, color=theme.quiet, labelpad=2)
    axes.tick_params(colors=theme.quiet, labelsize=7.5, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


PANELS: Final[Mapping[str, tuple[str, Draw]]] = {
    "roc": ("Receiver operating characteristic", draw_roc),
    "precision_recall": ("Precision and recall", draw_precision_recall),
    "reliability": ("Reliability", draw_reliability),
    "confusion": ("Confusion at the thresholds", draw_confusion),
}
"""File name → title, and function that draws a panel."""


def write_metric_figures(folder: Path, models: Sequence[CurveData], on: str) -> list[Path]:
    """Write ``roc.png`` and so on, six panels each, without metadata.

    Parameters
    ----------
    folder
        Existing folder.
    models
        At least one; the confusion is the first one's.
    on
        Data set and split.
    """
    out = []
    for name in PANELS:
        out.append(folder / f"{name}.png")
        write_figure(out[-1], draw_all(name, models, on))
    return out


def write_before_after(folder: Path, before: CurveData, after: CurveData, on: str) -> Path:
    """Write ``calibration.png``: reliability before and after calibration."""
    path = folder / "calibration.png"
    write_figure(path, draw_all("reliability", (before, after), on))
    return path


def draw_all(name: str, models: Sequence[CurveData], on: str, theme: Theme = LIGHT) -> Figure:
    """Return a figure of six panels on the Agg canvas, without global state."""
    title, draw = PANELS[name]
    width = 2 * _EDGE + 3 * _PANEL + 2 * _GAP_X - 0.2
    height = 1.0 + 2 * _PANEL + _GAP_Y + 0.85
    figure = new_figure(width, height, theme)
    write_text(figure, _EDGE, height - 0.36, title, 12, theme.text, fontweight="bold")
    name_of = f"{models[0].name}, " if name == "confusion" and len(models) > 1 else ""
    write_text(figure, _EDGE, height - 0.6, name_of + on, 8, theme.quiet)
    for k, label in enumerate(LABELS):
        row, column = divmod(k, 3)
        left, bottom = _EDGE + column * (_PANEL + _GAP_X), 0.85 + (1 - row) * (_PANEL + _GAP_Y)
        axes = add_axes(figure, left, bottom, _PANEL, _PANEL)
        draw(axes, models, k, theme)
        axes.set_title(_headline(models[0].report, label), fontsize=9.5, loc="left",
                       color=theme.text, pad=5)  # fmt: skip
    write_text(figure, _EDGE, 0.16, f"{_caption(name)} {RESEARCH_ONLY}", 7, theme.quiet)
    return figure


def panel_svg(name: str, models: Sequence[CurveData], k: int) -> str:
    """Return one panel as inline SVG with the page's colours."""
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "ich",
        "font.family": "sans-serif",
    }
    with mpl.rc_context(settings):
        figure = new_figure(3.1, 3.0, LIGHT)
        axes = add_axes(figure, 0.52, 0.46, 2.5, 2.46)
        PANELS[name][1](axes, models, k, LIGHT)
        axes.patch.set_visible(False)
        text = io.StringIO()
        unsigned = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(text, format="svg", transparent=True, metadata=unsigned)
    return _themed(text.getvalue())


def _themed(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r' id="[a-z0-9]+_\d+"', "", svg)  # they would repeat within a page
    svg = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\"", r"\1", svg, count=1)
    svg = re.sub(r"(<svg[^>]*?) height=\"[^\"]*\"", r"\1", svg, count=1)
    for colour, variable in ((LIGHT.text, "text"), (LIGHT.quiet, "quiet"), (GRID, "line"),
                             (LIGHT.ground, "ground")):  # fmt: skip
        svg = svg.replace(colour, f"var(--{variable})")
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)


def _headline(report: Report, label: str) -> str:
    return f"{label}, {report.positives[label]} of {report.count}"


def _caption(name: str) -> str:
    return {
        "roc": "Dots: the thresholds. AUROC with its 95 % interval, bootstrap over patients.",
        "precision_recall": "Dots: the thresholds. Dashed: the share of positives. AP with its "
        "95 % interval, bootstrap over patients.",
        "reliability": "Groups of equal size; bars: 95 %, bootstrap over patients; square-root "
        "scales. ECE: 15 bins of equal width.",
        "confusion": "Counts, and shares of the slices with and without the label.",
    }[name]


def _legend(model: CurveData, k: int, metric: str) -> str:
    value = model.report.labels[LABELS[k]][metric]
    between = model.report.intervals.get(f"{LABELS[k]}.{metric}")
    name = {"auroc": "AUROC", "ap": "AP", "ece": "ECE"}[metric]
    shown = "-" if value is None else f"{value:.3f}"
    return f"{model.name} {name} {shown}".lstrip() + (
        f" ({between[0]:.2f}–{between[1]:.2f})" if between else ""  # noqa: RUF001
    )


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    if len(x) <= _MOST_POINTS:
        return x, y
    kept = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).astype(int))
    return x[kept], y[kept]


def _finish(
    axes: Axes, theme: Theme, x: str, y: str, corner: Corner, missing: str = "no positive"
) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_facecolor(theme.ground)
    axes.set_xlabel(x, fontsize=8, color=theme.quiet, labelpad=2)
    axes.set_ylabel(y, fontsize=8, color=theme.quiet, labelpad=2)
    axes.tick_params(colors=theme.quiet, labelsize=7.5, length=2.5, width=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.quiet)
        spine.set_linewidth(0.6)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=corner, fontsize=7, frameon=False, labelcolor=theme.text,
                    handlelength=1.2, borderaxespad=0.2)  # fmt: skip
    else:
        axes.text(0.5, 0.5, missing, transform=axes.transAxes, fontsize=8,
                  color=theme.quiet, ha="center", va="center")  # fmt: skip
