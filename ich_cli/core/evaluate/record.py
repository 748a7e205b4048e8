"""What `ich evaluate --output` leaves: metrics.json, figures, worst slices, a card's Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ich_cli._version import __version__
from ich_cli.core.evaluate.assessment import Assessment, Compared
from ich_cli.core.evaluate.figures import Drawn, write_before_after, write_metric_figures
from ich_cli.core.evaluate.metrics import Report
from ich_cli.core.evaluate.worst_cases import Mistake, mistakes, write_mistakes, write_worst
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.system import output_error, replacing, write_json

FORMAT: Final = 1


@dataclass(frozen=True, eq=False)
class Measured:
    """A model with its reports."""

    assessment: Assessment
    slices: Report
    studies: Report

    @property
    def name(self) -> str:
        """Of the model."""
        return self.assessment.name

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; no name of a slice or patient."""
        one = self.assessment
        return {
            "model": one.name,
            "data": one.data,
            "data_sha256": one.data_sha256,
            "split": one.split,
            "thresholds": dict(one.slices.thresholds),
            "thresholds_chosen": one.chosen,
            "remarks": list(one.remarks),
            "slice": self.slices.to_dict(),
            "study": self.studies.to_dict(),
        }


def to_json(
    models: Sequence[Measured], compared: Sequence[tuple[str, Sequence[Compared], int]] = ()
) -> dict[str, Any]:
    """Return ``metrics.json``: the first model's figures, and those of the others beside.

    Parameters
    ----------
    models
        At least one.
    compared
        Unit, rows and number of cases of each comparison.
    """
    out = {"format": FORMAT, "ich": __version__, **models[0].to_dict()}
    if len(models) > 1:
        out["others"] = [one.to_dict() for one in models[1:]]
        out["compared"] = {
            unit: {"count": count, "with": models[0].name, "models": [vars(one) for one in rows]}
            for unit, rows, count in compared
        }
    return out


def drawn(models: Sequence[Measured]) -> list[Drawn]:
    """Return what the figures need; a single model needs no name."""
    alone = len(models) == 1
    return [Drawn("" if alone else m.name, m.assessment.slices, m.slices) for m in models]


def write_evaluation(
    folder: Path,
    models: Sequence[Measured],
    page: str,
    values: dict[str, Any],
    *,
    names: bool = False,
    before: Measured | None = None,
) -> None:
    """Write the page, the figures, the worst slices of the first model, and metrics.json last.

    Parameters
    ----------
    folder
        Made if it is not there; other files in it stay.
    models
        At least one.
    page
        As `render_page` gave it.
    values
        As `to_json` gave them.
    names
        Say what the data call the worst slices.
    before
        The first one before it was calibrated.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    figures, first = folder / "figures", models[0].assessment
    try:
        figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    write_metric_figures(figures, drawn(models), first.on)
    if before:
        pair = [Drawn(word, m.assessment.slices, m.slices)
                for word, m in (("before", before), ("after", models[0]))]  # fmt: skip
        write_before_after(figures, pair[0], pair[1], first.on)
    found = mistakes(first.slices)
    write_mistakes(folder / "worst.csv", found, names=names)
    if first.pixels is not None:
        write_worst(folder / "worst.png", found, first.pixels, first.on, names=names)
    for name, text in (("report.html", page), ("card.md", card(models[0], found, names=names))):
        with replacing(folder / name) as file:
            file.write(text.encode("utf-8"))
    write_json(folder / "metrics.json", values)


def card(model: Measured, found: Sequence[Mistake], *, names: bool = False) -> str:
    """Return Markdown for a model's card: figures with intervals, confusion, mistakes; no picture.

    Parameters
    ----------
    model
        What was measured.
    found
        As `mistakes` gave them.
    names
        Say what the data call the slices; else their rows.
    """
    one = model.assessment
    parts = [
        f"## Measured on {one.on}",
        f"{RESEARCH_ONLY} In brackets: 95 % intervals, bootstrap over patients. Thresholds: "
        f"{one.chosen}.",
        _figures("slice", model.slices),
        _figures("study", model.studies),
        "### Confusion, per slice\n\n" + _confusion(model.slices),
        "### What it gets wrong\n\nThe ten worst slices of each kind, as "
        f"{'the data call them' if names else 'rows of the data'}, with the probability.",
        _mistakes(found, names),
    ]
    return "\n\n".join(parts) + "\n"


_CARD: Final = {"auroc": "AUROC", "ap": "AP", "f1": "F1", "f1_at_half": "F1 at 0.5",
                "recall": "sensitivity", "specificity": "specificity", "brier": "Brier",
                "ece": "ECE"}  # fmt: skip


def _figures(unit: str, report: Report) -> str:
    rows = [[label, str(report.positives[label]),
             *(_cell(report, label, report.labels[label][k], k) for k in _CARD)]
            for label in LABELS]  # fmt: skip
    rows.append(["macro", "", *(_cell(report, "macro", report.macro[k], k) for k in _CARD)])
    loss = report.intervals.get("weighted_log_loss")
    between = f" ({loss[0]:.4f} to {loss[1]:.4f})" if loss else ""
    return (
        f"### Per {unit}: {report.count} of {report.patients} patients\n\n"
        + _table(["label", "n", *_CARD.values()], rows)
        + f"\n\nRSNA's weighted log loss: {report.weighted_log_loss:.4f}{between}."
    )


def _cell(report: Report, label: str, value: float | None, metric: str) -> str:
    between = report.intervals.get(f"{label}.{metric}")
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({between[0]:.3f} to {between[1]:.3f})" if between else "")


def _confusion(report: Report) -> str:
    head = ["label", "threshold", "found", "missed", "false alarms", "rightly negative"]
    rows = [
        [label, f"{report.labels[label]['threshold']:.4f}",
         *(str(report.confusion[label][k]) for k in ("tp", "fn", "fp", "tn"))]
        for label in LABELS
    ]  # fmt: skip
    return _table(head, rows)


def _mistakes(found: Sequence[Mistake], names: bool) -> str:
    rows = []
    for label in LABELS:
        for kind in ("false positive", "false negative"):
            own = [m for m in found if (m.label, m.kind) == (label, kind)]
            told = (f"{m.name if names else m.row} ({m.probability:.3f})" for m in own)
            rows.append([label, kind, ", ".join(told) or "none"])
    return _table(["label", "kind", "slices"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
