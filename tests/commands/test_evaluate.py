from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ich_cli.main import app
from tests.support.prepared import blobs

runner = CliRunner()


def test_out_of_fold_predictions_have_the_runs_metrics(run: Path) -> None:
    result = runner.invoke(
        app,
        ["evaluate", "-p", str(run / "run/oof.csv"), "-l", str(run / "blobs/index.csv"), "--json"],
    )
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["slice"]
    own = json.loads((run / "run/metrics.json").read_text())["slice"]
    assert found["count"] == own["count"] == 36
    assert found["labels"]["any"]["auroc"] == pytest.approx(own["labels"]["any"]["auroc"])
    assert found["weighted_log_loss"] == pytest.approx(own["weighted_log_loss"], abs=1e-5)


def test_the_table_warns_of_metrics_on_training_data(run: Path) -> None:
    result = runner.invoke(
        app,
        ["evaluate", "-w", str(run / "run/bundle"), "--data", str(run / "blobs"), "--device", "cpu",
         "--bootstrap", "20"],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "bundle on blobs (slices it was trained on)" in result.stdout
    assert "never saw a real CT" in result.stderr
    assert "these metrics are optimistic" in result.stderr
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_a_bundle_computes_what_its_fold_predicted(run: Path) -> None:
    from ich_cli.core.data import PreparedDataset
    from ich_cli.core.evaluate.run_bundle import predict_prepared
    from ich_cli.core.predict import Predictor

    data = PreparedDataset.open(run / "blobs")
    p = predict_prepared(Predictor.load(run / "run/fold-0/bundle", device="cpu"), data)
    lines = (run / "run/fold-0/predictions.csv").read_text().splitlines()[1:]
    rows = [int(line.split(",")[0]) for line in lines]
    logits = np.array([[float(v) for v in line.split(",")[4:]] for line in lines])
    # the bundle holds float16
    np.testing.assert_allclose(p[rows], 1 / (1 + np.exp(-logits)), atol=2e-3)


def test_data_of_another_size_is_an_error(run: Path, tmp_path: Path) -> None:
    blobs(tmp_path / "other", 2, size=48)
    result = runner.invoke(
        app,
        ["evaluate", "-w", str(run / "run/bundle"), "--data", str(tmp_path / "other")],
    )
    assert result.exit_code == 1
    assert "needs size 32, but other was prepared with 48" in result.stderr


def test_predictions_without_labels_are_wrong_usage() -> None:
    result = runner.invoke(app, ["evaluate", "-p", "x.csv"])
    assert result.exit_code == 2
    assert "--predictions and --labels" in result.stderr


def test_folds_have_the_runs_metrics_and_a_page_without_names(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = runner.invoke(
        app, ["evaluate", "--out-of-fold", str(run / "run"), "--data", str(run / "blobs"),
              "-o", str(out)]
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    values = json.loads((out / "metrics.json").read_text())
    own = json.loads((run / "run/metrics.json").read_text())
    assert values["split"] == own["split"] == "out of fold, 2 folds by patient"
    assert values["slice"]["intervals"]["any.auroc"] == pytest.approx(
        own["slice"]["intervals"]["any.auroc"], abs=1e-4
    )
    assert values["thresholds"] == pytest.approx(own["thresholds"], abs=1e-4)
    names = {p.name for p in (out / "figures").iterdir()}
    assert names == {"roc.png", "precision_recall.png", "reliability.png", "confusion.png"}
    page = (out / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    for text in (
        page,
        (out / "card.md").read_text(),
        (out / "top_errors.csv").read_text(),
        result.stdout,
    ):
        assert "series-" not in text
        assert "SECRET" not in text
    assert "Research use only" in page


def test_bundles_are_compared_on_the_same_slices(run: Path) -> None:
    result = runner.invoke(
        app,
        ["evaluate", "--bundle", str(run / "run/bundle"), "--bundle",
         str(run / "run/fold-0/bundle"), "--data", str(run / "blobs"), "--device", "cpu",
         "--bootstrap", "20", "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    compared = json.loads(result.stdout)["compared"]
    assert compared["slice"]["count"] == 36
    assert compared["slice"]["with"] == "bundle 1"
    assert compared["study"]["models"][1]["name"] == "bundle 2"


def test_calibration_is_written_and_tested_on_other_patients(run: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "copy"
    shutil.copytree(run / "run/bundle", bundle)
    seen = ["evaluate", "--bundle", str(bundle), "--calibrate", str(run / "blobs")]
    result = runner.invoke(app, seen)
    assert result.exit_code == 1
    assert "trained on blobs" in result.stderr
    before = json.loads((bundle / "config.json").read_text())
    blobs_of_others = blobs(tmp_path / "val", 8, slices=7)
    result = runner.invoke(
        app,
        ["evaluate", "--bundle", str(bundle), "--calibrate", str(blobs_of_others.folder),
         "--specificity", "any=0.9", "--device", "cpu", "--bootstrap", "20", "--json",
         "-o", str(tmp_path / "out")],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "learned on the others" in json.loads(result.stdout)["split"]
    after = json.loads((bundle / "config.json").read_text())
    assert after["ich"]["calibration"] != before["ich"]["calibration"]
    assert after["ich"]["training"]["calibrated"]["thresholds"]["any"] == "90 % specificity"
    assert after["ich"]["sha256"] == before["ich"]["sha256"]
    assert (tmp_path / "out/figures/calibration.png").is_file()
    result = runner.invoke(
        app, [*seen[:-1], str(blobs_of_others.folder), "--data", str(blobs_of_others.folder)]
    )
    assert result.exit_code == 1
    assert "are optimistic" in result.stderr
