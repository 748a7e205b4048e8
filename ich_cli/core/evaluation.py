"""How good probabilities are: per label and macro, per slice and per patient, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from ich_cli.core.errors import DataError
from ich_cli.core.labels import ANY, LABELS

Floats = NDArray[np.float64]

WEIGHTS: Final = np.array([2.0, 1, 1, 1, 1, 1])
"""Of the labels in RSNA's weighted log loss."""
_CLIP: Final = 1e-15  # as RSNA 2019 scored
_BINS: Final = 15

LABEL_METRICS: Final = (
    "auroc", "ap", "f1", "f1_at_half", "precision", "recall", "specificity", "brier", "ece",
    "log_loss",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Metrics of one set of predictions."""

    unit: str
    """``slice`` or ``patient``."""
    count: int
    positives: dict[str, int]
    labels: dict[str, dict[str, float | None]]
    """label → metric → value; None where it is not defined (a label without a positive)."""
    macro: dict[str, float | None]
    """Mean over the five subtypes where the metric is defined."""
    weighted_log_loss: float
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of ``any.auroc`` and so on, ``macro.auroc`` and ``weighted_log_loss``."""

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
) -> Report:
    """Measure probabilities against labels.

    Parameters
    ----------
    labels, probabilities
        ``(N, 6)`` in the order of `LABELS`; a soft label counts as positive from 0.5 on.
    patients
        ``(N,)``; intervals come from drawing patients with replacement, for the slices of one
        patient are not independent.
    thresholds
        Label → probability from which it counts as positive (≥).
    unit
        ``slice``, or ``patient``: then each patient's highest label and probability.
    bootstrap
        Draws; 0 gives no intervals.
    seed
        Of the draws.
    progress
        Told 1 after each draw.

    Raises
    ------
    DataError
        If shapes do not fit, or a probability is outside [0, 1].
    """
    y, p, who = _checked(labels, probabilities, patients)
    if unit == "patient":
        y, p, who = by_patient(y, p, who)
    cut = np.array([thresholds[label] for label in LABELS])
    each = {label: _of_label(y[:, k], p[:, k], cut[k]) for k, label in enumerate(LABELS)}
    return Report(
        unit=unit,
        count=len(y),
        positives={label: int(y[:, k].sum()) for k, label in enumerate(LABELS)},
        labels=each,
        macro={name: _macro(each, name) for name in LABEL_METRICS},
        weighted_log_loss=weighted_log_loss(y, p),
        intervals=_intervals(y, p, who, cut, bootstrap, seed, progress),
    )


