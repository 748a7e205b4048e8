"""Bootstrap over patients: metrics of many draws at once.

A draw is the number of times that each patient was drawn. Most metrics are functions of sums over
slices, and the sums of a hundred draws are one matrix product of counts and patients' sums. AUROC
and average precision depend on ranks: slices with the same score are summed up first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ich_cli.core.labels import ANY, LABELS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WEIGHTS: Final = np.array([2.0, 1, 1, 1, 1, 1])
"""Weights of the labels in RSNA's weighted log loss."""
CLIP: Final = 1e-15
"""Distance from 0 and 1 to which probabilities are clipped in a log loss, as in RSNA 2019."""
BINS: Final = 15
"""Number of bins, of equal width, of the expected calibration error."""
MOST_RANKS: Final = 8192
"""Most distinct scores; of more, neighbouring scores are treated as ties, which changes an AUROC
by less than 1 / 8192."""
_CHUNK: Final = 100  # draws in one product
_LINEAR: Final = ("count", "positive", "hit", "false", "hit_half", "false_half", "hit_best",
                  "false_best", "brier", "log_loss")  # fmt: skip
_OF_POSITIVES: Final = ("auroc", "ap", "f1", "f1_at_half", "f1_best", "precision", "recall")
_OF_NEGATIVES: Final = ("auroc", "specificity")


@dataclass(frozen=True, eq=False)
class Scores:
    """N slices, or studies, to draw from.

    Parameters
    ----------
    labels
        bool ``(N, 6)``.
    probabilities
        float64 ``(N, 6)`` in [0, 1].
    patients
        ``(N,)``: patient of each slice; patients are drawn.
    called
        bool ``(N, 6)``: labels that are called positive.
    called_best
        bool ``(N, 6)``: the same at the thresholds with the best F1 on other slices.
    known
        bool ``(N, 6)``: labels that count; None if all are known.
    """

    labels: Bools
    probabilities: Floats
    patients: NDArray[Any]
    called: Bools
    called_best: Bools | None = None
    known: Bools | None = None

    def of(self, k: int) -> Scores:
        """Return the slices of which a label is known."""
        if self.known is None or self.known[:, k].all():
            return self
        kept = self.known[:, k]
        best = None if self.called_best is None else self.called_best[kept]
        return Scores(
            self.labels[kept], self.probabilities[kept], self.patients[kept], self.called[kept],
            best,
        )  # fmt: skip


def resample(
    scores: Scores, draws: int, seed: int, progress: Callable[[int], None] = lambda n: None
) -> dict[str, Floats]:
    """Draw patients with replacement and return each metric of each draw.

    Parameters
    ----------
    scores
        Slices or studies. The same patients and seed give the same draws, so that the metrics of
        two models can be compared draw by draw.
    draws
        Number of draws.
    seed
        Seed of the draws.
    progress
        Called with the number of draws after each step.

    Returns
    -------
    dict
        ``any.auroc`` and so on, ``macro.auroc`` and so on (mean of the subtypes that have one),
        ``weighted_log_loss`` → float64 ``(draws,)``; NaN if the metric is undefined in a draw, and
        in all draws if only one patient has, or lacks, the label.
    """
    unique, member = np.unique(scores.patients, return_inverse=True)
    sums = np.stack([_sums(scores, k, member, unique.size) for k in range(len(LABELS))], 1)
    ranks = [_Ranks.of(scores, k, member, unique.size) for k in range(len(LABELS))]
    parts: list[dict[str, Floats]] = []
    for counts in _draw(unique.size, draws, seed):
        totals = np.tensordot(counts, sums, 1)  # (draws, 6, sums)
        each = _rates(totals, scores.called_best is not None)
        each["auroc"], each["ap"] = np.stack([one.measure(counts) for one in ranks], 2)
        parts.append(_named(each))
        progress(len(counts))
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return found | {name: np.full(draws, np.nan) for name in _of_one_patient(scores, member)}


def _of_one_patient(scores: Scores, member: NDArray[np.intp]) -> Iterator[str]:
    """Name the metrics of labels that only one patient has, or lacks.

    Drawing this patient repeatedly says nothing about the variation between patients.
    """
    for k, label in enumerate(LABELS):
        y, known = scores.labels[:, k], _known(scores, k)
        for own, names in ((y & known, _OF_POSITIVES), (~y & known, _OF_NEGATIVES)):
            if np.unique(member[own]).size == 1:
                yield from (f"{label}.{name}" for name in names)


