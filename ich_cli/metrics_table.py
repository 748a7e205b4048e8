"""Metrics as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ich_cli import console
from ich_cli.core.labels import LABELS, RESEARCH_ONLY

if TYPE_CHECKING:
    from rich.table import Table

_RANKING = {"auroc": "AUROC (95 %)", "ap": "AP", "f1": "F1", "f1_at_half": "F1 at 0.5"}
_AT_THRESHOLD = {
    "threshold": "cut", "precision": "precision", "recall": "recall",
    "specificity": "specificity", "brier": "Brier", "ece": "ECE",
}  # fmt: skip


def print_report(title: str, report: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Write a report to stdout: a table, or one line of JSON."""
    if as_json:
        console.stdout().file.write(json.dumps({"title": title, **report}) + "\n")
        return
    for columns, head, foot in ((_RANKING, title, None), (_AT_THRESHOLD, None, _caption(report))):
        console.stdout().print(_table(columns, report, head, foot))


def _table(
    columns: Mapping[str, str], report: Mapping[str, Any], title: str | None, caption: str | None
) -> Table:
    """Return one of two tables, so that both fit into 80 columns."""
    from rich.table import Table

    table = Table(title=title, caption=caption)
    table.add_column("label", no_wrap=True)
    if "auroc" in columns:
        table.add_column("n", justify="right")
    for name in columns.values():
        table.add_column(name, justify="right", no_wrap=True)
    for label in LABELS:
        count = [str(report["positives"][label])] if "auroc" in columns else []
        table.add_row(label, *count, *_cells(label, report["labels"][label], report, columns))
    count = [""] if "auroc" in columns else []
    cells = _cells("macro", report["macro"], report, columns)
    table.add_row("macro", *count, *cells, style="bold")
    return table


def _cells(
    name: str, values: Mapping[str, float | None], report: Mapping[str, Any], columns: Iterable[str]
) -> list[str]:
    cells = [_number(values.get(key)) for key in columns]
    interval = report["intervals"].get(f"{name}.auroc")
    if "auroc" in columns and interval:
        cells[0] += f" ({interval[0]:.3f}-{interval[1]:.3f})"
    return cells


def _caption(report: Mapping[str, Any]) -> str:
    interval = report["intervals"].get("weighted_log_loss")
    between = f" ({interval[0]:.4f}-{interval[1]:.4f})" if interval else ""
    return (
        f"{report['count']} {report['unit']}s; weighted log loss "
        f"{report['weighted_log_loss']:.4f}{between}; intervals: 95 %, bootstrap over patients. "
        f"{RESEARCH_ONLY}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
