"""Metrics of probabilities: per label and macro, per slice, study or patient, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    multilabel_confusion_matrix,
    roc_auc_score,
)

from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.bootstrap import BINS, WEIGHTS, Scores, log_losses, percentiles, resample
from ich_cli.core.labels import ANY, LABELS

Floats = NDArray[np.float64]

LABEL_METRICS: Final = (
    "auroc", "ap", "f1", "f1_at_half", "f1_best", "precision", "recall", "specificity", "brier",
    "ece", "log_loss",
)  # fmt: skip
"""``f1_best`` is F1 at the thresholds with the best F1 on other slices; None without those."""


@dataclass(frozen=True)
class Report:
    """Metrics of one set of predictions."""

    unit: str
    """``slice``, ``study`` or ``patient``."""
    count: int
    patients: int
    positives: dict[str, int]
    labels: dict[str, dict[str, float | None]]
    """Label → metric → value; None if undefined (a label without positives)."""
    macro: dict[str, float | None]
    """Metric → mean over the subtypes for which it is defined."""
    weighted_log_loss: float | None
    """None where no label is known."""
    confusion: dict[str, dict[str, int]]
    """Label → ``tp``, ``fp``, ``fn``, ``tn`` at its threshold."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of ``any.auroc``, ``macro.f1`` and so on, and of ``weighted_log_loss``."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**vars(self), "intervals": {k: list(v) for k, v in self.intervals.items()}}


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: ArrayLike,
    thresholds: Mapping[str, float],
    *,
    unit: str = "slice",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] = lambda n: None,
    called: ArrayLike | None = None,
    called_best: ArrayLike | None = None,
    known: ArrayLike | None = None,
) -> Report:
    """Compute the metrics of probabilities.

    Parameters
    ----------
    labels, probabilities
        ``(N, 6)`` in the order of `LABELS`; a soft label counts as positive from 0.5 on. A label
        that is NaN is unknown and does not count; a label whose positives are all unknown has no
        metrics.
    patients
        ``(N,)``: patient of each row. The bootstrap draws patients, because slices of one patient
        are not independent.
    thresholds
        Label → probability from which it counts as positive (≥).
    unit
        Unit of a row: ``slice`` or ``study``; with ``patient`` the rows are slices, reduced to each
        patient's highest label and probability.
    bootstrap
        Number of draws; 0 for no intervals.
    seed
        Seed of the draws.
    progress
        Called with the number of draws after each step.
    called
        bool ``(N, 6)``: labels that are called positive, if not those that reach ``thresholds``.
    called_best
        bool ``(N, 6)``: the same at the thresholds with the best F1 on other slices.
    known
        bool ``(N, 6)``: labels that count, where they are given as bool; None: those not NaN.

    Raises
    ------
    DataError
        If shapes do not fit, or a probability is outside [0, 1].
    """
    y, p, who = _checked(labels, probabilities, patients)
    there = ~np.isnan(np.asarray(labels, np.float64)) if known is None else np.asarray(known, bool)
    if unit == "patient":
        there = known_by_group(y, there, np.unique(who, return_inverse=True)[1])
        y, p, who = by_patient(y, p, who)
    counted = countable(y, there)
    cut = np.array([thresholds[label] for label in LABELS])
    positive = p >= cut if called is None else np.asarray(called, bool)
    best = None if called_best is None else np.asarray(called_best, bool)
    y = y & there
    scores = Scores(y, p, who, positive, best, counted)
    each = {label: _label_metrics(scores.of(k), k, float(cut[k])) for k, label in enumerate(LABELS)}
    return Report(
        unit=unit,
        count=len(y),
        patients=np.unique(who).size,
        positives={label: int(y[:, k].sum()) for k, label in enumerate(LABELS)},
        labels=each,
        macro={name: _macro(each, name) for name in LABEL_METRICS},
        weighted_log_loss=weighted_log_loss(y, p) if counted is None else _weighted(each),
        confusion=_confusion(y, positive, counted),
        intervals=_intervals(scores, bootstrap, seed, progress),
    )


