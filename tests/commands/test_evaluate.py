from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ich_cli.core.experiment import Plan, begin, gather, refit, train_fold
from ich_cli.core.training_config import TrainConfig
from ich_cli.main import app
from tests.core.prepared_factory import blobs

runner = CliRunner()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set ``blobs`` and a run on it."""
    root = tmp_path_factory.mktemp("run")
    data = blobs(root / "blobs", 6)
    config = TrainConfig(
        model="test_resnet", init="none", epochs=1, batch_size=8, precision="no", drop_rate=0.0
    )
    plan = Plan(config=config, data=(data,), out=root / "run", folds=2, device="cpu")
    begin(plan)
    for fold in range(2):
        train_fold(plan, fold)
    refit(plan, gather(plan))
    return root


def test_out_of_fold_predictions_give_the_runs_own_figures(run: Path) -> None:
    told = runner.invoke(
        app,
        ["evaluate", "-p", str(run / "run/oof.csv"), "-l", str(run / "blobs/index.csv"), "--json"],
    )
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    own = json.loads((run / "run/metrics.json").read_text())["slice"]
    assert found["count"] == own["count"] == 36
    assert found["labels"]["any"]["auroc"] == pytest.approx(own["labels"]["any"]["auroc"])
    assert found["weighted_log_loss"] == pytest.approx(own["weighted_log_loss"], abs=1e-5)


def test_a_bundle_is_run_and_the_table_says_that_it_saw_these_slices(run: Path) -> None:
    told = runner.invoke(
        app,
        ["evaluate", "-w", str(run / "run/bundle"), "--data", str(run / "blobs"), "--device", "cpu",
         "--bootstrap", "20"],
    )  # fmt: skip
    assert told.exit_code == 0, told.stderr
    assert "bundle on blobs (the very slices it learned from)" in told.stdout
    assert "never saw a real CT" in told.stderr
    assert "flatter" in told.stderr
    assert all(len(line) <= 80 for line in told.stdout.splitlines())


def test_a_bundle_computes_what_its_fold_predicted(run: Path) -> None:
    from ich_cli.core.dataset import PreparedDataset
    from ich_cli.core.predictor import Predictor
    from ich_cli.core.scoring import score

    data = PreparedDataset.open(run / "blobs")
    p = score(Predictor.load(run / "run/fold-0/bundle", device="cpu"), data)
    lines = (run / "run/fold-0/predictions.csv").read_text().splitlines()[1:]
    rows = [int(line.split(",")[0]) for line in lines]
    logits = np.array([[float(v) for v in line.split(",")[4:]] for line in lines])
    # the bundle holds float16
    np.testing.assert_allclose(p[rows], 1 / (1 + np.exp(-logits)), atol=2e-3)


def test_another_size_of_input_is_told(run: Path, tmp_path: Path) -> None:
    blobs(tmp_path / "other", 2, size=48)
    told = runner.invoke(
        app,
        ["evaluate", "-w", str(run / "run/bundle"), "--data", str(tmp_path / "other")],
    )
    assert told.exit_code == 1
    assert "takes size 32, other has 48" in told.stderr


def test_predictions_without_labels_are_wrong_usage() -> None:
    told = runner.invoke(app, ["evaluate", "-p", "x.csv"])
    assert told.exit_code == 2
    assert "--predictions and --labels" in told.stderr
