from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ich_cli.core.bundle import load_bundle
from ich_cli.core.data import PreparedDataset, read_out_of_fold
from ich_cli.core.evaluate import learn_calibration
from ich_cli.core.model import fit_sequence_model
from ich_cli.main import app
from tests.support.prepared import blobs

runner = CliRunner()


def train(data: Path, out: Path, seed: int, *more: str, folds: int = 2) -> None:
    command = [
        "train", str(data), "-o", str(out), "--model", "test_resnet", "--init", "none",
        "--epochs", "1", "--batch-size", "8", "--device", "cpu", "--precision", "no", "-q",
        "--folds", str(folds), "--lr", f"{seed}e-3", *more,
    ]  # fmt: skip
    output = runner.invoke(app, command)
    assert output.exit_code == 0, output.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients at two sizes, and a run on each."""
    place = tmp_path_factory.mktemp("ensemble")
    for size in (32, 48):
        blobs(place / f"d{size}", 8, size=size)
    train(place / "d32", place / "a", 1, "--refit")
    train(place / "d48", place / "b", 2, "--refit")
    return place


def test_an_ensemble_predicts_the_mean_and_is_measured_on_unseen_patients(
    place: Path, tmp_path: Path
) -> None:
    out = tmp_path / "both"
    command = ["ensemble", str(place / "a"), str(place / "b"), "--data", str(place / "d32")]
    output = runner.invoke(app, [*command, "-o", str(out)])
    assert output.exit_code == 0, output.stderr
    assert "d32, out of fold, 2 folds by patient, per slice" in output.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "bundle", "metrics.json", "oof.csv", "run.json",
    ]  # fmt: skip

    a, b, both = (read_out_of_fold(run / "oof.csv") for run in (place / "a", place / "b", out))
    assert both.names == a.names == b.names
    np.testing.assert_allclose(both.logits, (a.logits + b.logits) / 2, atol=2e-6)
    for fold in (0, 1):
        here = both.folds == fold
        others = learn_calibration(both.labels[~here], both.logits[~here], both.patients[~here])
        expected = others.apply(both.logits[here])
        np.testing.assert_allclose(both.probabilities[here], expected, atol=1e-4)
    bundle = load_bundle(out / "bundle")
    learned = learn_calibration(both.labels, both.logits, both.patients)
    np.testing.assert_allclose(bundle.config.calibration.bias, learned.bias, atol=1e-3)
    assert [one.preprocess.size for one in bundle.member_configs] == [32, 48]
    metrics = json.loads((out / "metrics.json").read_text())
    assert bundle.config.thresholds == metrics["thresholds"]
    assert bundle.config.metrics["slices"] == 48
    assert bundle.config.training["split"] == (
        "2 models, each of all patients; calibration, thresholds and metrics out of 2 folds by "
        "patient"
    )

    again = runner.invoke(app, ["evaluate", "--out-of-fold", str(out), "--json"])
    assert json.loads(again.stdout)["slice"]["labels"]["any"]["auroc"] == pytest.approx(
        metrics["slice"]["labels"]["any"]["auroc"], abs=1e-6
    )


def test_a_second_stage_is_learned_from_the_mean(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "both"
    command = ["ensemble", str(place / "a"), str(place / "b"), "--data", str(place / "d32")]
    output = runner.invoke(app, [*command, "-o", str(out), "--sequence", "smooth"])
    assert output.exit_code == 0, output.stderr
    bundle = load_bundle(out / "bundle")
    assert bundle.sequence is not None
    assert bundle.config.sequence is not None
    assert bundle.config.training["split"].startswith("2 models, each of all patients; second")
    metrics = json.loads((out / "metrics.json").read_text())
    assert bundle.config.thresholds == metrics["thresholds"]
    assert metrics["without_sequence"]["slices"] == 48

    data = PreparedDataset.open(place / "d32")
    folds = [read_out_of_fold(place / run / "oof.csv") for run in "ab"]
    order = [folds[0].names.index(row.name) for row in data.rows]
    logits = np.mean([run.logits[order] for run in folds], axis=0)
    both = read_out_of_fold(out / "oof.csv")
    assert both.logits is not None
    kept = np.array([both.names.index(row.name) for row in data.rows])
    of_fold = np.asarray(both.folds)[kept]
    for fold in (0, 1):  # each by the stage that the other fold's patients have taught
        rows = [own for own in data.series_rows() if of_fold[own[0]] != fold]
        stage = fit_sequence_model(logits.astype(np.float32), data.labels, rows, "smooth", 0)
        for own in data.series_rows():
            if of_fold[own[0]] == fold:
                expected = stage.apply_to(logits[own])
                np.testing.assert_allclose(both.logits[kept][own], expected, atol=1e-4)


def test_what_does_not_belong_together_is_one_line_and_leaves_nothing(
    place: Path, tmp_path: Path
) -> None:
    train(place / "d32", tmp_path / "other", 1, "--fold", "0", folds=4)
    train(place / "d32", tmp_path / "raw", 1, "--fold", "0")
    blobs(tmp_path / "fewer", 7)
    a, data = str(place / "a"), str(place / "d32")
    for runs, prepared, message in (
        ([a], data, "at least two runs"),
        ([a, data], data, "is not a run of ich train"),
        ([a, str(tmp_path / "other")], data, "different folds"),
        ([a, str(tmp_path / "raw")], data, "has no bundle; finish it"),
        ([a, str(place / "b")], str(tmp_path / "fewer"), "its slices are not those of fewer"),
    ):
        out = tmp_path / "out"
        output = runner.invoke(app, ["ensemble", *runs, "--data", prepared, "-o", str(out)])
        assert output.exit_code in (1, 2)
        assert message in output.stderr
        assert len(output.stderr.splitlines()) == 1
        assert not out.exists()


def test_a_run_whose_bundle_no_fold_has_calibrated_is_refused(place: Path, tmp_path: Path) -> None:
    train(place / "d32", tmp_path / "all", 3, "--all")
    train(place / "d32", tmp_path / "all", 3, "--resume")
    command = ["ensemble", str(place / "a"), str(tmp_path / "all"), "--data", str(place / "d32")]
    output = runner.invoke(app, [*command, "-o", str(tmp_path / "out")])
    assert output.exit_code == 1
    assert "is not calibrated" in output.stderr


def test_other_labels_of_the_same_slices_are_refused(place: Path, tmp_path: Path) -> None:
    blobs(tmp_path / "d32", 8)
    index = tmp_path / "d32" / "index.csv"
    rows = index.read_text().splitlines()
    cells = rows[1].split(",")
    cells[6] = "0" if cells[6] == "1" else "1"
    index.write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]) + "\n")
    about = json.loads((tmp_path / "d32" / "dataset.json").read_text())
    about["sha256"] = _digest(index)
    (tmp_path / "d32" / "dataset.json").write_text(json.dumps(about))
    PreparedDataset.open(tmp_path / "d32")
    command = ["ensemble", str(place / "a"), str(place / "b"), "--data", str(tmp_path / "d32")]
    output = runner.invoke(app, [*command, "-o", str(tmp_path / "out")])
    assert output.exit_code == 1
    assert "its labels are not those of d32" in output.stderr


def _digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
