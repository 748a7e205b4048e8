"""What is measured, and on what: a bundle on prepared data, two tables, or a run's folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ich_cli.core.data import PreparedDataset, read_out_of_fold
from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.bootstrap import percentiles, resample
from ich_cli.core.evaluate.calibration import Targets
from ich_cli.core.evaluate.cases import Cases, Floats, in_common
from ich_cli.core.evaluate.cross_fit import (
    best_elsewhere,
    best_f1,
    folds_of,
    learn,
    shown_elsewhere,
    to_logits,
)
from ich_cli.core.evaluate.match_tables import match
from ich_cli.core.evaluate.metrics import Report
from ich_cli.core.evaluate.run_bundle import has_learned_from, score
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.study import StudyRule

Advance = Callable[[int], None]
CHOSEN_HERE = "chosen on these same predictions: F1, precision, recall and specificity flatter"


@dataclass(frozen=True, eq=False)
class Assessment:
    """One model's answers on one data set."""

    name: str
    """Of the model."""
    data: str
    split: str
    """Which part of the data, and whether the model has seen it."""
    chosen: str
    """Where the thresholds come from."""
    slices: Cases
    studies: Cases
    remarks: tuple[str, ...] = ()
    """What was left out, or flatters."""
    pixels: PreparedDataset | None = None
    """Where the pictures of the slices are."""
    caveat: str = ""
    data_sha256: str = ""

    @property
    def on(self) -> str:
        """Say on what its figures are."""
        return f"{self.data} ({self.split})"


def of_bundle(
    predictor: Predictor,
    data: PreparedDataset,
    thresholds: Mapping[str, float],
    advance: Advance = lambda n: None,
) -> Assessment:
    """Run a bundle on a prepared data set."""
    p = score(predictor, data, advance)
    seen = has_learned_from(predictor, data)
    slices = of_data(data, p, thresholds)
    own = dict(thresholds) == dict(predictor.bundle.config.thresholds)
    return Assessment(
        name=predictor.bundle.path.resolve().name,
        data=data.name,
        split="the very slices it learned from" if seen else "slices it did not learn from",
        chosen="the bundle's" if own else "as given",
        slices=slices,
        studies=slices.by_study(predictor.study_rule(thresholds)),
        remarks=(f"this bundle learned from {data.name}: these figures flatter it",) * seen,
        pixels=data,
        caveat=predictor.caveat,
        data_sha256=data.sha256,
    )


def of_data(data: PreparedDataset, p: Floats, thresholds: Mapping[str, float]) -> Cases:
    """Return the slices of a data set with their probabilities."""
    studies = [f"{row.patient} {row.study}" for row in data.rows]
    names = tuple(row.name for row in data.rows)
    return Cases.of(
        data.labels, p, thresholds, patients=data.patients, studies=studies, names=names
    )


def of_tables(predictions: Path, labels: Path, thresholds: Mapping[str, float]) -> Assessment:
    """Bring a table of predictions and one of labels together."""
    found = match(predictions, labels)
    slices = Cases.of(
        found.labels, found.probabilities, thresholds, patients=found.patients,
        studies=found.studies, names=found.names,
    )  # fmt: skip
    remarks = found.remarks(str(predictions), str(labels))
    if found.grouped != "patient":
        who = "studies" if found.grouped else "slices"
        remarks.append(f"no patients in the tables: intervals take {who} as independent")
    return Assessment(
        name=predictions.stem, data=labels.name, split="the slices that both tables have",
        chosen="as given" if set(thresholds.values()) != {0.5} else "0.5 for all",
        slices=slices, studies=slices.by_study(StudyRule.from_threshold(thresholds["any"])),
        remarks=tuple(remarks),
    )  # fmt: skip


