from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ich_cli.core.evaluate import (
    LabelledPredictions,
    bootstrap as resampling,
    compare_models,
    evaluate,
)
from ich_cli.core.evaluate.bootstrap import Scores, resample
from ich_cli.core.evaluate.cases import Cases
from ich_cli.core.evaluate.output.top_errors import find_top_errors
from ich_cli.core.labels import LABELS
from ich_cli.core.study import StudyRule

HALF = dict.fromkeys(LABELS, 0.5)


def made(seed: int = 0, n: int = 120, patients: int = 15) -> Scores:
    rng = np.random.default_rng(seed)
    y = rng.random((n, 6)) < 0.3
    p = np.round(np.clip(0.3 * y + rng.random((n, 6)) * 0.7, 0, 1), 1)  # many ties
    return Scores(y, p, rng.integers(0, patients, n), p >= 0.5)


def test_a_draw_has_the_metrics_of_scikit_learn() -> None:
    scores = made()
    unique, member = np.unique(scores.patients, return_inverse=True)
    found = resample(scores, 20, 3)
    rng = np.random.default_rng(3)
    for draw in range(20):
        drawn = rng.integers(0, unique.size, unique.size)
        rows = np.concatenate([np.flatnonzero(member == i) for i in drawn])
        y, p = scores.labels[rows, 2], scores.probabilities[rows, 2]
        assert found["intraparenchymal.auroc"][draw] == pytest.approx(roc_auc_score(y, p))
        assert found["intraparenchymal.ap"][draw] == pytest.approx(average_precision_score(y, p))
        name = f"{LABELS[2]}.f1"
        assert found[name][draw] == pytest.approx(f1_score(y, p >= 0.5))


def test_fewer_ranks_than_scores_barely_change_the_auroc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    y = rng.random((3000, 6)) < 0.2
    p = np.clip(0.2 * y + rng.random(y.shape) * 0.8, 0, 1)
    scores = Scores(y, p, rng.integers(0, 30, 3000), p >= 0.5)
    exact = resample(scores, 10, 0)["any.auroc"]
    monkeypatch.setattr(resampling, "MOST_RANKS", 256)
    np.testing.assert_allclose(resample(scores, 10, 0)["any.auroc"], exact, atol=1 / 256)


def model(name: str, p: np.ndarray, y: np.ndarray, who: np.ndarray) -> LabelledPredictions:
    names = tuple(f"s{k}" for k in range(len(y)))
    slices = Cases.from_arrays(y, p, HALF, patients=who, names=names)
    return LabelledPredictions(name, "data", "test", "0.5", slices, slices.by_study(StudyRule()))


def test_a_model_equals_itself_and_differs_from_a_worse_one() -> None:
    scores = made(1, 400, 40)
    bad = np.random.default_rng(9).random(scores.labels.shape)
    models = [
        model(name, p, scores.labels, scores.patients)
        for name, p in (("a", scores.probabilities), ("same", scores.probabilities), ("bad", bad))
    ]
    rows, count = compare_models(models, "slice", 200, 0)
    assert count == 400
    assert rows[1].differences["any.auroc"] == 0.0
    assert rows[1].intervals["any.auroc"] == (0.0, 0.0)
    assert rows[2].intervals["macro.auroc"][1] < 0
    assert compare_models(models, "study", 0, 0)[1] == np.unique(scores.patients).size


def test_a_study_is_positive_where_its_rule_says_so() -> None:
    y = np.zeros((4, 6))
    y[1, [0, 5]] = 1
    p = np.zeros((4, 6))
    p[:, 0], p[0, 5] = (0.2, 0.6, 0.7, 0.1), 0.9
    cases = Cases.from_arrays(y, p, HALF, patients=[7, 7, 8, 8])
    whole = cases.by_study(StudyRule(rule_out=0.3, rule_in=0.65))
    assert whole.probabilities[:, 0].tolist() == [0.6, 0.7]
    assert whole.labels[:, 5].tolist() == [True, False]
    assert whole.called[:, 0].tolist() == [False, True]
    assert whole.called[:, 5].tolist() == [True, False]
    report = whole.report(0)
    assert report.confusion["any"] == {"tp": 0, "fp": 1, "fn": 1, "tn": 0}
    assert report.unit == "study"


def test_top_errors_are_the_most_confident_ones() -> None:
    y, p = np.zeros((5, 6)), np.zeros((5, 6))
    y[:, 0], p[:, 0] = (0, 1, 0, 1, 0), (0.6, 0.4, 0.9, 0.1, 0.2)
    found = [
        m
        for m in find_top_errors(Cases.from_arrays(y, p, HALF, patients=range(5)))
        if m.label == "any"
    ]
    assert [(one.kind, one.row) for one in found] == [
        ("false positive", 2), ("false positive", 0), ("false negative", 3), ("false negative", 1),
    ]  # fmt: skip


def test_metrics_of_labels_of_one_patient_have_no_interval() -> None:
    # patients 0 to 3, two slices each; patient 0 alone has subdural, patient 3 alone lacks `any`
    who = np.repeat(range(4), 2)
    y = np.zeros((8, 6), bool)
    y[:6, 0] = y[:2, 5] = y[[0, 2], 1] = True
    p = np.linspace(0.9, 0.2, 8)[:, None].repeat(6, 1)
    found = evaluate(y, p, who, dict.fromkeys(LABELS, 0.5), bootstrap=50)
    assert found.labels["subdural"]["auroc"] == found.labels["any"]["auroc"] == 1.0
    known = set(found.intervals)
    assert not known & {f"subdural.{one}" for one in ("auroc", "ap", "f1", "recall", "precision")}
    assert "subdural.specificity" in known
    assert not known & {"any.auroc", "any.specificity"}
    assert {"any.recall", "any.ap", "epidural.auroc", "epidural.ap", "macro.auroc"} <= known
