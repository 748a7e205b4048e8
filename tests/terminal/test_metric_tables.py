"""Tables of metrics in a terminal of 80 columns."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from ich_cli.core.labels import LABELS
from ich_cli.terminal import console, metric_tables


def test_no_number_is_cut_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("auroc", "ap", "f1", "f1_at_half", "precision", "recall", "specificity", "brier")
    metrics = {**dict.fromkeys(names, 0.123), "threshold": 0.456, "ece": 0.789}
    report = {
        "unit": "slice", "count": 700_000, "patients": 18_000, "weighted_log_loss": 0.1,
        "labels": dict.fromkeys(LABELS, metrics), "macro": metrics,
        "positives": dict.fromkeys(LABELS, 100_000),
        "intervals": {f"{label}.auroc": (0.1, 0.2) for label in LABELS},
    }  # fmt: skip
    stream = StringIO()
    monkeypatch.setattr(console, "stdout", lambda: Console(file=stream, width=80))
    metric_tables.print_report("prepared", report)
    text = stream.getvalue()
    assert "…" not in text
    assert text.count("0.789") == len(LABELS) + 1
    assert text.count("0.123 (0.100-0.200)") == len(LABELS)
