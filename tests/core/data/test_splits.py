from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ich_cli.core.data import fold_by_patient
from ich_cli.core.errors import UsageError


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    patients=st.integers(2, 40),
    folds=st.integers(2, 8),
)
def test_no_patient_is_on_both_sides_and_every_slice_has_one_fold(
    seed: int, patients: int, folds: int
) -> None:
    rng = np.random.default_rng(seed)
    who = np.concatenate([np.arange(patients), rng.integers(0, patients, 50)]).astype(np.int64)
    labels = (rng.random((who.size, 6)) < 0.2).astype(np.float32)
    folds = min(folds, patients)
    fold_of = fold_by_patient(who, labels, folds, seed)
    assert fold_of.shape == who.shape
    assert set(fold_of.tolist()) == set(range(folds))  # no fold is empty
    for patient in range(patients):
        assert np.unique(fold_of[who == patient]).size == 1
    np.testing.assert_array_equal(fold_of, fold_by_patient(who, labels, folds, seed))


def test_a_label_of_few_patients_is_spread_over_the_folds() -> None:
    who = np.repeat(np.arange(40), 5)
    labels = np.zeros((200, 6), np.float32)
    labels[who < 4, 5] = labels[who < 4, 0] = 1
    fold_of = fold_by_patient(who, labels, 4, seed=1)
    assert sorted(fold_of[who == p][0] for p in range(4)) == [0, 1, 2, 3]
    assert np.bincount(fold_of).tolist() == [50, 50, 50, 50]


def test_the_seed_decides_among_equals() -> None:
    who, labels = np.arange(30), np.zeros((30, 6), np.float32)
    assert (fold_by_patient(who, labels, 3, 0) != fold_by_patient(who, labels, 3, 1)).any()


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(UsageError, match="5 folds of 3 patients"):
        fold_by_patient(np.arange(3), np.zeros((3, 6), np.float32), 5)


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 6))
def test_each_label_has_as_many_patients_in_every_fold_as_can_be(
    seed: int, folds: int, each: int
) -> None:
    """Patients of one label each, `each` a fold: the only even deal, and it is found."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(6), folds * each)
    labels = np.eye(6, dtype=np.float32)[kinds]
    shuffled = rng.permutation(kinds.size)
    fold_of = fold_by_patient(np.arange(kinds.size), labels[shuffled], folds, seed)
    for kind in range(6):
        dealt = np.bincount(fold_of[kinds[shuffled] == kind], minlength=folds)
        assert dealt.tolist() == [each] * folds


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_no_fold_lacks_a_label_that_has_a_patient_for_each(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(60), 4)
    labels = (rng.random((240, 6)) < 0.15).astype(np.float32)
    fold_of = fold_by_patient(who, labels, folds, seed)
    for label in range(6):
        with_it = {
            fold: np.unique(who[(fold_of == fold) & (labels[:, label] == 1)]).size
            for fold in range(folds)
        }
        mean = sum(with_it.values()) / folds
        assert all(mean / 2 <= count <= 2 * mean for count in with_it.values()), with_it
