"""From logits to probabilities that can be taken at their word, and thresholds on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ich_cli.core.bundle import Calibration
from ich_cli.core.labels import ANY, LABELS

Floats = NDArray[np.float64]

SENSITIVITY: Final = 0.95
"""At which the threshold of `any` is set: a screening tool may not miss."""
_SHARED: Final = np.array([[0.5], [3.0]])
"""Standard deviations, as thought likely before, of what all labels share: log 1/T, and b. The
latter is wide: a loss that weights positives shifts it by up to 3.4."""
_OWN: Final = np.array([[0.1], [0.3]])
"""And of what a label may differ by: one network, one loss, so by little until many show more."""


@dataclass(frozen=True)
class Targets:
    """What the thresholds are chosen for; a label that is not named gets its best F1."""

    sensitivity: Mapping[str, float] = field(default_factory=lambda: {LABELS[ANY]: SENSITIVITY})
    """Label → share of positives that must be found; the highest threshold that does."""
    specificity: Mapping[str, float] = field(default_factory=dict)
    """Label → share of negatives that must stay under; the lowest threshold that does. Goes
    before `sensitivity`."""

    def of(self, label: str) -> str:
        """Say what a label's threshold is chosen for."""
        if label in self.specificity:
            return f"{100 * self.specificity[label]:g} % specificity"
        if label in self.sensitivity:
            return f"{100 * self.sensitivity[label]:g} % sensitivity"
        return "best F1"


def learn_calibration(
    labels: ArrayLike, logits: ArrayLike, patients: ArrayLike | None = None
) -> Calibration:
    """Learn temperature and bias of each label: p = sigmoid(logit / T + b).

    All labels together, by maximum a posteriori (Gelman et al., Bayesian Data Analysis, 3rd ed.,
    ch. 5): a label's log 1/T and b are what all share (N(0, 0.5²) and N(0, 3²)) and its own
    deviation (N(0, 0.1²) and N(0, 0.3²)). Thousands of positives overrule that; a label that few
    patients have is calibrated as the others are. The bias undoes what a weight of positives, or
    seeing them more often, shifts. A label that all slices have, or none, gets what the others
    share.

    Parameters
    ----------
    labels
        ``(N, 6)``.
    logits
        ``(N, 6)``, of slices that the model did not learn from.
    patients
        ``(N,)``, whose slices they are. Slices of one patient tell much the same: all count as
        if each bleeding patient had one that is positive. Without it each slice counts in full.
    """
    y, z = np.asarray(labels, np.float64), np.asarray(logits, np.float64)
    told = (y.sum(0) > 0) & (y.sum(0) < len(y))
    if not told.any():
        return Calibration()
    shared, own = _fit(y[:, told], z[:, told], _evidence(y, patients))
    log_slope, bias = np.repeat(shared[:, None], len(LABELS), axis=1)
    log_slope[told] += own[0]
    bias[told] += own[1]
    return Calibration(tuple(np.exp(-log_slope).tolist()), tuple(bias.tolist()))


def choose_thresholds(
    labels: ArrayLike, probabilities: ArrayLike, targets: Targets | None = None
) -> dict[str, float]:
    """Choose a threshold a label: by default `any` at 95 % sensitivity, subtypes at best F1.

    A label without positives or without negatives keeps 0.5.

    Parameters
    ----------
    labels, probabilities
        ``(N, 6)`` of slices that the model did not learn from.
    targets
        What for.
    """
    y, p = np.asarray(labels) >= 0.5, np.asarray(probabilities, np.float64)
    wanted = targets or Targets()
    return {label: _choose(y[:, k], p[:, k], label, wanted) for k, label in enumerate(LABELS)}


def _choose(y: NDArray[np.bool_], p: Floats, label: str, targets: Targets) -> float:
    if y.all() or not y.any():
        return 0.5
    if label in targets.specificity:
        return at_specificity(y, p, targets.specificity[label])
    if label in targets.sensitivity:
        return at_sensitivity(y, p, targets.sensitivity[label])
    return at_best_f1(y, p)


def at_sensitivity(y: NDArray[np.bool_], p: Floats, sensitivity: float = SENSITIVITY) -> float:
    """Return the highest threshold at which at least this share of positives is found (≥)."""
    falling = np.sort(p[y])[::-1]
    needed = max(1, int(np.ceil(sensitivity * falling.size - 1e-9)))
    return _floor(falling[needed - 1])


def at_specificity(y: NDArray[np.bool_], p: Floats, specificity: float) -> float:
    """Return the lowest threshold at which at least this share of negatives stays under it."""
    rising = np.sort(p[~y])
    kept = max(1, int(np.ceil(specificity * rising.size - 1e-9)))
    return float(min(1.0, np.floor(rising[kept - 1] * 1e6 + 1) / 1e6))  # just over the last one


def at_best_f1(y: NDArray[np.bool_], p: Floats) -> float:
    """Return the threshold with the highest F1; among equals the highest threshold."""
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(y[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + y.sum())
    last_of_tie = np.append(np.diff(p[order]) != 0, True)  # equal values are called together
    f1[~last_of_tie] = -1
    return _floor(p[order][int(np.argmax(f1))])


def _floor(value: float) -> float:
    """Round down to 6 decimals, so that the value itself stays over the printed threshold."""
    return float(np.floor(value * 1e6) / 1e6)


def _evidence(y: Floats, patients: ArrayLike | None) -> float:
    """Return what a slice counts: bleeding patients / their positive slices."""
    bleeds = y.max(axis=1) >= 0.5
    if patients is None or not bleeds.any():
        return 1.0
    return float(np.unique(np.asarray(patients)[bleeds]).size / bleeds.sum())


def _fit(y: Floats, z: Floats, evidence: float) -> tuple[Floats, Floats]:
    """Return shared ``(2,)`` and own ``(2, K)`` log slope and bias of K labels."""

    def cost(x: Floats) -> tuple[float, Floats]:
        shared, own = x[:2, None], x[2:].reshape(2, -1)
        slope, bias = np.exp(shared[0] + own[0]), shared[1] + own[1]
        t = slope * z + bias
        residual = evidence * (expit(t) - y)
        loss = evidence * np.sum(np.logaddexp(0, t) - y * t)
        prior = np.sum((shared / _SHARED) ** 2) / 2 + np.sum((own / _OWN) ** 2) / 2
        push = np.stack([np.sum(residual * z, axis=0) * slope, residual.sum(axis=0)])
        to_shared = push.sum(axis=1, keepdims=True) + shared / _SHARED**2
        return loss + prior, np.concatenate([to_shared.ravel(), (push + own / _OWN**2).ravel()])

    ranges = [(-3.0, 3.0), (-10.0, 10.0)] + [(None, None)] * (2 * y.shape[1])
    found = minimize(cost, np.zeros(2 + 2 * y.shape[1]), jac=True, method="L-BFGS-B", bounds=ranges)
    return found.x[:2], found.x[2:].reshape(2, -1)
