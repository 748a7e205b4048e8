"""Metrics as bundles store them."""

from __future__ import annotations

from typing import Any

from ich_cli.core.labels import LABELS

FIGURES = {"auroc": 0.9, "ap": 0.5, "f1": 0.25, "recall": 0.95, "specificity": None, "ece": 0.01}


METRICS: dict[str, Any] = {
    "on": "CT-X, out of fold, 5 folds by patient",
    "slices": 20,
    "patients": 4,
    "labels": dict.fromkeys(LABELS, FIGURES),
    "macro": FIGURES,
    "weighted_log_loss": 0.1234,
    "any_auroc_95": [0.8, 0.95],
    "patient_any_auroc": None,
}
