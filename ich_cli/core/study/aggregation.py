"""Aggregate the probabilities of a study's slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def highest(p: Floats) -> Floats:
    """Return the highest probability of each label."""
    return np.asarray(p.max(axis=0))


def noisy_or(p: Floats) -> Floats:
    """Return ``1 - Π(1 - p)``, which assumes that slices err independently; neighbours do not."""
    return np.asarray(1.0 - np.prod(1.0 - p, axis=0))


def top_mean(p: Floats, k: int) -> Floats:
    """Return the mean of the k highest probabilities of each label, or of all if there are fewer.

    A hemorrhage is seen on several neighbouring slices, a false alarm more often on one.
    """
    return np.asarray(np.sort(p, axis=0)[-k:].mean(axis=0))


AGGREGATIONS: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "max": highest,
    "noisy-or": noisy_or,
    "top2-mean": lambda p: top_mean(p, 2),
    "top3-mean": lambda p: top_mean(p, 3),
    "top5-mean": lambda p: top_mean(p, 5),
    "mean": lambda p: np.asarray(p.mean(axis=0)),
}
"""Name in a bundle's config → function of ``(N, L)`` probabilities, N > 0, to ``(L,)``."""


def aggregate(probabilities: ArrayLike, how: str) -> Floats:
    """Aggregate the probabilities of a study's slices.

    Parameters
    ----------
    probabilities
        ``(N, L)`` in [0, 1], N slices in any order, at least one.
    how
        One of `AGGREGATIONS`.

    Returns
    -------
    numpy.ndarray
        float64 ``(L,)`` in [0, 1].

    Raises
    ------
    ValueError
        For an unknown name or no slice.
    """
    p = np.asarray(probabilities, np.float64)
    if how not in AGGREGATIONS:
        raise ValueError(f"unknown aggregation {how!r}; use one of {', '.join(AGGREGATIONS)}")
    if p.ndim != 2 or len(p) == 0:
        raise ValueError(f"expected an array (N, L) with N > 0, not {p.shape}")
    return np.clip(AGGREGATIONS[how](p), 0.0, 1.0)
