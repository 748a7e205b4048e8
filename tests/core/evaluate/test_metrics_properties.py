"""Metrics compared with scikit-learn and with plain loops."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from ich_cli.core.errors import DataError
from ich_cli.core.evaluate import evaluate, quick_metrics
from ich_cli.core.evaluate.metrics import auroc, by_patient, calibration_error, weighted_log_loss
from ich_cli.core.labels import LABELS, SUBTYPES

Table = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]

CUTS = dict(zip(LABELS, (0.25, 0.5, 0.375, 0.75, 0.125, 0.625), strict=True))
HALF = dict.fromkeys(LABELS, 0.5)
WEIGHTS = (2, 1, 1, 1, 1, 1)
GRID = st.integers(1, 15).map(lambda step: step / 16)  # many ties, many hits on a threshold


def tables(most: int = 24) -> st.SearchStrategy[Table]:
    return st.integers(1, most).flatmap(
        lambda n: st.tuples(
            arrays(bool, (n, 6)),
            arrays(np.float64, (n, 6), elements=GRID),
            arrays(np.int64, n, elements=st.integers(0, 5)),
        )
    )


def by_scikit(y: NDArray[np.bool_], p: NDArray[np.float64], cut: float) -> dict[str, float | None]:
    """Return one label's metrics; None where the denominator is 0."""
    called, some = p >= cut, bool(y.any())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "auroc": roc_auc_score(y, p) if some and not y.all() else None,
            "ap": average_precision_score(y, p) if some else None,
            "f1": f1_score(y, called, zero_division=0) if some else None,
            "f1_at_half": f1_score(y, p >= 0.5, zero_division=0) if some else None,
            "precision": precision_score(y, called) if called.any() else None,
            "recall": recall_score(y, called) if some else None,
            "specificity": recall_score(~y, ~called) if not y.all() else None,
            "brier": brier_score_loss(y, p, pos_label=True),
            "log_loss": log_loss(y, p, labels=[False, True]),
            "threshold": cut,
        }