def _known(scores: Scores, k: int) -> Bools:
    if scores.known is None:
        return np.ones(len(scores.labels), bool)
    return scores.known[:, k]


def log_losses(y: Bools | Floats, p: Floats) -> Floats:
    """Return the log loss of each probability, clipped as RSNA 2019 did."""
    clipped = np.clip(p, CLIP, 1 - CLIP)
    bleeds = np.asarray(y, np.float64) >= 0.5
    return np.asarray(-np.where(bleeds, np.log(clipped), np.log1p(-clipped)))


def _draw(patients: int, draws: int, seed: int) -> Iterator[Floats]:
    """Yield float64 ``(some draws, patients)``: how often each patient was drawn."""
    rng = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        some = min(_CHUNK, draws - start)
        drawn = rng.integers(0, patients, (some, patients)) + patients * np.arange(some)[:, None]
        flat = np.bincount(drawn.ravel(), minlength=some * patients)
        yield flat.reshape(some, patients).astype(np.float64)


def draw_sums(sums: Floats, draws: int, seed: int) -> Floats:
    """Draw patients with replacement and add up what each of them contributes.

    Parameters
    ----------
    sums
        ``(patients, ...)``: each patient's contribution.
    draws
        Number of draws.
    seed
        Seed of the draws: the same seed and number of patients give the same draws.

    Returns
    -------
    numpy.ndarray
        float64 ``(draws, ...)``.
    """
    return np.concatenate([np.tensordot(one, sums, 1) for one in _draw(len(sums), draws, seed)])


def draw_auroc(labels: Bools, probabilities: Floats, draws: int, seed: int) -> dict[str, Floats]:
    """Draw patients with replacement and return each label's AUROC of each draw.

    Parameters
    ----------
    labels, probabilities
        bool and float64 ``(patients, 6)``: one row for each patient.
    draws, seed
        As for `draw_sums`.

    Returns
    -------
    dict
        Label → float64 ``(draws,)``; NaN where a draw has one class only.
    """
    scores = Scores(labels, probabilities, np.arange(len(labels)), labels)
    ranks = [_Ranks.of(scores, k, scores.patients, len(labels)) for k in range(len(LABELS))]
    parts = [
        [one.measure(counts)[0] for one in ranks] for counts in _draw(len(labels), draws, seed)
    ]
    return dict(zip(LABELS, np.concatenate(parts, 1) if parts else np.empty((6, 0)), strict=True))


