"""Out-of-fold predictions: calibration, thresholds and metrics learned from them."""

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
from ich_cli.core.model import SequenceKind, SequenceModel, fit_sequence_model
from ich_cli.core.study import StudyRule
from ich_cli.core.system import write_csv, write_json
from ich_cli.core.train.batches import Logits


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions of every slice by a model that was not trained on its patient."""

    data: PreparedDataset
    fold_of: NDArray[np.int64]
    """Fold of each slice, int64 ``(N,)``."""
    logits: Logits
    """float32 ``(N, 6)``."""
    before_sequence: OutOfFold | None = None
    """The same predictions before the sequence model, where there is one."""

    def with_sequence(self, kind: SequenceKind, seed: int) -> OutOfFold:
        """Apply a sequence model to each fold, fitted on the other folds."""
        logits, series = np.empty_like(self.logits), self.data.series_rows()
        for fold in np.unique(self.fold_of):
            others = [rows for rows in series if self.fold_of[rows[0]] != fold]
            model = fit_sequence_model(self.logits, self.data.labels, others, kind, seed)
            for rows in series:
                if self.fold_of[rows[0]] == fold:
                    logits[rows] = model.apply_to(self.logits[rows].astype(np.float64))
        return OutOfFold(self.data, self.fold_of, logits, self)

    def final_sequence(
        self, kind: SequenceKind, seed: int
    ) -> tuple[SequenceModel, SequenceConfig] | None:
        """Fit the sequence model of the bundle on all out-of-fold logits; None without one."""
        if self.before_sequence is None:
            return None
        rows, logits = self.data.series_rows(), self.before_sequence.logits
        model = fit_sequence_model(logits, self.data.labels, rows, kind, seed)
        return model, SequenceConfig(kind, self.calibration)

    @cached_property
    def calibration(self) -> Calibration:
        """Calibration of the bundle, fitted on all out-of-fold logits."""
        return learn_calibration(self.data.labels, self.logits, self.data.patients)

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Thresholds, chosen on probabilities under the bundle's calibration."""
        return choose_thresholds(
            self.data.labels, self.calibration.apply(self.logits.astype(np.float64))
        )

    @cached_property
    def study_rule(self) -> StudyRule | None:
        """Rule from slices to a study; None where there are too few studies."""
        return learn_rule(self.data.labels, self.probabilities, self.data.patients)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities calibrated on the other folds only, so that metrics are not optimistic."""
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
        """Reports by unit, ``slice`` and ``patient``."""
        return {unit: self.report(unit) for unit in ("slice", "patient")}

    def per_fold(self) -> list[dict[str, float | None]]:
        """Return the quick metrics of each fold."""
        return [
            quick_metrics(self.data.labels[self.fold_of == fold], self.logits[self.fold_of == fold])
            for fold in np.unique(self.fold_of)
        ]

    @property
    def split(self) -> str:
        """Description of the split."""
        return f"out of fold, {self.fold_of.max() + 1} folds by patient"

    def metrics(self) -> dict[str, Any]:
        """Return the metrics that the bundle stores."""
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
                "thresholds_chosen": "on these predictions: F1 and recall are optimistic",
                **{unit: report.to_dict() for unit, report in self.reports.items()},
                **(
                    {"without_sequence": self.before_sequence.metrics()}
                    if self.before_sequence
                    else {}
                ),
                "folds": self.per_fold(),
            },
        )