def of_folds(path: Path, thresholds: Mapping[str, float] | None = None) -> Assessment:
    """Read the ``oof.csv`` of a training run: each slice by the model that did not see it.

    Thresholds are those of the run's bundle: chosen on these predictions. Studies, and F1 at its
    best threshold, are by what the other folds have chosen.
    """
    path = path / "oof.csv" if path.is_dir() else path
    found = read_out_of_fold(path)
    who = found.patients
    if all(name.isdecimal() for name in who.tolist()):
        who = who.astype(np.int64)  # in the order of the run, so that its draws are drawn again
    blank = dict.fromkeys(LABELS, 0.5)
    whose = Cases.of(found.labels, found.probabilities, blank, patients=who,
                     names=found.names)  # fmt: skip
    logits = to_logits(found.probabilities) if found.logits is None else found.logits
    folds = folds_of(whose) if found.folds is None else found.folds
    chosen = learn(whose, logits, Targets()).thresholds
    slices = Cases.of(
        found.labels, found.probabilities, thresholds or chosen, patients=who, names=found.names
    )
    slices = replace(slices, called_best=best_elsewhere(slices, folds))
    _, studies = shown_elsewhere(slices, logits, folds, Targets(), False)
    run = path.resolve().parent.name
    return Assessment(
        name=run, data=run, split=f"out of fold, {np.unique(folds).size} folds by patient",
        chosen="as given" if thresholds else CHOSEN_HERE, slices=slices, studies=studies,
    )  # fmt: skip


def beside(one: Assessment, data: PreparedDataset) -> Assessment:
    """Say which data set an `of_folds` is of, so that its slices can be shown.

    Raises
    ------
    DataError
        If it is of another data set.
    """
    if one.slices.names != tuple(row.name for row in data.rows):
        raise DataError(f"{data.name} is not the data set of {one.name}: other slices")
    name = str(data.about["source"]["name"])
    return replace(one, data=name, pixels=data, data_sha256=data.sha256)


def choosing_on(one: Assessment, validation: Assessment) -> Assessment:
    """Add F1 at the thresholds that are best on other slices."""
    called = one.slices.probabilities >= best_f1(validation.slices)
    return replace(one, slices=replace(one.slices, called_best=called))


@dataclass(frozen=True)
class Compared:
    """How much better or worse than the first one, with paired intervals."""

    name: str
    values: dict[str, float | None]
    """Figure → its value."""
    differences: dict[str, float]
    """Figure → value minus the first one's; empty for the first."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 %, of the differences: the same draws of patients for both."""


FIGURES = ("any.auroc", "macro.auroc", "any.ap", "macro.ap", "any.f1", "macro.f1",
           "macro.f1_at_half", "any.ece", "weighted_log_loss")  # fmt: skip
"""What models are compared by."""


def compare(
    models: list[Assessment], unit: str, bootstrap: int, seed: int
) -> tuple[list[Compared], int]:
    """Compare models on the slices, or studies, that all of them have; return these, and how many.

    Raises
    ------
    DataError
        If there is none, or their labels differ.
    """
    names = [one.name for one in models]
    shared = in_common([one.slices if unit == "slice" else one.studies for one in models], names)
    reports = [one.report(bootstrap=0) for one in shared]
    few = bootstrap == 0 or reports[0].patients < 2
    draws = [{} if few else resample(one.scores, bootstrap, seed) for one in shared]
    first = _figures(reports[0])
    out = [Compared(names[0], first, {})]
    for name, report, drawn in zip(names[1:], reports[1:], draws[1:], strict=True):
        own = _figures(report)
        known = {k: v for k, v in own.items() if v is not None and first[k] is not None}
        differences = {k: v - float(first[k] or 0.0) for k, v in known.items()}
        paired = {k: drawn[k] - draws[0][k] for k in differences if k in drawn}
        out.append(Compared(name, own, differences, percentiles(paired)))
    return out, len(shared[0])


def _figures(report: Report) -> dict[str, float | None]:
    out: dict[str, float | None] = {"weighted_log_loss": report.weighted_log_loss}
    for figure in FIGURES:
        label, _, metric = figure.partition(".")
        if metric:
            source = report.macro if label == "macro" else report.labels[label]
            out[figure] = source[metric]
    return {figure: out[figure] for figure in FIGURES}