def percentiles(draws: Mapping[str, Floats]) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each metric: the 2.5th and 97.5th percentile of its draws.

    A rare label is absent from many draws: where fewer than half are left, there is no interval.
    """
    known = {name: values[~np.isnan(values)] for name, values in draws.items()}
    return {
        name: (float(np.percentile(v, 2.5)), float(np.percentile(v, 97.5)))
        for name, v in known.items()
        if v.size and v.size >= draws[name].size / 2
    }


def _sums(scores: Scores, k: int, member: NDArray[np.intp], patients: int) -> Floats:
    """Return the sums of one label over the slices of each patient, ``(patients, sums)``."""
    y, called = scores.labels[:, k], scores.called[:, k]
    p: Floats = np.asarray(scores.probabilities[:, k], np.float64)
    half: Bools = np.greater_equal(p, 0.5)
    best = called if scores.called_best is None else scores.called_best[:, k]
    columns = (
        np.ones_like(p), y, y & called, ~y & called, y & half, ~y & half, y & best, ~y & best,
        (p - y) ** 2, log_losses(y, p),
    )  # fmt: skip
    known = _known(scores, k)
    linear = [np.bincount(member, known * values, patients) for values in columns]
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.bincount(member * BINS + place, known * (p - y), patients * BINS)
    gaps = gaps.reshape(patients, BINS)
    return np.concatenate([np.stack(linear, 1), gaps], 1)


def _rates(totals: Floats, best: bool) -> dict[str, Floats]:
    """Return the metrics that are functions of sums, ``(draws, 6)`` each."""
    of = {name: totals[:, :, k] for k, name in enumerate(_LINEAR)}
    negative = of["count"] - of["positive"]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "f1": _f1(of["hit"], of["false"], of["positive"]),
            "f1_at_half": _f1(of["hit_half"], of["false_half"], of["positive"]),
            "precision": of["hit"] / (of["hit"] + of["false"]),
            "recall": of["hit"] / of["positive"],
            "specificity": (negative - of["false"]) / negative,
            "brier": of["brier"] / of["count"],
            "ece": np.abs(totals[:, :, len(_LINEAR) :]).sum(2) / of["count"],
            "log_loss": of["log_loss"] / of["count"],
        }
    if best:
        found["f1_best"] = _f1(of["hit_best"], of["false_best"], of["positive"])
    return found


def _f1(hit: Floats, false: Floats, positive: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(positive > 0, 2 * hit / (hit + false + positive), np.nan)


def _named(each: dict[str, Floats]) -> dict[str, Floats]:
    out: dict[str, Floats] = {}
    for name, values in each.items():
        out |= {f"{label}.{name}": values[:, k] for k, label in enumerate(LABELS)}
        subtypes = values[:, ANY + 1 :]
        known = ~np.isnan(subtypes)
        with np.errstate(invalid="ignore"):
            out[f"macro.{name}"] = np.where(known, subtypes, 0).sum(1) / known.sum(1)
    known = ~np.isnan(each["log_loss"])
    losses = np.where(known, each["log_loss"], 0)
    with np.errstate(invalid="ignore"):
        out["weighted_log_loss"] = losses @ WEIGHTS / (known @ WEIGHTS)
    return out


@dataclass(frozen=True, eq=False)
class _Ranks:
    """One label's positives and negatives, by rising score and by patient."""

    positive: csr_array
    """Counts ``(scores, patients)``."""
    negative: csr_array

    @classmethod
    def of(cls, scores: Scores, k: int, member: NDArray[np.intp], patients: int) -> Self:
        y, p = scores.labels[:, k], scores.probabilities[:, k]
        distinct, rank = np.unique(p, return_inverse=True)
        if distinct.size > MOST_RANKS:
            edges = np.unique(np.quantile(p, np.linspace(0, 1, MOST_RANKS + 1)[1:-1]))
            rank = np.searchsorted(edges, p, side="right")
        shape = (int(rank.max()) + 1, patients)
        known = _known(scores, k)
        split = [(rank[own], member[own]) for own in (y & known, ~y & known)]
        return cls(*(csr_array((np.ones(len(r)), (r, m)), shape) for r, m in split))

    def measure(self, counts: Floats) -> Floats:
        """Return AUROC and average precision of each draw, ``(2, draws)``."""
        weights = np.ascontiguousarray(counts.T)
        positive, negative = self.positive @ weights, self.negative @ weights
        below = np.cumsum(negative, 0)
        positives, negatives = positive.sum(0), below[-1]
        found = positives - np.cumsum(positive, 0) + positive  # positives at or above each score
        called = found + negatives - below + negative
        with np.errstate(invalid="ignore", divide="ignore"):
            auroc = (positive * (below - negative / 2)).sum(0) / (positives * negatives)
            precision = np.where(positive > 0, found / called, 0.0)
            ap = (positive * precision).sum(0) / positives
        return np.stack([auroc, ap])


def resample_bins(
    scores: Scores, k: int, groups: int, draws: int = 200, seed: int = 0
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the reliability curve of one label, in groups of equal size.

    Parameters
    ----------
    scores
        Slices or studies.
    k
        Index of the label.
    groups
        Largest number of groups; equal probabilities stay in one group.
    draws, seed
        Number of draws for the intervals, and their seed.

    Returns
    -------
    tuple
        Mean probability, share of positives, and the lower and upper end of the share's 95 %
        interval (bootstrap over patients), each ``(groups,)``.
    """
    scores = scores.of(k)
    y, p = scores.labels[:, k], scores.probabilities[:, k]
    edges = np.unique(np.quantile(p, np.linspace(0, 1, groups + 1)[1:-1]))
    place = np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True)[1]
    size = int(place.max()) + 1
    count = np.bincount(place, minlength=size)
    mean, seen = np.bincount(place, p, size) / count, np.bincount(place, y, size) / count
    unique, member = np.unique(scores.patients, return_inverse=True)
    index = member * size + place
    each = [np.bincount(index, w, unique.size * size) for w in (np.ones_like(p), y)]
    sums = np.stack([one.reshape(unique.size, size) for one in each], 1).astype(np.float64)
    total, positive = draw_sums(sums, draws, seed).swapaxes(0, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = positive / total
    share = np.where(np.isnan(share), seen, share)
    low, high = np.percentile(share, [2.5, 97.5], axis=0)
    return mean, seen, low, high
