"""Calibration, thresholds and rule for studies, learned from some patients, shown on others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.bundle import Calibration
from ich_cli.core.calibration import Targets, at_best_f1, choose_thresholds, learn_calibration
from ich_cli.core.cases import Cases, Floats, joined
from ich_cli.core.labels import LABELS
from ich_cli.core.predictor import calibrate
from ich_cli.core.splits import fold_by_patient
from ich_cli.core.study_level import learn_rule
from ich_cli.core.study_rule import StudyRule

FOLDS = 5
_EDGE = 1e-12


@dataclass(frozen=True)
class Learned:
    """What a bundle is given."""

    calibration: Calibration | None
    """None where the bundle's own stays: an ensemble."""
    thresholds: dict[str, float]
    study: StudyRule | None

    def probabilities(self, logits: Floats) -> Floats:
        """Return what logits stand for; without a calibration, by the sigmoid alone."""
        return calibrate(logits, self.calibration or Calibration())


def learn(cases: Cases, logits: Floats, targets: Targets, *, calibrated: bool = False) -> Learned:
    """Learn all three from cases and their logits ``(N, 6)``; `calibrated`: but the first."""
    own = None if calibrated else learn_calibration(cases.labels, logits)
    p = calibrate(logits, own or Calibration())
    thresholds = choose_thresholds(cases.labels, p, targets)
    return Learned(own, thresholds, learn_rule(cases.labels, p, cases.studies))


def to_logits(probabilities: Floats) -> Floats:
    """Return the logits of probabilities, those of 0 and 1 finite."""
    inner = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return np.log(inner / (1 - inner))


def folds_of(cases: Cases) -> NDArray[np.int64]:
    """Deal patients into five parts, or as many as there are patients."""
    folds = min(FOLDS, np.unique(cases.patients).size)
    return fold_by_patient(cases.patients, cases.labels.astype(np.float32), folds)


def shown_elsewhere(
    cases: Cases, logits: Floats, folds: NDArray[np.int64], targets: Targets, calibrated: bool
) -> tuple[Cases, Cases]:
    """Return slices and studies of each part, by what was learned from the other parts."""
    slices, studies, order = [], [], []
    for fold in np.unique(folds):
        here = folds == fold
        found = learn(cases.take(~here), logits[~here], targets, calibrated=calibrated)
        p = found.probabilities(logits[here])
        called = p >= np.array([found.thresholds[label] for label in LABELS])
        part = replace(cases.take(here), probabilities=p, called=called)
        slices.append(part)
        studies.append(part.by_study(found.study or StudyRule()))
        order.append(np.flatnonzero(here))
    back = np.argsort(np.concatenate(order))
    whole = joined(slices).take(back)
    return replace(whole, called_best=best_elsewhere(whole, folds)), joined(studies)


def best_elsewhere(cases: Cases, folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Call positive at the thresholds of best F1 on the other parts."""
    called = np.zeros(cases.labels.shape, bool)
    for fold in np.unique(folds):
        here = folds == fold
        called[here] = cases.probabilities[here] >= best_f1(cases.take(~here))
    return called


def best_f1(cases: Cases) -> Floats:
    """Return the six thresholds of best F1; 0.5 where a label has no positive."""
    y, p = cases.labels, cases.probabilities
    return np.array(
        [at_best_f1(y[:, k], p[:, k]) if y[:, k].any() else 0.5 for k in range(len(LABELS))]
    )
