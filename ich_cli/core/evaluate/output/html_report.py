"""HTML page of an evaluation: one self-contained file."""

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
from ich_cli.core.evaluate.comparison import METRICS, Comparison
from ich_cli.core.evaluate.labelled_predictions import Evaluation
from ich_cli.core.evaluate.metrics import Report
from ich_cli.core.evaluate.output.figures import (
    COLOURS,
    PANELS,
    CurveData,
    before_and_after,
    curve_data,
    panel_svg,
)
from ich_cli.core.evaluate.output.top_errors import KINDS, find_top_errors, first_window
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.viz import render_html

RANKING: Final = {"auroc": "AUROC", "ap": "average precision", "f1": "F1",
                  "f1_at_half": "F1 at 0.5", "f1_best": "best F1, cross-fitted"}  # fmt: skip
AT_THRESHOLD: Final = {"threshold": "threshold", "precision": "precision", "recall": "sensitivity",
              "specificity": "specificity", "brier": "Brier", "ece": "ECE",
              "log_loss": "log loss"}  # fmt: skip
NOTES: Final = {
    "roc": "Dots: the thresholds.",
    "precision_recall": "Dots: the thresholds. Dashed: the share of positives, which is the "
    "precision of guessing.",
    "reliability": "Groups of equal size; bars: 95 % intervals, bootstrap over patients; both axes "
    "have a square-root scale, because rare labels have low probabilities. On the diagonal "
    "probabilities are calibrated. The ECE is biased upwards in small samples, so its interval may "
    "lie above it.",
    "confusion": "Counts at the thresholds, and their share of the slices with and without the "
    "label.",
}
_SIDE: Final = 128  # pixels of a thumbnail


def render_page(
    models: Sequence[Evaluation],
    compared: Sequence[tuple[str, Sequence[Comparison], int]] = (),
    *,
    names: bool = False,
    before: Evaluation | None = None,
) -> str:
    """Return the page as text.

    It names data, split and models, but no patient or file; slices are shown by row.

    Parameters
    ----------
    models
        At least one; confusion and top errors are the first one's.
    compared
        Unit, rows and number of cases of each comparison.
    names
        Show the names of slices in place of rows.
    before
        The first model before calibration.
    """
    first = models[0]
    return render_html(
        "ich_cli.core.evaluate.output", "evaluation.html.j2",
        version=__version__, research_only=RESEARCH_ONLY, labels=LABELS, models=models,
        first=first, tables=[_tables(one) for one in models], compared=compared,
        metrics=METRICS, panels=_panels(models, before), errors=_errors(first, names),
        colours=COLOURS, caveat=first.predictions.caveat,
    )  # fmt: skip


def _tables(one: Evaluation) -> list[dict[str, Any]]:
    return [
        {"unit": report.unit, "report": report, "columns": columns, "rows": _rows(report, columns)}
        for report in (one.slices, one.studies)
        for columns in (_known(report, RANKING), AT_THRESHOLD)
    ]


def _known(report: Report, columns: dict[str, str]) -> dict[str, str]:
    """Leave out cross-fitted F1 if it was not computed."""
    fitted = any(values["f1_best"] is not None for values in report.labels.values())
    return {name: title for name, title in columns.items() if fitted or name != "f1_best"}


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


def _panels(models: Sequence[Evaluation], before: Evaluation | None) -> list[dict[str, Any]]:
    shown: list[tuple[str, str, Sequence[CurveData]]] = [
        (name, title, curve_data(models)) for name, (title, _) in PANELS.items()
    ]
    if before:
        pair = before_and_after(before, models[0])
        shown.insert(3, ("reliability", "Reliability before and after calibration", pair))
    return [
        {
            "title": title,
            "note": NOTES[name],
            "first_only": name == "confusion" and len(models) > 1,
            "tiles": [
                {
                    "label": label,
                    "text": _alternative(name, group, label),
                    # safe: drawn from numbers; the only text of a user is names, escaped
                    "svg": Markup(panel_svg(name, group, k)),
                }
                for k, label in enumerate(LABELS)
            ],
        }
        for name, title, group in shown
    ]


def _alternative(name: str, group: Sequence[CurveData], label: str) -> str:
    """Return the text alternative of a panel, for screen readers."""
    if name == "confusion":
        c = group[0].report.confusion[label]
        return (f"{c['tp']} true positives, {c['fn']} false negatives, "
                f"{c['fp']} false positives, {c['tn']} true negatives")  # fmt: skip
    metric = {"roc": "auroc", "precision_recall": "ap", "reliability": "ece"}[name]
    values = ((m.name, m.report.labels[label][metric]) for m in group)
    return ", ".join(
        f"{model} {metric.upper()} {'not defined' if v is None else f'{v:.3f}'}".strip()
        for model, v in values
    )


def _errors(first: Evaluation, names: bool) -> list[dict[str, Any]]:
    data = first.predictions.images
    found = find_top_errors(first.predictions.slices)
    return [
        {
            "label": label,
            "kind": kind,
            "tiles": [
                {
                    "name": e.name if names else f"row {e.row}",
                    "probability": e.probability,
                    "png": _png(data, e.row) if data is not None else "",
                }
                for e in found
                if (e.label, e.kind) == (label, kind)
            ],
        }
        for label in LABELS
        for kind in KINDS
    ]


def _png(data: PreparedDataset, row: int) -> str:
    small: NDArray[np.uint8] = np.asarray(
        cv2.resize(first_window(data, row), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )
    return base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode()
