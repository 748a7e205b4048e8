"""An evaluation as one HTML page: nothing outside it is needed, nothing leaves it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.data import PreparedDataset
from ich_cli.core.evaluate.assessment import FIGURES, Compared
from ich_cli.core.evaluate.figures import COLOURS, PANELS, Drawn, panel_svg
from ich_cli.core.evaluate.metrics import Report
from ich_cli.core.evaluate.record import Measured, drawn
from ich_cli.core.evaluate.worst_cases import mistakes, thumb
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.viz import render_html

RANKING: Final = {"auroc": "AUROC", "ap": "average precision", "f1": "F1",
                  "f1_at_half": "F1 at 0.5", "f1_best": "best F1, chosen elsewhere"}  # fmt: skip
CUT: Final = {"threshold": "threshold", "precision": "precision", "recall": "sensitivity",
              "specificity": "specificity", "brier": "Brier", "ece": "ECE",
              "log_loss": "log loss"}  # fmt: skip
NOTES: Final = {
    "roc": "Dots: the thresholds.",
    "precision_recall": "Dots: the thresholds. Dashed: the share of positives, which is what "
    "guessing gets.",
    "reliability": "Groups of equal size; bars: 95 %, bootstrap over patients; both scales are "
    "square roots, for rare labels have low probabilities. On the diagonal a probability can be "
    "taken at its word. The ECE grows in small samples, so its interval lies above it.",
    "confusion": "Counts at the thresholds, and their share of the slices in which the label is "
    "absent or present.",
}
_SIDE: Final = 128  # of a small picture, pixels


def render_page(
    models: Sequence[Measured],
    compared: Sequence[tuple[str, Sequence[Compared], int]] = (),
    *,
    names: bool = False,
    before: Measured | None = None,
) -> str:
    """Return the page as text.

    It names data, split and models, and no patient or file; the worst slices go by their row.

    Parameters
    ----------
    models
        At least one; the first one's confusion and worst slices are shown.
    compared
        Unit, rows and number of cases of each comparison.
    names
        Say what the data call the worst slices.
    before
        The first one before it was calibrated.
    """
    first = models[0]
    return render_html(
        "ich_cli.core.evaluate", "evaluation.html.j2",
        version=__version__, research_only=RESEARCH_ONLY, labels=LABELS, models=models,
        first=first, tables=[_tables(one) for one in models], compared=compared,
        figures=FIGURES, panels=_panels(models, before), worst=_worst(first, names),
        colours=COLOURS, caveat=first.assessment.caveat,
    )  # fmt: skip


def _tables(one: Measured) -> list[dict[str, Any]]:
    return [
        {"unit": report.unit, "report": report, "columns": columns, "rows": _rows(report, columns)}
        for report in (one.slices, one.studies)
        for columns in (_measured_of(report, RANKING), CUT)
    ]


def _measured_of(report: Report, columns: dict[str, str]) -> dict[str, str]:
    """Leave out F1 at thresholds chosen elsewhere, where nobody has chosen any."""
    chosen = any(values["f1_best"] is not None for values in report.labels.values())
    return {name: title for name, title in columns.items() if chosen or name != "f1_best"}


def _rows(report: Report, columns: dict[str, str]) -> list[dict[str, Any]]:
    each = [(label, report.labels[label], report.positives[label]) for label in LABELS]
    each.append(("macro", report.macro, None))  # type: ignore[arg-type]
    return [
        {
            "label": label,
            "count": count,
            "cells": [(values.get(k), report.intervals.get(f"{label}.{k}")) for k in columns],
        }
        for label, values, count in each
    ]


def _panels(models: Sequence[Measured], before: Measured | None) -> list[dict[str, Any]]:
    shown: list[tuple[str, str, Sequence[Drawn]]] = [
        (name, title, drawn(models)) for name, (title, _) in PANELS.items()
    ]
    if before:
        pair = [Drawn(word, m.assessment.slices, m.slices)
                for word, m in (("before", before), ("after", models[0]))]  # fmt: skip
        shown.insert(3, ("reliability", "Reliability before and after calibration", pair))
    return [
        {
            "title": title,
            "note": NOTES[name],
            "first_only": name == "confusion" and len(models) > 1,
            "tiles": [
                {
                    "label": label,
                    "told": _told(name, group, label),
                    # drawn here, from numbers alone: no text of a user is in it but escaped names
                    "svg": Markup(panel_svg(name, group, k)),
                }
                for k, label in enumerate(LABELS)
            ],
        }
        for name, title, group in shown
    ]


def _told(name: str, group: Sequence[Drawn], label: str) -> str:
    """Say in words what a panel shows, for those who hear the page."""
    if name == "confusion":
        c = group[0].report.confusion[label]
        return (f"{c['tp']} found, {c['fn']} missed, {c['fp']} false alarms, "
                f"{c['tn']} rightly negative")  # fmt: skip
    metric = {"roc": "auroc", "precision_recall": "ap", "reliability": "ece"}[name]
    values = ((m.name, m.report.labels[label][metric]) for m in group)
    return ", ".join(
        f"{who} {metric.upper()} {'not defined' if v is None else f'{v:.3f}'}".strip()
        for who, v in values
    )


def _worst(first: Measured, names: bool) -> list[dict[str, Any]]:
    data = first.assessment.pixels
    found = mistakes(first.assessment.slices)
    return [
        {
            "label": label,
            "kind": kind,
            "tiles": [
                {
                    "name": m.name if names else f"row {m.row}",
                    "probability": m.probability,
                    "png": _png(data, m.row) if data is not None else "",
                }
                for m in found
                if (m.label, m.kind) == (label, kind)
            ],
        }
        for label in LABELS
        for kind in ("false positive", "false negative")
    ]


def _png(data: PreparedDataset, row: int) -> str:
    small: NDArray[np.uint8] = np.asarray(
        cv2.resize(thumb(data, row), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )
    return base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode()
