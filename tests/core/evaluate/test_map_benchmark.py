from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.bundle import BundleConfig, save_bundle
from ich_cli.core.data import open_masked
from ich_cli.core.errors import DataError
from ich_cli.core.evaluate import (
    MapScore,
    load_ensemble,
    score_maps,
    summarize_scores,
    unseen_by_fold,
    write_map_summaries,
)
from ich_cli.core.explain import explain
from ich_cli.core.labels import LABELS
from ich_cli.core.model import build_model
from ich_cli.core.predict import Predictor
from tests.support.bright import noise


def one(patient: str, label: str, pointing: float, *, drop: float = 0.2) -> MapScore:
    return MapScore("x", patient, "gradcam", label, False, pointing, 0.5, 0.1, 0.6, drop, 0.1)


def test_rows_are_means_over_maps() -> None:
    scores = [one("1", "any", 1), one("1", "subdural", 0), one("2", "any", 0, drop=0.0)]
    rows = {row.label: row for row in summarize_scores(scores)}
    assert list(rows) == ["any", "subtypes", "subdural"]
    whole = rows["any"]
    assert (whole.maps, whole.patients, whole.empty) == (2, 2, 0)
    assert whole.pointing == 0.5
    assert (whole.pointing_low, whole.pointing_high) == (0, 1)  # two patients: one hits, one not
    assert whole.drop == pytest.approx(0.1)
    assert whole.better == 0.5
    assert rows["subtypes"].pointing == rows["subdural"].pointing == 0


def test_a_patient_with_many_slices_is_drawn_as_one() -> None:
    scores = [one("1", "any", 1)] * 9 + [one("2", "any", 0)]
    (row,) = summarize_scores(scores)[:1]
    assert row.pointing == pytest.approx(0.9)
    assert (row.pointing_low, row.pointing_high) == (0, 1)


@pytest.mark.slow
def test_maps_of_phantoms_are_scored(phantoms: Path, tiny_bundle: Path) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    data, done = open_masked(phantoms), []
    scores = score_maps(predictor, data, ("gradcam", "eigencam"), progress=done.append)
    assert sum(done) == len(data)
    assert {s.method for s in scores} == {"gradcam", "eigencam", "centre"}
    assert {s.label for s in scores} == {"any", "subdural"}
    assert len(scores) == len(data) * 2 * 3
    for s in scores:
        assert 0 <= s.pointing <= 1
        assert 0 <= s.mass <= 1
        assert 0 < s.chance < 0.3
        assert 0 < s.probability < 1
    random = {(s.name, s.label): s.drop_random for s in scores if s.method == "gradcam"}
    assert all(s.drop_random == random[s.name, s.label] for s in scores)


def test_the_table_is_written_whole(tmp_path: Path) -> None:
    write_map_summaries(tmp_path / "t.csv", summarize_scores([one("1", "any", 1)]))
    with (tmp_path / "t.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["method"] == "gradcam"
    assert row["label"] == "any"
    assert row["pointing"] == "1.0000"
    assert row["drop"] == "0.2000"
    assert "patient" not in row


def write_folds(run: Path, patients: str) -> Path:
    for fold, patient in enumerate(patients):
        (run / f"fold-{fold}").mkdir(parents=True)
        text = f"row,name,patient,fold\n0,{patient}/1,1,{fold}\n1,{patient}/2,2,{fold}\n"
        (run / f"fold-{fold}" / "predictions.csv").write_text(text)
    return run


def test_folds_are_the_bundles_and_what_they_never_saw(tmp_path: Path) -> None:
    run, other = write_folds(tmp_path / "a", "AB"), write_folds(tmp_path / "b", "AB")
    first, second = (frozenset({f"{patient}/1", f"{patient}/2"}) for patient in "AB")
    assert unseen_by_fold([run]) == [
        ((run / "fold-0" / "bundle",), first),
        ((run / "fold-1" / "bundle",), second),
    ]
    assert unseen_by_fold([run, other]) == [
        ((run / "fold-0" / "bundle", other / "fold-0" / "bundle"), first),
        ((run / "fold-1" / "bundle", other / "fold-1" / "bundle"), second),
    ]
    for patients in ("BA", "A"):
        with pytest.raises(DataError, match="has other folds than"):
            unseen_by_fold([run, write_folds(tmp_path / patients, patients)])
    (run / "fold-1" / "predictions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not the predictions of a fold"):
        unseen_by_fold([run])
    with pytest.raises(DataError, match="no finished fold"):
        unseen_by_fold([run / "fold-0"])


def test_bundles_together_are_their_ensemble(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    model = build_model("test_resnet")
    save_bundle(folder, model, BundleConfig("test_resnet", {"real_ct": True, "data": "x"}))
    ct = noise()
    alone = [explain(load_ensemble([one], "cpu"), ct, ["any"]) for one in (tiny_bundle, folder)]
    both = explain(load_ensemble([tiny_bundle, folder], "cpu"), ct, ["any"])
    np.testing.assert_allclose(
        both.maps["any"], np.mean([one.maps["any"] for one in alone], axis=0), atol=1e-6
    )
    mean = np.mean([one.probabilities for one in alone], axis=0)
    np.testing.assert_allclose(both.probabilities, mean, atol=1e-6)


def test_labels_keep_their_order() -> None:
    scores = [one("1", label, 1) for label in reversed(LABELS)]
    assert [row.label for row in summarize_scores(scores)] == ["any", "subtypes", *LABELS[1:]]
    assert np.isfinite([row.pointing_low for row in summarize_scores(scores)]).all()
