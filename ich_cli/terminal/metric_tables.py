"""Tables of metrics for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ich_cli.core.labels import LABELS, RESEARCH_ONLY, SHORT
from ich_cli.terminal import console

if TYPE_CHECKING:
    from rich.table import Table

    from ich_cli.core.evaluate import AggregationResult, Comparison
    from ich_cli.core.study import StudyRule

_RANKING = {"auroc": "AUROC (95 %)", "ap": "AP", "f1": "F1", "f1_at_half": "at 0.5"}
_AT_THRESHOLD = {
    "threshold": "threshold", "precision": "precision", "recall": "recall",
    "specificity": "specificity", "brier": "Brier", "ece": "ECE",
}  # fmt: skip


def print_report(title: str, report: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Print a report as a table, or as one line of JSON."""
    if as_json:
        console.stdout().file.write(json.dumps({"title": title, **report}) + "\n")
        return
    for columns, head, foot in ((_RANKING, title, None), (_AT_THRESHOLD, None, _caption(report))):
        console.stdout().print(_table(columns, report, head, foot))


def print_comparison(on: str, unit: str, rows: Sequence[Comparison], count: int) -> None:
    """Print a column for each model, with differences from the first."""
    from rich.table import Table

    caption = (
        f"{count} shared cases, per {unit}; below each metric its difference from the first model "
        f"and the paired 95 % interval; *: the interval excludes 0. "
        f"{RESEARCH_ONLY}"
    )
    table = Table(title=f"Comparison on {on}", caption=caption)
    table.add_column("metric", no_wrap=True)
    for one in rows:
        table.add_column(one.name, justify="right")
    for metric in rows[0].values:
        name = metric.replace("_", " ").replace(".", ", ")
        table.add_row(name, *(_compared_cell(one, metric) for one in rows))
    console.stdout().print(table)


def _compared_cell(one: Comparison, metric: str) -> str:
    value, between = one.values[metric], one.intervals.get(metric)
    if metric not in one.differences:
        return _number(value)
    clear = "*" if between and between[0] * between[1] > 0 else ""
    inside = f" ({between[0]:+.3f} to {between[1]:+.3f})" if between else ""
    return f"{_number(value)}\n{one.differences[metric]:+.3f}{inside}{clear}"


def print_aggregations(
    name: str,
    compared: Sequence[AggregationResult],
    rule: StudyRule | None,
    verdicts: Mapping[str, tuple[int, int]],
) -> None:
    """Print the AUROC of aggregations, the learned study rule and its verdicts."""
    console.stdout().print(_aggregations_table(name, compared))
    for line in _rule_lines(rule, verdicts):
        console.stdout().print(line)


def _aggregations_table(name: str, compared: Sequence[AggregationResult]) -> Table:
    from rich.table import Table

    title = f"AUROC per patient, {name} (out of fold; 95 % by bootstrap over patients)"
    table = Table(title=title, caption=RESEARCH_ONLY)
    table.add_column("aggregation", no_wrap=True)
    for label in LABELS:
        table.add_column(SHORT[label], justify="right")
    for one in compared:
        table.add_row(one.aggregation, *(_with_interval(one, label) for label in LABELS))
    return table


def _with_interval(one: AggregationResult, label: str) -> str:
    value, between = one.auroc[label], one.intervals.get(label)
    if value is None:
        return "-"
    return f"{value:.3f}" + (f"\n{between[0]:.2f}-{between[1]:.2f}" if between else "")


def _rule_lines(rule: StudyRule | None, verdicts: Mapping[str, tuple[int, int]]) -> list[str]:
    if rule is None:
        return ["too few studies with or without hemorrhage to learn a rule"]
    counts = ", ".join(f"{verdict} {a} / {b}" for verdict, (a, b) in verdicts.items())
    return [
        f"rule learned for {rule.aggregation}: negative below {rule.rule_out:.3f}, "
        f"positive from {rule.rule_in:.3f}",
        f"patients with / without hemorrhage: {counts}; the rule was learned from these patients",
    ]


def _table(
    columns: Mapping[str, str], report: Mapping[str, Any], title: str | None, caption: str | None
) -> Table:
    """Return one of two tables, each at most 80 columns wide."""
    from rich.table import Table

    table = Table(title=title, caption=caption, pad_edge=False, show_edge=False)
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
    loss = report["weighted_log_loss"]
    return (
        f"{_count(report)}; weighted log loss "
        f"{'-' if loss is None else f'{loss:.4f}'}{between}; {_intervals(report)}. {RESEARCH_ONLY}"
    )


def _intervals(report: Mapping[str, Any]) -> str:
    if report["intervals"]:
        return "intervals: 95 %, bootstrap over patients"
    return "no intervals" + (": one patient" if report["patients"] == 1 else "")


def _count(report: Mapping[str, Any]) -> str:
    one, many = ("study", "studies") if report["unit"] == "study" else ("slice", "slices")
    if report["unit"] == "patient":
        one, many = "patient", "patients"
    units = one if report["count"] == 1 else many
    patients = "patient" if report["patients"] == 1 else "patients"
    return f"{report['count']} {units} of {report['patients']} {patients}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
