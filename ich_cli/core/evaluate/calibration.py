"""Calibration of probabilities (temperature and bias) and choice of thresholds."""

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
"""Default sensitivity of the threshold of `any`: screening must not miss hemorrhages."""
_SHARED: Final = np.array([[0.5], [3.0]])
"""Prior standard deviations of log 1/T and b that all labels share. That of b is wide: a loss that
weights positives shifts it by up to 3.4."""
_OWN: Final = np.array([[0.1], [0.3]])
"""Prior standard deviations of a label's deviation: small, for network and loss are shared."""


@dataclass(frozen=True)
class Targets:
    """Aims of the thresholds; a label that is not named gets its best F1."""

    sensitivity: Mapping[str, float] = field(default_factory=lambda: {LABELS[ANY]: SENSITIVITY})
    """Label → least sensitivity; the highest threshold that reaches it is chosen."""
    specificity: Mapping[str, float] = field(default_factory=dict)
    """Label → least specificity; the lowest threshold that reaches it is chosen. Takes precedence
    over `sensitivity`."""

    def describe(self, label: str) -> str:
        """Return the aim of a label's threshold in words."""
        if label in self.specificity:
            return f"{100 * self.specificity[label]:g} % specificity"
        if label in self.sensitivity:
            return f"{100 * self.sensitivity[label]:g} % sensitivity"
        return "best F1"


def learn_calibration(
    labels: ArrayLike, logits: ArrayLike, patients: ArrayLike | None = None
) -> Calibration:
    """Learn temperature and bias of each label: p = sigmoid(logit / T + b).

    All labels are fitted together by maximum a posteriori (Gelman et al., Bayesian Data Analysis,
    3rd ed., ch. 5): a label's log 1/T and b are the sum of a shared value, with priors N(0, 0.5²)
    and N(0, 3²), and a deviation, with priors N(0, 0.1²) and N(0, 0.3²). Rare labels are calibrated
    like the others; thousands of positives override the priors. The bias corrects for weighting or
    oversampling positives in training. A label that all or no slices have gets the shared values.

    Parameters
    ----------
    labels
        ``(N, 6)``; NaN, unknown, does not count.
    logits
        ``(N, 6)``, of slices that the model was not trained on.
    patients
        ``(N,)``: the patient of each slice. Slices of one patient are correlated, so slices are
        weighted as if each bleeding patient had one positive slice; without patients, each slice
        has weight 1.
    """
    y, z = np.asarray(labels, np.float64), np.asarray(logits, np.float64)
    known = ~np.isnan(y)
    y = np.nan_to_num(y)
    mixed = (y.sum(0) > 0) & (y.sum(0) < known.sum(0))
    if not mixed.any():
        return Calibration()
    shared, own = _fit(y[:, mixed], z[:, mixed], known[:, mixed], _slice_weight(y, patients))
    log_slope, bias = np.repeat(shared[:, None], len(LABELS), axis=1)
    log_slope[mixed] += own[0]
    bias[mixed] += own[1]
    return Calibration(tuple(np.exp(-log_slope).tolist()), tuple(bias.tolist()))


def choose_thresholds(
    labels: ArrayLike, probabilities: ArrayLike, targets: Targets | None = None
) -> dict[str, float]:
    """Choose a threshold for each label: by default `any` at 95 % sensitivity, subtypes at best F1.

    A label without positives or without negatives keeps 0.5.

    Parameters
    ----------
    labels, probabilities
        ``(N, 6)`` of slices that the model was not trained on; labels that are NaN do not count.
    targets
        Aims of the thresholds.
    """
    values, p = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    known, aims = ~np.isnan(values), targets or Targets()
    return {
        label: _choose(values[known[:, k], k] >= 0.5, p[known[:, k], k], label, aims)
        for k, label in enumerate(LABELS)
    }


def _choose(y: NDArray[np.bool_], p: Floats, label: str, targets: Targets) -> float:
    if y.all() or not y.any():  # or no slice is labelled
        return 0.5
    if label in targets.specificity:
        return at_specificity(y, p, targets.specificity[label])
    if label in targets.sensitivity:
        return at_sensitivity(y, p, targets.sensitivity[label])
    return at_best_f1(y, p)


def at_sensitivity(y: NDArray[np.bool_], p: Floats, sensitivity: float = SENSITIVITY) -> float:
    """Return the highest threshold with at least this sensitivity (p ≥ threshold is positive)."""
    falling = np.sort(p[y])[::-1]
    needed = max(1, int(np.ceil(sensitivity * falling.size - 1e-9)))
    return _floor(falling[needed - 1])


def at_specificity(y: NDArray[np.bool_], p: Floats, specificity: float) -> float:
    """Return the lowest threshold with at least this specificity."""
    rising = np.sort(p[~y])
    kept = max(1, int(np.ceil(specificity * rising.size - 1e-9)))
    return float(min(1.0, np.floor(rising[kept - 1] * 1e6 + 1) / 1e6))  # just over the last one


def at_best_f1(y: NDArray[np.bool_], p: Floats) -> float:
    """Return the threshold with the highest F1; the highest such threshold."""
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(y[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + y.sum())
    last_of_tie = np.append(np.diff(p[order]) != 0, True)  # tied values are called together
    f1[~last_of_tie] = -1
    return _floor(p[order][int(np.argmax(f1))])


def _floor(value: float) -> float:
    """Round down to 6 decimals, so that the value itself still reaches the printed threshold."""
    return float(np.floor(value * 1e6) / 1e6)


def _slice_weight(y: Floats, patients: ArrayLike | None) -> float:
    """Return the weight of a slice: number of bleeding patients / number of positive slices."""
    bleeds = y.max(axis=1) >= 0.5
    if patients is None or not bleeds.any():
        return 1.0
    return float(np.unique(np.asarray(patients)[bleeds]).size / bleeds.sum())


def _fit(y: Floats, z: Floats, known: NDArray[np.bool_], weight: float) -> tuple[Floats, Floats]:
    """Return the shared ``(2,)`` and the deviating ``(2, K)`` log slope and bias of K labels."""

    def cost(x: Floats) -> tuple[float, Floats]:
        shared, own = x[:2, None], x[2:].reshape(2, -1)
        slope, bias = np.exp(shared[0] + own[0]), shared[1] + own[1]
        t = slope * z + bias
        residual = weight * (known * (expit(t) - y))
        loss = weight * np.sum(known * (np.logaddexp(0, t) - y * t))
        prior = np.sum((shared / _SHARED) ** 2) / 2 + np.sum((own / _OWN) ** 2) / 2
        gradient = np.stack([np.sum(residual * z, axis=0) * slope, residual.sum(axis=0)])
        to_shared = gradient.sum(axis=1, keepdims=True) + shared / _SHARED**2
        return loss + prior, np.concatenate([to_shared.ravel(), (gradient + own / _OWN**2).ravel()])

    ranges = [(-3.0, 3.0), (-10.0, 10.0)] + [(None, None)] * (2 * y.shape[1])
    found = minimize(cost, np.zeros(2 + 2 * y.shape[1]), jac=True, method="L-BFGS-B", bounds=ranges)
    return found.x[:2], found.x[2:].reshape(2, -1)
