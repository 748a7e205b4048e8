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
_PRIOR_LOG_SLOPE: Final = 0.5  # standard deviation of log(1 / T) that is thought likely
_PRIOR_BIAS: Final = 3.0  # of b: wide, for a loss that weights positives shifts it by up to 3.4
_MIN_POSITIVES: Final = 5


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


def learn_calibration(labels: ArrayLike, logits: ArrayLike) -> Calibration:
    """Learn temperature and bias of each label: p = sigmoid(logit / T + b).

    Maximum likelihood with a weak prior (log 1/T ~ N(0, 0.5²), b ~ N(0, 3²)) that holds a label of
    few positives near where it is; the bias undoes what a weight of positives in the loss shifts.
    A label with fewer than 5 positives or negatives keeps T = 1 and learns b alone; one that has
    none at all keeps b = 0, too.

    Parameters
    ----------
    labels
        ``(N, 6)``.
    logits
        ``(N, 6)``, of slices that the model did not learn from.
    """
    y, z = np.asarray(labels, np.float64), np.asarray(logits, np.float64)
    pairs = [_fit(y[:, k], z[:, k]) for k in range(len(LABELS))]
    temperature, bias = zip(*pairs, strict=True)
    return Calibration(tuple(temperature), tuple(bias))


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


def _fit(y: Floats, z: Floats) -> tuple[float, float]:
    rarer = min(y.sum(), (1 - y).sum())
    if rarer == 0:
        return 1.0, 0.0
    slopes = (-3.0, 3.0) if rarer >= _MIN_POSITIVES else (0.0, 0.0)

    def cost(x: Floats) -> tuple[float, Floats]:
        slope, bias = np.exp(x[0]), x[1]
        t = slope * z + bias
        residual = expit(t) - y
        loss = np.sum(np.logaddexp(0, t) - y * t)
        prior = 0.5 * (x[0] / _PRIOR_LOG_SLOPE) ** 2 + 0.5 * (bias / _PRIOR_BIAS) ** 2
        slope_term = np.sum(residual * z) * slope + x[0] / _PRIOR_LOG_SLOPE**2
        return loss + prior, np.array([slope_term, residual.sum() + bias / _PRIOR_BIAS**2])

    found = minimize(cost, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[slopes, (-10, 10)])
    return float(np.exp(-found.x[0])), float(found.x[1])