def mean_of(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def same(found: object, expected: float | None) -> bool:
    return found is None if expected is None else found == pytest.approx(expected, abs=1e-12)


@given(tables())
def test_metrics_equal_scikit_learn(table: Table) -> None:
    y, p, who = table
    report = evaluate(y, p, who, CUTS, bootstrap=0)
    expected = {name: by_scikit(y[:, k], p[:, k], CUTS[name]) for k, name in enumerate(LABELS)}
    for label, figures in expected.items():
        for name, value in figures.items():
            assert same(report.labels[label][name], value), (label, name)
    for name in ("auroc", "ap", "f1", "f1_at_half", "precision", "recall", "specificity"):
        assert same(report.macro[name], mean_of([expected[one][name] for one in SUBTYPES])), name
    losses = [expected[label]["log_loss"] or 0.0 for label in LABELS]
    weighted = sum(w * loss for w, loss in zip(WEIGHTS, losses, strict=True)) / 7
    assert report.weighted_log_loss == pytest.approx(weighted)
    assert (report.unit, report.count) == ("slice", len(y))
    assert report.positives == {label: int(y[:, k].sum()) for k, label in enumerate(LABELS)}


@given(tables())
def test_metrics_per_patient_use_the_highest_slices(table: Table) -> None:
    y, p, who = table
    patients = sorted(set(who.tolist()))
    highest = np.array([p[who == one].max(axis=0) for one in patients])
    bleeds = np.array([y[who == one].any(axis=0) for one in patients])
    by_hand = evaluate(bleeds, highest, patients, CUTS, bootstrap=0)
    report = evaluate(y, p, who, CUTS, unit="patient", bootstrap=0)
    assert report.unit == "patient"
    assert report.count == len(patients)
    assert report.labels == by_hand.labels
    assert report.weighted_log_loss == by_hand.weighted_log_loss
    found = by_patient(y.astype(np.float32), p, who)
    assert found[0].dtype == np.bool_
    assert [one.tolist() for one in found] == [bleeds.tolist(), highest.tolist(), patients]


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30),
    st.sampled_from([1, 10, 15]),
)
def test_calibration_error_by_counting(pairs: list[tuple[bool, float]], bins: int) -> None:
    gaps = [0.0] * bins
    for positive, p in pairs:
        gaps[min(int(p * bins), bins - 1)] += p - positive
    y, p = (np.array(column) for column in zip(*pairs, strict=True))
    expected = sum(abs(gap) for gap in gaps) / len(pairs)
    assert calibration_error(y, p, bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_has_fifteen_bins_and_one_is_in_the_last() -> None:
    y, p = np.array([True, False, True]), np.array([0.934, 0.932, 1.0])
    # 14/15 = 0.9333: 0.932 is in the bin below, alone: 0.932; above: |0.934 - 1 + 1 - 1| = 0.066
    assert calibration_error(y, p) == pytest.approx((0.932 + 0.066) / 3)
    # 0.95 and 1 share the last bin: |0.95 - 1 + 1 - 0|, where a bin of its own would give 1.05
    assert calibration_error(y[:2], np.array([0.95, 1.0])) == pytest.approx(0.95 / 2)


@given(tables())
def test_quick_metrics_equal_the_report(table: Table) -> None:
    y, p, who = table
    report = evaluate(y, p, who, HALF, bootstrap=0)
    found = quick_metrics(y.astype(np.float32), logit(p).astype(np.float32))
    assert set(found) == {
        *(f"auc_{label}" for label in LABELS), "auc_macro", "log_loss", "f1_any", "f1_macro",
    }  # fmt: skip
    # the two sum in other orders, so the last bit may differ
    for label in LABELS:
        assert found[f"auc_{label}"] == pytest.approx(report.labels[label]["auroc"], abs=1e-12)
    assert found["auc_macro"] == pytest.approx(report.macro["auroc"], abs=1e-12)
    assert found["f1_any"] == pytest.approx(report.labels["any"]["f1"], abs=1e-12)
    assert found["f1_macro"] == pytest.approx(report.macro["f1"], abs=1e-12)
    assert found["log_loss"] == pytest.approx(report.weighted_log_loss, rel=1e-5)


def on_one_patient(y: NDArray[Any], who: NDArray[Any]) -> set[str]:
    """Name the metrics of labels that only one patient has, or lacks."""
    out = set()
    for k, label in enumerate(LABELS):
        if np.unique(who[y[:, k] >= 0.5]).size == 1:
            out |= {f"{label}.{name}" for name in ("auroc", "f1", "recall")}
        if np.unique(who[y[:, k] < 0.5]).size == 1:
            out |= {f"{label}.auroc", f"{label}.specificity"}
    return out


@settings(max_examples=8)
@given(tables(12), st.integers(0, 3))
def test_intervals_are_percentiles_over_drawn_patients(table: Table, seed: int) -> None:
    y, p, who = table
    progress: list[int] = []
    report = evaluate(y, p, who, CUTS, bootstrap=12, seed=seed, progress=progress.append)
    patients = np.unique(who)
    if patients.size < 2:
        assert (report.intervals, progress) == ({}, [])
        return
    assert sum(progress) == 12
    rng = np.random.default_rng(seed)
    seen: dict[str, list[float]] = {}
    for _ in range(12):
        drawn = rng.integers(0, patients.size, patients.size)
        rows = np.concatenate([np.flatnonzero(who == patients[one]) for one in drawn])
        figures = {
            label: by_scikit(y[rows, k], p[rows, k], CUTS[label]) for k, label in enumerate(LABELS)
        }
        losses = [figures[label]["log_loss"] or 0.0 for label in LABELS]
        values = {
            f"{label}.{name}": figures[label][name]
            for label in LABELS for name in ("auroc", "f1", "recall", "specificity")
        }  # fmt: skip
        for name in ("auroc", "f1"):
            values[f"macro.{name}"] = mean_of([figures[label][name] for label in SUBTYPES])
        values["weighted_log_loss"] = float(np.dot(WEIGHTS, losses)) / 7
        for name, value in values.items():
            if value is not None:
                seen.setdefault(name, []).append(value)
    expected = {
        name: (np.percentile(v, 2.5), np.percentile(v, 97.5))
        for name, v in seen.items() if len(v) >= 6 and name not in on_one_patient(y, who)
    }  # fmt: skip
    assert not on_one_patient(y, who) & set(report.intervals)
    assert set(expected) <= set(report.intervals)
    for name, interval in expected.items():
        assert report.intervals[name] == pytest.approx(interval, abs=1e-12), name


def test_draws_depend_on_the_seed_only() -> None:
    rng = np.random.default_rng(4)
    y, p = rng.random((40, 6)) < 0.5, rng.random((40, 6))
    progress: list[int] = []
    default = evaluate(y, p, range(40), HALF, progress=progress.append).intervals
    assert sum(progress) == 1000
    assert default == evaluate(y, p, range(40), HALF, seed=0).intervals
    assert default != evaluate(y, p, range(40), HALF, seed=1).intervals


def test_log_loss_is_bounded() -> None:
    y = np.zeros((1, 6), int)
    assert weighted_log_loss(y, y + 1) == pytest.approx(34.54, abs=0.01)  # -log 1e-15
    assert weighted_log_loss(y + 1, y) == pytest.approx(34.54, abs=0.01)
    assert weighted_log_loss(y, y) == pytest.approx(0, abs=1e-12)


def test_one_negative_is_enough_for_an_auc() -> None:
    assert auroc(np.array([True, True, False]), np.array([0.9, 0.1, 0.5])) == 0.5


def test_a_soft_label_is_positive_from_one_half_on() -> None:
    y, p = np.tile([[0.5], [0.49]], (1, 6)), np.tile([[0.9], [0.1]], (1, 6))
    assert evaluate(y, p, [0, 1], HALF, bootstrap=0).positives == dict.fromkeys(LABELS, 1)
    assert by_patient(y, p, [0, 1])[0][:, 0].tolist() == [True, False]
    assert quick_metrics(y, p)["auc_any"] == 1.0


def test_a_report_is_plain_json() -> None:
    y, p = np.tile([[1], [0]], (4, 6)), np.tile([[0.9], [0.1]], (4, 6))
    report = evaluate(y, p, range(8), HALF, bootstrap=10)
    plain = report.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["intervals"]["weighted_log_loss"] == list(report.intervals["weighted_log_loss"])
    assert plain["labels"]["any"]["threshold"] == 0.5


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_is_refused(bad: float) -> None:
    p = np.full((2, 6), 0.5)
    p[1, 3] = bad
    with pytest.raises(DataError) as caught:
        evaluate(np.ones((2, 6)), p, [0, 1], HALF)
    assert str(caught.value) == "a probability is outside 0 … 1, or missing"


def test_zero_and_one_are_probabilities() -> None:
    p = np.tile([[0], [1]], (1, 6))
    assert evaluate(p, p, [0, 1], HALF, bootstrap=0).labels["any"]["brier"] == 0


def test_shapes_must_match() -> None:
    with pytest.raises(DataError) as caught:
        evaluate(np.ones((2, 6)), np.ones((2, 6)), [0], HALF)
    assert str(caught.value) == (
        "shapes do not match: labels (2, 6), probabilities (2, 6), patients (1,)"
    )
    with pytest.raises(DataError) as caught:
        evaluate(np.ones((0, 6)), np.ones((0, 6)), [], HALF)
    nothing = "nothing to evaluate: no slice has both a label and a prediction"
    assert str(caught.value) == nothing