def quick_metrics(labels: ArrayLike, logits: ArrayLike) -> dict[str, float | None]:
    """Return the metrics that are shown after each epoch: AUC, weighted log loss and F1 at 0.5."""
    values = np.asarray(labels, np.float64)
    p = expit(np.asarray(logits, np.float64))
    there = ~np.isnan(values)
    known = [(values[own, k] >= 0.5, p[own, k]) for k, own in enumerate(there.T)]
    auc = [auroc(y, q) for y, q in known]
    f1 = [_rates(y, q >= 0.5)["f1"] for y, q in known]
    return {
        **{f"auc_{label}": value for label, value in zip(LABELS, auc, strict=True)},
        "auc_macro": _mean(auc[ANY + 1 :]),
        "log_loss": weighted_log_loss(values, p) if there.any() else None,
        "f1_any": f1[ANY],
        "f1_macro": _mean(f1[ANY + 1 :]),
    }


def by_patient(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike
) -> tuple[NDArray[np.bool_], Floats, NDArray[Any]]:
    """Return each patient's highest label and probability, patients in ascending order."""
    unique, member = np.unique(np.asarray(patients), return_inverse=True)
    y = np.zeros((unique.size, len(LABELS)), bool)
    p = np.zeros((unique.size, len(LABELS)))
    np.logical_or.at(y, member, np.asarray(labels) >= 0.5)
    np.maximum.at(p, member, np.asarray(probabilities, np.float64))
    return y, p, unique


