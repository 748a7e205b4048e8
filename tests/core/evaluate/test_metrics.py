from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.metrics import roc_auc_score

from ich_cli.core.bundle import Calibration
from ich_cli.core.errors import DataError
from ich_cli.core.evaluate import choose_thresholds, evaluate, learn_calibration, quick_metrics
from ich_cli.core.evaluate.calibration import at_best_f1, at_sensitivity
from ich_cli.core.evaluate.metrics import auroc, by_patient, calibration_error, weighted_log_loss
from ich_cli.core.labels import LABELS

HALF = dict.fromkeys(LABELS, 0.5)


def table(column: list[float]) -> np.ndarray:
    """Return the same column for all six labels."""
    return np.tile(np.array(column, np.float64)[:, None], (1, 6))


def test_a_table_worked_by_hand() -> None:
    # positives 0.9, 0.4; negatives 0.6, 0.2: of four pairs (0.9>0.6, 0.9>0.2, 0.4>0.2) three hold
    report = evaluate(table([1, 0, 1, 0]), table([0.9, 0.6, 0.4, 0.2]), range(4), HALF, bootstrap=0)
    one = report.labels["epidural"]
    assert one["auroc"] == pytest.approx(0.75)
    # AP: at rank 1 precision 1, at rank 3 precision 2/3, each gains half the recall
    assert one["ap"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert one["precision"] == one["recall"] == one["specificity"] == one["f1"] == 0.5
    assert one["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.04) / 4)
    loss = -(np.log(0.9) + np.log(0.4) + np.log(0.4) + np.log(0.8)) / 4
    assert one["log_loss"] == pytest.approx(loss)
    assert report.weighted_log_loss == pytest.approx(loss)
    assert report.positives["any"] == 2


@pytest.mark.parametrize("seed", range(5))
def test_auc_by_ranks_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.random(50) < 0.3, rng.integers(0, 12, 50) / 12  # many ties
    assert auroc(y, p) == pytest.approx(roc_auc_score(y, p))


def test_any_counts_twice_in_the_weighted_log_loss() -> None:
    y, p = np.zeros((1, 6)), np.full((1, 6), 0.5)
    p[0, 0] = 0.75
    expected = (2 * np.log(4) + 5 * np.log(2)) / 7
    assert weighted_log_loss(y, p) == pytest.approx(expected)
    assert np.isfinite(weighted_log_loss(np.ones((1, 6)), np.zeros((1, 6))))


def test_ties_count_half_and_the_threshold_is_reached_by_equality() -> None:
    report = evaluate(table([1, 0, 1, 0]), table([0.5] * 4), range(4), HALF, bootstrap=0)
    assert report.labels["any"]["auroc"] == 0.5
    assert report.labels["any"]["recall"] == 1.0
    assert report.labels["any"]["specificity"] == 0.0


def test_a_label_without_positives_has_no_auc_and_is_left_out_of_the_macro() -> None:
    y, p = table([1, 0, 1, 0]), table([0.9, 0.6, 0.4, 0.2])
    y[:, 5] = 0
    report = evaluate(y, p, range(4), HALF, bootstrap=50)
    subdural = report.labels["subdural"]
    assert subdural["auroc"] is subdural["ap"] is subdural["f1"] is subdural["recall"] is None
    assert subdural["specificity"] == 0.5
    assert report.macro["auroc"] == pytest.approx(0.75)
    assert "subdural.auroc" not in report.intervals


def test_nothing_called_has_no_precision_and_an_f1_of_zero() -> None:
    one = evaluate(table([1, 0]), table([0.1, 0.2]), range(2), HALF, bootstrap=0).labels["any"]
    assert one["precision"] is None
    assert one["f1"] == 0.0


def test_one_patient_has_no_intervals() -> None:
    report = evaluate(table([1, 0]), table([0.9, 0.1]), [7, 7], HALF)
    assert report.intervals == {}


def test_a_patient_is_its_highest_slice() -> None:
    y, p, who = by_patient(table([0, 1, 0]), table([0.3, 0.2, 0.7]), [5, 5, 2])
    assert who.tolist() == [2, 5]
    assert y[:, 0].tolist() == [False, True]
    assert p[:, 0].tolist() == [0.7, 0.3]


def test_intervals_draw_patients_not_slices() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(40) < 0.5).astype(float)
    p = np.clip(0.3 * y + rng.random(40) * 0.7, 0, 1)
    independent = evaluate(table(y), table(p), range(40), HALF, bootstrap=300)
    copied = evaluate(
        np.repeat(table(y), 10, 0), np.repeat(table(p), 10, 0), np.repeat(range(40), 10), HALF,
        bootstrap=300,
    )  # fmt: skip
    assert copied.labels["any"]["auroc"] == pytest.approx(independent.labels["any"]["auroc"])
    width = [np.ptp(r.intervals["any.auroc"]) for r in (independent, copied)]
    assert width[1] == pytest.approx(width[0], rel=1e-6)  # ten copies of a slice tell nothing new
    low, high = independent.intervals["any.auroc"]
    assert low < independent.labels["any"]["auroc"] < high


def test_calibration_error_worked_by_hand() -> None:
    y = np.array([True, False, True, True])
    p = np.array([0.05, 0.05, 0.95, 0.95])  # bins: mean 0.05 against 0.5, 0.95 against 1
    assert calibration_error(y, p) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    assert calibration_error(np.array([True]), np.array([1.0])) == 0.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="outside"):
        evaluate(table([1, 0]), table([0.1, np.nan]), range(2), HALF, bootstrap=0)
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(np.zeros((0, 6)), np.zeros((0, 6)), [], HALF)
    with pytest.raises(DataError, match="shapes do not match"):
        evaluate(np.zeros((2, 5)), np.zeros((2, 5)), [0, 1], HALF)


