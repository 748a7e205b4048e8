"""Calibration, thresholds and rule for studies, learned from some patients, shown on others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from ich_cli.core.bundle import Calibration
from ich_cli.core.data import fold_by_patient
from ich_cli.core.evaluate.calibration import (
    Targets,
    at_best_f1,
    choose_thresholds,
    learn_calibration,
)
from ich_cli.core.evaluate.cases import Cases, Floats, joined
from ich_cli.core.evaluate.fit_study_rule import learn_rule
from ich_cli.core.labels import LABELS
from ich_cli.core.study import StudyRule

FOLDS = 5
FEWEST = 5
"""Slices with a label, and without; of fewer nothing is learned that is worth keeping."""
_EDGE = 1e-12


@dataclass(frozen=True)
class Learned:
    """What a bundle is given."""

    calibration: Calibration | None
    """None where the bundle's own stays: an ensemble."""
    thresholds: dict[str, float]
    study: StudyRule | None
    kept: tuple[str, ...] = ()
    """Labels that were left as they were known to be."""

    def probabilities(self, logits: Floats) -> Floats:
        """Return what logits stand for; without a calibration, by the sigmoid alone."""
        return (self.calibration or Calibration()).apply(logits)


def learn(
    cases: Cases,
    logits: Floats,
    targets: Targets,
    *,
    calibrated: bool = False,
    known: Learned | None = None,
) -> Learned:
    """Learn all three from cases and their logits ``(N, 6)``; `calibrated`: but the first.

    What these cases are too few to teach stays as it is `known`: labels of which fewer than five
    slices are positive, or negative, and the rule where too few studies bleed, or do not.
    """
    few = too_few(cases) if known else ()
    own = None if calibrated else learn_calibration(cases.labels, logits, cases.patients)
    if known and own:
        own = _with_old(own, known.calibration or Calibration(), few)
    p = (own or Calibration()).apply(logits)
    thresholds = choose_thresholds(cases.labels, p, targets)
    rule = learn_rule(cases.labels, p, cases.studies)
    if known:
        thresholds |= {label: known.thresholds[label] for label in few}
        rule = rule or known.study
    return Learned(own, thresholds, rule, few)


def too_few(cases: Cases) -> tuple[str, ...]:
    """Return the labels that too few slices have, or lack, to learn from."""
    positive = cases.labels.sum(0)
    rarer = np.minimum(positive, len(cases) - positive)
    return tuple(label for label, n in zip(LABELS, rarer, strict=True) if n < FEWEST)


def _with_old(new: Calibration, old: Calibration, labels: tuple[str, ...]) -> Calibration:
    """Return `new` with the `old` temperature and bias of some labels."""
    source = [old if label in labels else new for label in LABELS]
    pairs = [(one.temperature[k], one.bias[k]) for k, one in enumerate(source)]
    temperature, bias = zip(*pairs, strict=True)
    return Calibration(tuple(temperature), tuple(bias))


def to_logits(probabilities: Floats) -> Floats:
    """Return the logits of probabilities, those of 0 and 1 finite."""
    return np.asarray(logit(np.clip(probabilities, _EDGE, 1 - _EDGE)))


def folds_of(cases: Cases) -> NDArray[np.int64]:
    """Deal patients into five parts, or as many as there are patients."""
    folds = min(FOLDS, np.unique(cases.patients).size)
    return fold_by_patient(cases.patients, cases.labels.astype(np.float32), folds)


def shown_elsewhere(
    cases: Cases,
    logits: Floats,
    folds: NDArray[np.int64],
    targets: Targets,
    calibrated: bool,
    known: Learned | None = None,
) -> tuple[Cases, Cases]:
    """Return slices and studies of each part, by what was learned from the other parts."""
    slices, studies, order = [], [], []
    for fold in np.unique(folds):
        here = folds == fold
        others = cases.take(~here)
        found = learn(others, logits[~here], targets, calibrated=calibrated, known=known)
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
