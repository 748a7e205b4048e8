from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ich_cli.core.bundle import load_bundle
from ich_cli.main import app
from tests.core.prepared_factory import blobs

runner = CliRunner()
TINY = [
    "--model", "test_resnet", "--init", "none", "--epochs", "1", "--batch-size", "8",
    "--device", "cpu", "--folds", "2", "--precision", "no",
]  # fmt: skip


def test_folds_and_refit_end_in_a_bundle_and_a_table(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 8)
    out = tmp_path / "run"
    command = ["train", str(tmp_path / "blobs"), "--out", str(out), *TINY, "--mean", "0.5"]
    told = runner.invoke(app, [*command, "--std", "0.5", "--refit"])
    assert told.exit_code == 0, told.stderr
    assert "blobs, out of fold (2 folds by patient)" in told.stdout
    assert "not a medical device" in " ".join(told.stdout.split())
    assert "epoch 1/1  loss" in told.stderr
    bundle = load_bundle(out / "bundle")
    assert bundle.config.preprocess.mean == (0.5, 0.5, 0.5)
    again = runner.invoke(app, [*command, "--std", "0.5", "--refit"])
    assert again.exit_code == 1
    assert "--resume" in again.stderr


def test_one_fold_then_the_other_gives_the_table(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 8)
    command = ["train", str(tmp_path / "blobs"), "-o", str(tmp_path / "run"), *TINY, "--quiet"]
    first = runner.invoke(app, [*command, "--fold", "0"])
    assert (first.exit_code, first.stdout, first.stderr) == (0, "", "")
    second = runner.invoke(app, [*command, "--fold", "1", "--resume", "--json"])
    assert second.exit_code == 0, second.stderr
    assert json.loads(second.stdout)["count"] == 48


def test_all_trains_without_folds(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 2)
    command = ["train", str(tmp_path / "blobs"), "-o", str(tmp_path / "run"), *TINY, "--all"]
    told = runner.invoke(app, command)
    assert told.exit_code == 0, told.stderr
    assert not (tmp_path / "run" / "fold-0").exists()
    assert load_bundle(tmp_path / "run" / "bundle").config.training["split"] == "all patients"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ([], 1, "ich preprocess"),
        (["nowhere"], 1, "no prepared data set"),
        (["--lr", "0"], 2, "learning rate"),
        (["--label-weights", "1,x"], 2, "numbers with commas"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = runner.invoke(app, ["train", *arguments])
    assert told.exit_code == code
    assert line in told.stderr
    assert told.stderr.count("\n") == 1
