from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

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
    assert "trained on 36 of 36 slices and 6 of 6 patients of blobs" in result.stderr
    before = json.loads((bundle / "config.json").read_text())
    blobs_of_others = blobs(tmp_path / "val", 8, slices=7, first=102)
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


def evaluate(run: Path, data: Path, *more: str) -> Any:
    return runner.invoke(
        app,
        ["evaluate", "--bundle", str(run / "run/bundle"), "--data", str(data), "--device", "cpu",
         "--bootstrap", "0", *more],
    )  # fmt: skip


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_part_of_the_training_data_is_counted(run: Path, tmp_path: Path) -> None:
    blobs(tmp_path / "part", 4, first=4)  # two of its four patients were learned from
    result = evaluate(run, tmp_path / "part")
    assert result.exit_code == 0, result.stderr
    title = "bundle on part (12 slices of patients it was trained on, 12 of others)"
    assert title in one_line(result.stdout)
    expected = "trained on 12 of 24 slices and 2 of 4 patients of part: these metrics are opt"
    assert expected in one_line(result.stderr)


def test_data_of_other_patients_is_not_warned_of(run: Path, tmp_path: Path) -> None:
    blobs(tmp_path / "others", 4, first=102)
    result = evaluate(run, tmp_path / "others")
    assert "others (slices it was not trained on)" in one_line(result.stdout)
    assert "optimistic" not in result.stderr


def test_a_fold_is_evaluated_on_seen_and_unseen_slices(run: Path) -> None:
    result = runner.invoke(
        app,
        ["evaluate", "-w", str(run / "run/fold-0/bundle"), "--data", str(run / "blobs"),
         "--device", "cpu", "--bootstrap", "0"],
    )  # fmt: skip
    title = "bundle on blobs (18 slices of patients it was trained on, 18 of others)"
    assert title in one_line(result.stdout)


def test_bundles_of_earlier_versions_do_not_claim_unseen_slices(run: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(run / "run/bundle", tmp_path / "run/bundle")
    config = json.loads((bundle / "config.json").read_text())
    del config["ich"]["learned_from"]
    config["ich"]["format"] = 1
    (bundle / "config.json").write_text(json.dumps(config))
    result = evaluate(tmp_path, run / "blobs")  # named by its checksum
    assert "slices it was trained on" in one_line(result.stdout)
    blobs(tmp_path / "others", 4, first=102)
    result = evaluate(tmp_path, tmp_path / "others")
    assert "it is not known whether it was trained on these slices" in one_line(result.stdout)
    assert "it is not known which slices this bundle was trained on" in one_line(result.stderr)


def test_calibration_on_training_slices_needs_permission(run: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(run / "run/bundle", tmp_path / "copy")
    blobs(tmp_path / "val", 8, slices=7, first=3)
    wanted = ["evaluate", "--bundle", str(bundle), "--calibrate", str(tmp_path / "val"),
              "--device", "cpu", "--bootstrap", "0"]  # fmt: skip
    result = runner.invoke(app, wanted)
    assert result.exit_code == 1
    expected = (
        "trained on 18 of 56 slices and 3 of 8 patients of val, where it is overconfident; "
        "calibrate it on other data, or add --allow-overlap"
    )
    assert expected in one_line(result.stderr)
    result = runner.invoke(app, [*wanted, "--allow-overlap"])
    assert result.exit_code == 0, result.output
    assert "trained on 18 of 56 slices" in one_line(result.stderr)