def quick_metrics(labels: ArrayLike, logits: ArrayLike) -> dict[str, float | None]:
    """Return what is shown after each epoch: AUC, weighted log loss and F1 at 0.5."""
    y = np.asarray(labels) >= 0.5
    p = expit(np.asarray(logits, np.float64))
    auc = [auroc(y[:, k], p[:, k]) for k in range(len(LABELS))]
    f1 = [_rates(y[:, k], p[:, k] >= 0.5)["f1"] for k in range(len(LABELS))]
    known = {f"auc_{label}": value for label, value in zip(LABELS, auc, strict=True)}
    return {
        **known,
        "auc_macro": _mean(auc[ANY + 1 :]),
        "log_loss": weighted_log_loss(y, p),
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


def auroc(y: NDArray[np.bool_], p: Floats) -> float | None:
    """Return the area under the ROC curve; None unless both classes occur.

    By ranks (Mann-Whitney), which a bootstrap can afford a thousand times.
    """
    positive = int(y.sum())
    negative = len(y) - positive
    if positive == 0 or negative == 0:
        return None
    surplus = rankdata(p)[y].sum() - positive * (positive + 1) / 2
    return float(surplus / (positive * negative))


def weighted_log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return RSNA 2019's score: mean log loss with `any` counted twice, probabilities clipped."""
    y, p = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    each = _log_loss(y, p).mean(axis=0)
    return float((each * WEIGHTS).sum() / WEIGHTS.sum())


def calibration_error(y: NDArray[np.bool_], p: Floats, bins: int = _BINS) -> float:
    """Return the expected calibration error: 15 bins of equal width, weighted by their counts."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.bincount(place, weights=p - y, minlength=bins)
    return float(np.abs(gap[count > 0]).sum() / len(p))


def _checked(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike
) -> tuple[NDArray[np.bool_], Floats, NDArray[Any]]:
    y, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    who = np.asarray(patients)
    if y.ndim != 2 or y.shape[1] != len(LABELS) or y.shape != p.shape or len(who) != len(y):
        raise DataError(f"labels are {y.shape}, probabilities {p.shape}, patients {who.shape}")
    if len(y) == 0:
        raise DataError("there is nothing to evaluate: no slice has both a label and a prediction")
    if not np.all((p >= 0) & (p <= 1)):
        raise DataError("a probability is outside 0 … 1, or missing")
    return y >= 0.5, p, who


def _of_label(y: NDArray[np.bool_], p: Floats, cut: float) -> dict[str, float | None]:
    return {
        "auroc": auroc(y, p),
        "ap": float(average_precision_score(y, p)) if y.any() else None,
        **_rates(y, p >= cut),
        "f1_at_half": _rates(y, p >= 0.5)["f1"],
        "threshold": float(cut),
        "brier": float(np.mean((p - y) ** 2)),
        "ece": calibration_error(y, p),
        "log_loss": float(_log_loss(y.astype(float), p).mean()),
    }


def _rates(y: NDArray[np.bool_], called: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return rates at a threshold; None where the denominator is 0."""
    hit, false = int((y & called).sum()), int((~y & called).sum())
    missed, right = int((y & ~called).sum()), int((~y & ~called).sum())
    return {
        "f1": _ratio(2 * hit, 2 * hit + false + missed) if y.any() else None,
        "precision": _ratio(hit, hit + false),
        "recall": _ratio(hit, hit + missed),
        "specificity": _ratio(right, right + false),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _log_loss(y: Floats, p: Floats) -> Floats:
    clipped = np.clip(p, _CLIP, 1 - _CLIP)
    loss: Floats = -(y * np.log(clipped) + (1 - y) * np.log1p(-clipped))
    return loss


def _macro(each: Mapping[str, Mapping[str, float | None]], name: str) -> float | None:
    return _mean([each[label][name] for label in LABELS[ANY + 1 :]])


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _intervals(
    y: NDArray[np.bool_],
    p: Floats,
    who: NDArray[Any],
    cut: Floats,
    draws: int,
    seed: int,
    progress: Callable[[int], None],
) -> dict[str, tuple[float, float]]:
    """Draw patients with replacement and take the 2.5th and 97.5th percentile of each figure."""
    unique, member = np.unique(who, return_inverse=True)
    rows_of = [np.flatnonzero(member == i) for i in range(unique.size)]
    if draws == 0 or unique.size < 2:
        return {}
    rng = np.random.default_rng(seed)
    loss = _log_loss(y.astype(np.float64), p)
    seen: dict[str, list[float]] = {}
    for _ in range(draws):
        rows = np.concatenate([rows_of[i] for i in rng.integers(0, unique.size, unique.size)])
        for name, value in _drawn(y[rows], p[rows], loss[rows], cut).items():
            if value == value:  # not NaN
                seen.setdefault(name, []).append(value)
        progress(1)
    # a label of few patients is absent from many draws: with too few left, nothing is claimed
    enough = {name: values for name, values in seen.items() if len(values) >= draws / 2}
    return {
        name: (float(np.percentile(v, 2.5)), float(np.percentile(v, 97.5)))
        for name, v in enough.items()
    }


def _drawn(y: NDArray[np.bool_], p: Floats, loss: Floats, cut: Floats) -> dict[str, float]:
    """Return the figures of one draw, all labels at once; NaN where one is not defined."""
    called = p >= cut
    positive, negative = y.sum(axis=0), (~y).sum(axis=0)
    hit, false = (y & called).sum(axis=0), (~y & called).sum(axis=0)
    surplus = (rankdata(p, axis=0) * y).sum(axis=0) - positive * (positive + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "auroc": surplus / (positive * negative),
            "f1": np.where(positive > 0, 2 * hit / (hit + false + positive), np.nan),
            "recall": hit / positive,
            "specificity": (negative - false) / negative,
        }
    out = {
        f"{label}.{name}": float(values[k])
        for name, values in found.items()
        for k, label in enumerate(LABELS)
    }
    for name in ("auroc", "f1"):
        known = found[name][ANY + 1 :]
        known = known[~np.isnan(known)]
        out[f"macro.{name}"] = float(known.mean()) if known.size else float("nan")
    out["weighted_log_loss"] = float((loss.mean(axis=0) * WEIGHTS).sum() / WEIGHTS.sum())
    return out
