"""Predictions with labels: a bundle on prepared data, two tables, or the folds of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ich_cli.core.data import PreparedDataset, read_out_of_fold
from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.calibration import Targets
from ich_cli.core.evaluate.cases import Cases, Floats
from ich_cli.core.evaluate.cross_fit import (
    best_f1_thresholds,
    cross_fitted_best_f1,
    cross_fitted_cases,
    finite_logits,
    learn_parameters,
    split_patients,
)
from ich_cli.core.evaluate.match_tables import match
from ich_cli.core.evaluate.metrics import Report
from ich_cli.core.evaluate.run_bundle import predict_prepared, seen_by
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.study import StudyRule

Advance = Callable[[int], None]
OPTIMISTIC = (
    "chosen on these same predictions: F1, precision, recall and specificity are optimistic"
)


@dataclass(frozen=True, eq=False)
class LabelledPredictions:
    """One model's predictions on one labelled data set."""

    name: str
    """Name of the model."""
    data: str
    """Name of the data set."""
    split: str
    """Part of the data, and whether the model was trained on it."""
    threshold_source: str
    """Where the thresholds come from."""
    slices: Cases
    studies: Cases
    remarks: tuple[str, ...] = ()
    """Warnings: cases that were left out, and optimistic metrics."""
    images: PreparedDataset | None = None
    """Data set with the images of the slices."""
    caveat: str = ""
    """Warning to show with the predictions."""
    data_sha256: str = ""

    @property
    def data_and_split(self) -> str:
        """Data set and split, for captions."""
        return f"{self.data} ({self.split})"

    def evaluate(
        self, bootstrap: int = 1000, seed: int = 0, progress: Advance = lambda n: None
    ) -> Evaluation:
        """Compute the metrics per slice and per study; see `metrics.evaluate`."""
        reports = [one.report(bootstrap, seed, progress) for one in (self.slices, self.studies)]
        return Evaluation(self, *reports)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's predictions with their metrics."""

    predictions: LabelledPredictions
    slices: Report
    studies: Report

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.predictions.name

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the name of any slice or patient."""
        one = self.predictions
        return {
            "model": one.name,
            "data": one.data,
            "data_sha256": one.data_sha256,
            "split": one.split,
            "thresholds": dict(one.slices.thresholds),
            "thresholds_chosen": one.threshold_source,
            "remarks": list(one.remarks),
            "slice": self.slices.to_dict(),
            "study": self.studies.to_dict(),
        }


def from_bundle(
    predictor: Predictor,
    data: PreparedDataset,
    thresholds: Mapping[str, float],
    progress: Advance = lambda n: None,
) -> LabelledPredictions:
    """Run a bundle on a prepared data set."""
    p = predict_prepared(predictor, data, progress)
    seen = seen_by(predictor, data)
    slices = from_data(data, p, thresholds)
    own = dict(thresholds) == dict(predictor.bundle.config.thresholds)
    return LabelledPredictions(
        name=predictor.bundle.path.resolve().name,
        data=data.name,
        split=seen.title,
        threshold_source="the bundle's" if own else "as given",
        slices=slices,
        studies=slices.by_study(predictor.study_rule(thresholds)),
        remarks=(seen.remark(),) if seen.remark() else (),
        images=data,
        caveat=predictor.caveat,
        data_sha256=data.sha256,
    )


def from_data(data: PreparedDataset, p: Floats, thresholds: Mapping[str, float]) -> Cases:
    """Return the slices of a data set with their probabilities ``(N, 6)``."""
    studies = [f"{row.patient} {row.study}" for row in data.rows]
    names = tuple(row.name for row in data.rows)
    return Cases.from_arrays(
        data.labels,
        p,
        thresholds,
        patients=data.patients,
        studies=studies,
        names=names,
        study_labels=data.study_labels,
    )


def from_tables(
    predictions: Path, labels: Path, thresholds: Mapping[str, float]
) -> LabelledPredictions:
    """Match a table of predictions with a table of labels.

    Raises
    ------
    DataError
        If a table cannot be read, or no slice is in both.
    """
    found = match(predictions, labels)
    slices = Cases.from_arrays(
        found.labels, found.probabilities, thresholds, patients=found.patients,
        studies=found.studies, names=found.names,
    )  # fmt: skip
    remarks = found.remarks(str(predictions), str(labels))
    if found.grouped != "patient":
        unit = "studies" if found.grouped else "slices"
        remarks.append(f"no patients in the tables: intervals treat {unit} as independent")
    return LabelledPredictions(
        name=predictions.stem, data=labels.name, split="the slices that both tables have",
        threshold_source="as given" if set(thresholds.values()) != {0.5} else "0.5 for all",
        slices=slices, studies=slices.by_study(StudyRule.from_threshold(thresholds["any"])),
        remarks=tuple(remarks),
    )  # fmt: skip


def from_folds(path: Path, thresholds: Mapping[str, float] | None = None) -> LabelledPredictions:
    """Read the ``oof.csv`` of a training run: each slice predicted by the fold that left it out.

    The thresholds are those of the run's bundle, which were chosen on these predictions. Study
    probabilities, and F1 at its best threshold, are cross-fitted: learned from the other folds.
    """
    path = path / "oof.csv" if path.is_dir() else path
    found = read_out_of_fold(path)
    patients = found.patients
    if all(name.isdecimal() for name in patients.tolist()):
        patients = patients.astype(np.int64)  # sorted as in the run, so that its draws recur
    half = dict.fromkeys(LABELS, 0.5)
    cases = Cases.from_arrays(found.known_labels, found.probabilities, half, patients=patients,
                              names=found.names)  # fmt: skip
    logits = finite_logits(found.probabilities) if found.logits is None else found.logits
    folds = split_patients(cases) if found.folds is None else found.folds
    chosen = learn_parameters(cases, logits, Targets()).thresholds
    slices = Cases.from_arrays(
        found.known_labels, found.probabilities, thresholds or chosen, patients=patients,
        names=found.names,
    )  # fmt: skip
    slices = replace(slices, called_best=cross_fitted_best_f1(slices, folds))
    _, studies = cross_fitted_cases(slices, logits, folds, Targets(), False)
    run = path.resolve().parent.name
    return LabelledPredictions(
        name=run, data=run, split=f"out of fold, {np.unique(folds).size} folds by patient",
        threshold_source="as given" if thresholds else OPTIMISTIC, slices=slices, studies=studies,
    )  # fmt: skip


def with_images(one: LabelledPredictions, data: PreparedDataset) -> LabelledPredictions:
    """Return predictions of `from_folds` with the data set that shows their slices.

    Raises
    ------
    DataError
        If the run was trained on another data set.
    """
    if one.slices.names != tuple(row.name for row in data.rows):
        raise DataError(f"{data.name} is not the data set of {one.name}: its slices differ")
    name = str(data.about["source"]["name"])
    return replace(one, data=name, images=data, data_sha256=data.sha256)


def with_best_f1_of(
    one: LabelledPredictions, validation: LabelledPredictions
) -> LabelledPredictions:
    """Return `one` with F1 at the thresholds that are best on the validation slices."""
    called = one.slices.probabilities >= best_f1_thresholds(validation.slices)
    return replace(one, slices=replace(one.slices, called_best=called))
