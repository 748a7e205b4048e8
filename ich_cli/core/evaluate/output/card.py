"""Section of a model card with an evaluation's metrics, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ich_cli.core.evaluate.labelled_predictions import Evaluation
from ich_cli.core.evaluate.metrics import Report
from ich_cli.core.evaluate.output.top_errors import KINDS, TopError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY

_COLUMNS: Final = {"auroc": "AUROC", "ap": "AP", "f1": "F1", "f1_at_half": "F1 at 0.5",
                   "recall": "sensitivity", "specificity": "specificity", "brier": "Brier",
                   "ece": "ECE"}  # fmt: skip


def card_section(model: Evaluation, errors: Sequence[TopError], *, names: bool = False) -> str:
    """Return Markdown: metrics with intervals, confusion and top errors, without images.

    Parameters
    ----------
    model
        Model with its metrics.
    errors
        Result of `find_top_errors`.
    names
        Show the names of slices; else their rows.
    """
    one = model.predictions
    parts = [
        f"## Evaluation on {one.data_and_split}",
        f"{RESEARCH_ONLY} In brackets: 95 % intervals, bootstrap over patients. Thresholds: "
        f"{one.threshold_source}.",
        _metrics("slice", model.slices),
        _metrics("study", model.studies),
        "### Confusion, per slice\n\n" + _confusion(model.slices),
        "### Top errors\n\nAt most ten slices of each kind, the most confident errors first, by "
        f"{'name' if names else 'row of the data'}, with the probability.",
        _errors(errors, names),
    ]
    return "\n\n".join(parts) + "\n"


def _metrics(unit: str, report: Report) -> str:
    rows = [[label, str(report.positives[label]),
             *(_cell(report, label, report.labels[label][k], k) for k in _COLUMNS)]
            for label in LABELS]  # fmt: skip
    rows.append(["macro", "", *(_cell(report, "macro", report.macro[k], k) for k in _COLUMNS)])
    loss = report.intervals.get("weighted_log_loss")
    between = f" ({loss[0]:.4f} to {loss[1]:.4f})" if loss else ""
    return (
        f"### Per {unit}: {report.count} of {report.patients} patients\n\n"
        + _table(["label", "n", *_COLUMNS.values()], rows)
        + f"\n\nRSNA's weighted log loss: {_loss(report.weighted_log_loss)}{between}."
    )


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _cell(report: Report, label: str, value: float | None, metric: str) -> str:
    between = report.intervals.get(f"{label}.{metric}")
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({between[0]:.3f} to {between[1]:.3f})" if between else "")


def _confusion(report: Report) -> str:
    head = ["label", "threshold", "true positives", "false negatives", "false positives",
            "true negatives"]  # fmt: skip
    rows = [
        [label, f"{report.labels[label]['threshold']:.4f}",
         *(str(report.confusion[label][k]) for k in ("tp", "fn", "fp", "tn"))]
        for label in LABELS
    ]  # fmt: skip
    return _table(head, rows)


def _errors(errors: Sequence[TopError], names: bool) -> str:
    rows = []
    for label in LABELS:
        for kind in KINDS:
            own = [e for e in errors if (e.label, e.kind) == (label, kind)]
            listed = (f"{e.name if names else e.row} ({e.probability:.3f})" for e in own)
            rows.append([label, kind, ", ".join(listed) or "none"])
    return _table(["label", "kind", "slices"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
