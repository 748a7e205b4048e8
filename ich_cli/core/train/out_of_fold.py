"""What the folds say of slices they never saw: calibration, thresholds and honest figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.bundle import Calibration, SequenceConfig
from ich_cli.core.data import PreparedDataset
from ich_cli.core.evaluate import (
    Report,
    bundle_metrics,
    choose_thresholds,
    evaluate,
    learn_calibration,
    learn_rule,
    quick_metrics,
)
from ich_cli.core.labels import LABELS
from ich_cli.core.model import SequenceKind, SequenceModel, learn_sequence
from ich_cli.core.study import StudyRule
from ich_cli.core.system import write_csv, write_json
from ich_cli.core.train.inference import Logits


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions of every slice by a model that did not see its patient."""

    data: PreparedDataset
    fold_of: NDArray[np.int64]
    logits: Logits
    without: OutOfFold | None = None
    """The same slices before the second stage, where there is one."""

    def with_sequence(self, kind: SequenceKind, seed: int) -> OutOfFold:
        """Return what a second stage makes of these logits, learned from the other folds each."""
        logits, series = np.empty_like(self.logits), self.data.series_rows()
        for fold in np.unique(self.fold_of):
            others = [rows for rows in series if self.fold_of[rows[0]] != fold]
            stage = learn_sequence(self.logits, self.data.labels, others, kind, seed)
            for rows in series:
                if self.fold_of[rows[0]] == fold:
                    logits[rows] = stage.apply_to(self.logits[rows].astype(np.float64))
        return OutOfFold(self.data, self.fold_of, logits, self)

    def stage(self, kind: SequenceKind, seed: int) -> tuple[SequenceModel, SequenceConfig] | None:
        """Learn the second stage that ships, from all out-of-fold logits; None without one."""
        if self.without is None:
            return None
        rows, logits = self.data.series_rows(), self.without.logits
        model = learn_sequence(logits, self.data.labels, rows, kind, seed)
        return model, SequenceConfig(kind, self.calibration)

    @cached_property
    def calibration(self) -> Calibration:
        """Learned from all out-of-fold logits: what goes into the bundle."""
        return learn_calibration(self.data.labels, self.logits, self.data.patients)

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Chosen on the probabilities that the bundle's calibration gives."""
        return choose_thresholds(
            self.data.labels, self.calibration.apply(self.logits.astype(np.float64))
        )

    @cached_property
    def study_rule(self) -> StudyRule | None:
        """How slices become the answer for a study; None where there are too few studies."""
        return learn_rule(self.data.labels, self.probabilities, self.data.patients)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Calibrated by the other folds only, so that figures do not flatter the calibration."""
        out = np.empty(self.logits.shape)
        for fold in np.unique(self.fold_of):
            here = self.fold_of == fold
            others = learn_calibration(
                self.data.labels[~here], self.logits[~here], self.data.patients[~here]
            )
            out[here] = others.apply(self.logits[here].astype(np.float64))
        return out

    def report(self, unit: str) -> Report:
        """Return the metrics per ``slice`` or ``patient``."""
        return evaluate(
            self.data.labels, self.probabilities, self.data.patients, self.thresholds, unit=unit
        )

    @cached_property
    def reports(self) -> dict[str, Report]:
        """Both reports."""
        return {unit: self.report(unit) for unit in ("slice", "patient")}

    def per_fold(self) -> list[dict[str, float | None]]:
        """Return the quick metrics of each fold by its own."""
        return [
            quick_metrics(self.data.labels[self.fold_of == fold], self.logits[self.fold_of == fold])
            for fold in np.unique(self.fold_of)
        ]

    @property
    def split(self) -> str:
        """Say how these predictions came to be."""
        return f"out of fold, {self.fold_of.max() + 1} folds by patient"

    def for_bundle(self) -> dict[str, Any]:
        """Return the figures that travel with the bundle."""
        on = f"{self.data.about['source']['name']}, {self.split}"
        return bundle_metrics(on, self.reports["slice"], self.reports["patient"])

    def write(self, folder: Path) -> None:
        """Write ``oof.csv`` and ``metrics.json``."""
        columns = (
            "row", "name", "patient", "fold", *(f"true_{label}" for label in LABELS),
            *(f"logit_{label}" for label in LABELS), *LABELS,
        )  # fmt: skip
        lines = [
            (
                row.row, row.name, row.patient, fold, *(f"{v:g}" for v in row.labels),
                *(f"{v:.6f}" for v in logits), *(f"{v:.6f}" for v in p),
            )
            for row, fold, logits, p in zip(
                self.data.rows, self.fold_of, self.logits, self.probabilities, strict=True
            )
        ]  # fmt: skip
        write_csv(folder / "oof.csv", columns, lines)
        write_json(
            folder / "metrics.json",
            {
                "data": self.data.name,
                "data_sha256": self.data.sha256,
                "split": self.split,
                "thresholds": self.thresholds,
                "study_rule": self.study_rule.to_dict() if self.study_rule else None,
                "thresholds_chosen": "on these same predictions: F1 and recall flatter a little",
                **{unit: report.to_dict() for unit, report in self.reports.items()},
                **({"without_sequence": self.without.for_bundle()} if self.without else {}),
                "folds": self.per_fold(),
            },
        )
