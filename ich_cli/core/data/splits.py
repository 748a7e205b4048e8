"""Folds by patient: nobody's slices are on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import UsageError


def fold_by_patient(
    patients: NDArray[np.int64], labels: NDArray[np.float32], folds: int, seed: int = 0
) -> NDArray[np.int64]:
    """Give each slice the fold in which it validates.

    Patients are dealt out greedily, those with the rarest labels first, each to the fold that has
    least of what they bring: slices and patients with each label, slices and patients in all. So
    a label of few patients is spread as evenly as it can be.

    Parameters
    ----------
    patients
        int64 ``(N,)``.
    labels
        float32 ``(N, 6)``.
    folds
        At least 2, at most the number of patients.
    seed
        Decides among equals; the same seed gives the same folds.

    Returns
    -------
    numpy.ndarray
        int64 ``(N,)``, 0 … folds - 1; all slices of a patient have the same.

    Raises
    ------
    UsageError
        If there are fewer patients than folds.
    """
    unique, member = np.unique(patients, return_inverse=True)
    if not 2 <= folds <= unique.size:
        raise UsageError(f"{folds} folds of {unique.size} patients: choose 2 … {unique.size} folds")
    brings = _what_each_brings(member, labels, unique.size)
    rng = np.random.default_rng(seed)
    order = rng.permutation(unique.size)
    order = order[np.argsort(-brings[order].sum(axis=1), kind="stable")]
    dealt = np.zeros((folds, brings.shape[1]))
    fold_of = np.empty(unique.size, np.int64)
    for patient in order:
        # the fold whose squared distance from an even share grows least
        fold = int(np.argmin(np.round(dealt @ brings[patient], 12)))
        dealt[fold] += brings[patient]
        fold_of[patient] = fold
    return fold_of[member]


def _what_each_brings(
    member: NDArray[np.intp], labels: NDArray[np.float32], patients: int
) -> NDArray[np.float64]:
    """Return ``(patients, 14)``: each patient's share of all there is of each kind."""
    positive = (labels >= 0.5).astype(np.float64)
    kinds = np.column_stack([positive, np.ones(len(labels))])  # (N, 7)
    slices = np.zeros((patients, kinds.shape[1]))
    np.add.at(slices, member, kinds)
    both = np.column_stack([slices, slices > 0])
    shares: NDArray[np.float64] = both / np.maximum(both.sum(axis=0), 1)
    return shares