def test_quick_metrics_of_a_label_without_positives() -> None:
    found = quick_metrics(np.zeros((3, 6)), np.zeros((3, 6)))
    assert found["auc_any"] is found["auc_macro"] is found["f1_macro"] is None
    assert found["log_loss"] == pytest.approx(np.log(2))


def test_calibration_undoes_the_weight_of_positives_and_a_wrong_temperature() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(-1, 2, (20_000, 6))
    y = rng.random(z.shape) < 1 / (1 + np.exp(-z))
    distorted = 2.0 * (z + np.log(8))  # a weight of 8 adds log 8; then twice too sure
    found = learn_calibration(y, distorted)
    np.testing.assert_allclose(found.temperature, 2.0, rtol=0.06)
    np.testing.assert_allclose(found.bias, -np.log(8), atol=0.1)
    p = found.apply(distorted)
    assert abs(p.mean() - y.mean()) < 0.003


def test_labels_of_few_positives_are_calibrated_as_the_others_are() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal([-1, -1, -1, -1, -7, -1], 1.5, (5_000, 6))
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(float)
    assert 3 <= y[:, 4].sum() <= 30
    y[:, 5] = 0
    found = learn_calibration(y, 2.0 * (z + 1))
    np.testing.assert_allclose(found.temperature, 2.0, rtol=0.1)  # of the last one, too
    np.testing.assert_allclose(found.bias, -1.0, atol=0.25)


def test_nothing_to_learn_from_calibrates_nothing() -> None:
    z = np.random.default_rng(0).normal(0, 1, (200, 6))
    assert learn_calibration(np.zeros((200, 6)), z) == Calibration()


def test_the_gradient_of_calibration_is_that_of_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def check(cost: Any, start: Any, **_: object) -> Any:
        x = np.random.default_rng(3).normal(0, 0.3, start.shape)
        seen.append(check_grad(lambda v: cost(v)[0], lambda v: cost(v)[1], x))
        return SimpleNamespace(x=start)

    monkeypatch.setattr("ich_cli.core.evaluate.calibration.minimize", check)
    rng = np.random.default_rng(0)
    learn_calibration(rng.random((40, 6)) < 0.3, rng.normal(0, 2, (40, 6)), np.arange(40) // 4)
    assert seen[0] < 1e-4


def test_a_patient_of_many_slices_counts_as_one_bleeding() -> None:
    y, z = table([1, 1, 0, 0]), table([1.0, 0.5, -0.5, 0.7])
    once = learn_calibration(y, z, [0, 1, 2, 3])
    tenfold = learn_calibration(np.repeat(y, 10, 0), np.repeat(z, 10, 0), np.repeat(range(4), 10))
    np.testing.assert_allclose(tenfold.temperature, once.temperature, rtol=1e-3)
    np.testing.assert_allclose(tenfold.bias, once.bias, atol=1e-3)
    assert learn_calibration(y, z) == once


def test_perfect_separation_stays_finite() -> None:
    y = table([1] * 10 + [0] * 10)
    found = learn_calibration(y, (y - 0.5) * 20)
    assert all(0.1 < t < 10 for t in found.temperature)


def test_threshold_at_95_percent_sensitivity() -> None:
    p = np.linspace(0.05, 1, 20)
    y = np.ones(20, bool)
    assert at_sensitivity(y, p) == pytest.approx(0.10)  # 19 of 20
    assert (p >= at_sensitivity(y, p)).mean() == 0.95
    assert at_sensitivity(np.array([True]), np.array([0.123456789])) == 0.123456


def test_threshold_at_best_f1_calls_ties_together() -> None:
    y = np.array([1, 1, 0, 1, 0, 0], bool)
    p = np.array([0.9, 0.8, 0.7, 0.6, 0.6, 0.1])
    # at 0.8: 2·2/(2+3) = 0.8; at 0.6, with the tie: 2·3/(5+3) = 0.75
    assert at_best_f1(y, p) == 0.8


def test_thresholds_of_labels_without_both_classes_stay_at_half() -> None:
    found = choose_thresholds(table([0, 0]), table([0.1, 0.9]))
    assert found == dict.fromkeys(LABELS, 0.5)
