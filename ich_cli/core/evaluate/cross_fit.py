"""Cross-fitting: calibration, thresholds and study rule learned and applied on other patients."""

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
from ich_cli.core.evaluate.cases import Cases, Floats, concatenate_cases
from ich_cli.core.evaluate.study_rules import learn_rule
from ich_cli.core.labels import LABELS
from ich_cli.core.study import StudyRule

FOLDS = 5
FEWEST = 5
"""Fewest positive, and negative, slices of a label from which its parameters are learned."""
_EDGE = 1e-12


@dataclass(frozen=True)
class LearnedParameters:
    """Parameters of a bundle that are learned after training."""

    calibration: Calibration | None
    """None if the bundle's own is kept, as an ensemble's is."""
    thresholds: dict[str, float]
    study: StudyRule | None
    kept: tuple[str, ...] = ()
    """Labels whose parameters were kept: too rare to learn from."""

    def probabilities(self, logits: Floats) -> Floats:
        """Return calibrated probabilities ``(N, 6)``; without calibration, plain sigmoids."""
        return (self.calibration or Calibration()).apply(logits)


def learn_parameters(
    cases: Cases,
    logits: Floats,
    targets: Targets,
    *,
    calibrated: bool = False,
    known: LearnedParameters | None = None,
) -> LearnedParameters:
    """Learn calibration, thresholds and study rule.

    Parameters
    ----------
    cases
        Slices to learn from.
    logits
        Their logits ``(N, 6)``.
    targets
        Aims of the thresholds.
    calibrated
        Keep the calibration: the logits are already calibrated.
    known
        Parameters that are kept for labels with fewer than `FEWEST` positive or negative slices,
        and its study rule where too few studies bleed or too few do not.
    """
    few = rare_labels(cases) if known else ()
    own = None if calibrated else learn_calibration(cases.known_labels, logits, cases.patients)
    if known and own:
        own = _with_old(own, known.calibration or Calibration(), few)
    p = (own or Calibration()).apply(logits)
    thresholds = choose_thresholds(cases.known_labels, p, targets)
    rule = learn_rule(cases.known_labels, p, cases.studies)
    if known:
        thresholds |= {label: known.thresholds[label] for label in few}
        rule = rule or known.study
    return LearnedParameters(own, thresholds, rule, few)


def rare_labels(cases: Cases) -> tuple[str, ...]:
    """Return the labels with fewer than `FEWEST` positive or negative slices."""
    positive = cases.labels.sum(0)
    rarer = np.minimum(positive, len(cases) - positive)
    return tuple(label for label, n in zip(LABELS, rarer, strict=True) if n < FEWEST)


def _with_old(new: Calibration, old: Calibration, labels: tuple[str, ...]) -> Calibration:
    """Return `new` with the `old` temperature and bias of some labels."""
    source = [old if label in labels else new for label in LABELS]
    pairs = [(one.temperature[k], one.bias[k]) for k, one in enumerate(source)]
    temperature, bias = zip(*pairs, strict=True)
    return Calibration(tuple(temperature), tuple(bias))


def finite_logits(probabilities: Floats) -> Floats:
    """Return the logits of probabilities; those of 0 and 1 are finite."""
    return np.asarray(logit(np.clip(probabilities, _EDGE, 1 - _EDGE)))


def split_patients(cases: Cases) -> NDArray[np.int64]:
    """Split the patients into five folds, or as many as there are patients; return ``(N,)``."""
    folds = min(FOLDS, np.unique(cases.patients).size)
    return fold_by_patient(cases.patients, cases.labels.astype(np.float32), folds)


def cross_fitted_cases(
    cases: Cases,
    logits: Floats,
    folds: NDArray[np.int64],
    targets: Targets,
    calibrated: bool,
    known: LearnedParameters | None = None,
) -> tuple[Cases, Cases]:
    """Return slices and studies of each fold, by the parameters learned on the other folds."""
    slices, studies, order = [], [], []
    for fold in np.unique(folds):
        here = folds == fold
        others = cases.take(~here)
        found = learn_parameters(others, logits[~here], targets, calibrated=calibrated, known=known)
        p = found.probabilities(logits[here])
        called = p >= np.array([found.thresholds[label] for label in LABELS])
        part = replace(cases.take(here), probabilities=p, called=called)
        slices.append(part)
        studies.append(part.by_study(found.study or StudyRule()))
        order.append(np.flatnonzero(here))
    back = np.argsort(np.concatenate(order))
    whole = concatenate_cases(slices).take(back)
    whole = replace(whole, called_best=cross_fitted_best_f1(whole, folds))
    return whole, concatenate_cases(studies)


def cross_fitted_best_f1(cases: Cases, folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Call positive, ``(N, 6)``, at the thresholds with the best F1 on the other folds."""
    called = np.zeros(cases.labels.shape, bool)
    for fold in np.unique(folds):
        here = folds == fold
        called[here] = cases.probabilities[here] >= best_f1_thresholds(cases.take(~here))
    return called


def best_f1_thresholds(cases: Cases) -> Floats:
    """Return the six thresholds with the best F1; 0.5 for a label without positives."""
    known = [cases.scores.of(k) for k in range(len(LABELS))]
    each = [(one.labels[:, k], one.probabilities[:, k]) for k, one in enumerate(known)]
    return np.array([at_best_f1(y, p) if y.any() else 0.5 for y, p in each])
