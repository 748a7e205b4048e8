"""Cross-validation folds by patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import UsageError


def fold_by_patient(
    patients: NDArray[np.int64], labels: NDArray[np.float32], folds: int, seed: int = 0
) -> NDArray[np.int64]:
    """Assign each slice to a validation fold.

    Patients are assigned greedily, those with the rarest labels first, each to the fold with the
    smallest share of what the patient adds: slices and patients with each label, and in total. A
    label of few patients is therefore spread evenly.

    Parameters
    ----------
    patients
        int64 ``(N,)``.
    labels
        float32 ``(N, 6)``.
    folds
        At least 2, at most the number of patients.
    seed
        Seed that breaks ties; the same seed gives the same folds.

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
    shares_of_patient = _patient_shares(member, labels, unique.size)
    rng = np.random.default_rng(seed)
    order = rng.permutation(unique.size)
    order = order[np.argsort(-shares_of_patient[order].sum(axis=1), kind="stable")]
    assigned = np.zeros((folds, shares_of_patient.shape[1]))
    fold_of = np.empty(unique.size, np.int64)
    for patient in order:
        # minimizes the growth of the squared distance from equal shares
        fold = int(np.argmin(np.round(assigned @ shares_of_patient[patient], 12)))
        assigned[fold] += shares_of_patient[patient]
        fold_of[patient] = fold
    return fold_of[member]


def _patient_shares(
    member: NDArray[np.intp], labels: NDArray[np.float32], patients: int
) -> NDArray[np.float64]:
    """Return each patient's share of slices and patients per label and in total, ``(n, 14)``."""
    positive = (labels >= 0.5).astype(np.float64)
    kinds = np.column_stack([positive, np.ones(len(labels))])  # (N, 7)
    slices = np.zeros((patients, kinds.shape[1]))
    np.add.at(slices, member, kinds)
    both = np.column_stack([slices, slices > 0])
    shares: NDArray[np.float64] = both / np.maximum(both.sum(axis=0), 1)
    return shares