def known_by_group(
    y: NDArray[np.bool_], known: NDArray[np.bool_], member: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return which labels of groups are known: one member has it, or all are known not to.

    Parameters
    ----------
    y, known
        bool ``(N, 6)``.
    member
        int ``(N,)``: group of each row, from 0.
    """
    groups = int(member.max()) + 1
    positive, unknown = np.zeros((groups, len(LABELS)), bool), np.zeros((groups, len(LABELS)), bool)
    np.logical_or.at(positive, member, y & known)
    np.logical_or.at(unknown, member, ~known)
    return np.asarray(positive | ~unknown)


def countable(y: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return the labels that metrics count, bool ``(N, 6)``; None if all do.

    Where the positives of a label are unknown, its known negatives alone would mislead.
    """
    if known.all():
        return None
    censored = ~known.all(axis=0) & ~(y & known).any(axis=0)
    return np.asarray(known & ~censored)


def auroc(y: NDArray[np.bool_], p: Floats) -> float | None:
    """Return the area under the ROC curve; None unless both classes occur.

    Computed from ranks (Mann-Whitney U), which is faster than scikit-learn's curve.
    """
    positive = int(y.sum())
    negative = len(y) - positive
    if positive == 0 or negative == 0:
        return None
    surplus = rankdata(p)[y].sum() - positive * (positive + 1) / 2
    return float(surplus / (positive * negative))


def weighted_log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return RSNA 2019's score: mean log loss with weight 2 for `any`, probabilities clipped.

    Labels that are NaN do not count.
    """
    y = np.asarray(labels, np.float64)
    each = log_losses(y, np.asarray(probabilities, np.float64))
    known = ~np.isnan(y)
    if known.all():
        return float(each.mean(axis=0) @ WEIGHTS / WEIGHTS.sum())
    means = (each * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    weights = WEIGHTS * known.any(axis=0)
    return float(means @ weights / weights.sum())


def calibration_error(y: NDArray[np.bool_], p: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error: 15 bins of equal width, weighted by their counts."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.bincount(place, weights=p - y, minlength=bins)
    return float(np.abs(gap).sum() / len(p))


def _checked(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike
) -> tuple[NDArray[np.bool_], Floats, NDArray[Any]]:
    y, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    who = np.asarray(patients)
    if y.ndim != 2 or y.shape[1] != len(LABELS) or y.shape != p.shape or len(who) != len(y):
        raise DataError(
            f"shapes do not match: labels {y.shape}, probabilities {p.shape}, patients {who.shape}"
        )
    if len(y) == 0:
        raise DataError("nothing to evaluate: no slice has both a label and a prediction")
    if not np.all((p >= 0) & (p <= 1)):
        raise DataError("a probability is outside 0 … 1, or missing")
    return y >= 0.5, p, who


def _label_metrics(scores: Scores, k: int, cut: float) -> dict[str, float | None]:
    y, p = scores.labels[:, k], scores.probabilities[:, k]
    if not y.size:
        return {**dict.fromkeys(LABEL_METRICS), "threshold": cut}
    best = None if scores.called_best is None else _rates(y, scores.called_best[:, k])["f1"]
    return {
        "auroc": float(roc_auc_score(y, p)) if y.any() and not y.all() else None,
        "ap": float(average_precision_score(y, p)) if y.any() else None,
        **_rates(y, scores.called[:, k]),
        "f1_at_half": _rates(y, p >= 0.5)["f1"],
        "f1_best": best,
        "threshold": cut,
        "brier": float(brier_score_loss(y, p)),
        "ece": calibration_error(y, p),
        "log_loss": float(log_losses(y, p).mean()),
    }


def _confusion(
    y: NDArray[np.bool_], called: NDArray[np.bool_], known: NDArray[np.bool_] | None
) -> dict[str, dict[str, int]]:
    found = multilabel_confusion_matrix(y.astype(int), called.astype(int))
    if known is not None:  # unknown ones were counted as negative
        found[:, 0, 1] -= (~y & called & ~known).sum(0)
        found[:, 0, 0] -= (~y & ~called & ~known).sum(0)
    return {
        label: {"tp": int(m[1, 1]), "fp": int(m[0, 1]), "fn": int(m[1, 0]), "tn": int(m[0, 0])}
        for label, m in zip(LABELS, found, strict=True)
    }


def _rates(y: NDArray[np.bool_], called: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return F1, precision, recall and specificity; None where the denominator is 0."""
    hit, false = int((y & called).sum()), int((~y & called).sum())
    missed, right = int((y & ~called).sum()), int((~y & ~called).sum())
    return {
        "f1": _ratio(2 * hit, 2 * hit + false + missed) if y.any() else None,
        "precision": _ratio(hit, hit + false),
        "recall": _ratio(hit, hit + missed),
        "specificity": _ratio(right, right + false),
    }


def _weighted(each: Mapping[str, Mapping[str, float | None]]) -> float | None:
    """Return RSNA 2019's score over the labels that have a log loss."""
    known = [(w, each[label]["log_loss"]) for w, label in zip(WEIGHTS, LABELS, strict=True)]
    found = [(float(w), loss) for w, loss in known if loss is not None]
    total = sum(w for w, _ in found)
    return sum(w * loss for w, loss in found) / total if found else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _macro(each: Mapping[str, Mapping[str, float | None]], name: str) -> float | None:
    return _mean([each[label][name] for label in LABELS[ANY + 1 :]])


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _intervals(
    scores: Scores, draws: int, seed: int, progress: Callable[[int], None]
) -> dict[str, tuple[float, float]]:
    if draws == 0 or np.unique(scores.patients).size < 2:
        return {}
    return percentiles(resample(scores, draws, seed, progress))


def bundle_metrics(on: str, slices: Report, whole: Report) -> dict[str, Any]:
    """Return the metrics that a bundle's config holds.

    Parameters
    ----------
    on
        Data set and split.
    slices, whole
        Metrics per slice, and per patient or study.
    """
    names = ("auroc", "ap", "f1", "precision", "recall", "specificity", "brier", "ece")
    return {
        "on": on,
        "slices": slices.count,
        "patients": slices.patients,
        "labels": {
            label: {name: _short(slices.labels[label][name]) for name in names} for label in LABELS
        },
        "macro": {name: _short(slices.macro[name]) for name in names},
        "weighted_log_loss": _short(slices.weighted_log_loss),
        "any_auroc_95": [_short(v) for v in slices.intervals.get("any.auroc", ())],
        "patient_any_auroc": _short(whole.labels["any"]["auroc"]),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
