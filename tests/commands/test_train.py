from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ich_cli.core.bundle import load_bundle
from ich_cli.core.data import prepare_dataset
from ich_cli.core.data.sources.base import SourceInfo
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.main import app
from tests.support.prepared import BlobSeries, blobs

runner = CliRunner()
TINY = [
    "--model", "test_resnet", "--init", "none", "--epochs", "1", "--batch-size", "8",
    "--device", "cpu", "--folds", "2", "--precision", "no",
]  # fmt: skip


def test_folds_and_refit_end_in_a_bundle_and_a_table(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 8)
    out = tmp_path / "run"
    command = ["train", str(tmp_path / "blobs"), "--output", str(out), *TINY, "--mean", "0.5"]
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


def test_five_folds_give_out_of_fold_predictions_and_an_ensemble(tmp_path: Path) -> None:
    data = blobs(tmp_path / "blobs", 10)
    run = tmp_path / "run"
    command = ["train", str(data.folder), "-o", str(run), *TINY, "--folds", "5", "--quiet"]
    told = runner.invoke(app, command)
    assert told.exit_code == 0, told.stderr
    rows = [line.split(",") for line in (run / "oof.csv").read_text().splitlines()[1:]]
    assert len(rows) == 60
    assert {row[3] for row in rows} == {"0", "1", "2", "3", "4"}
    ensemble = load_bundle(run / "ensemble")
    assert ensemble.config.members == ("0", "1", "2", "3", "4")
    assert ensemble.config.training["split"].startswith("5 models, each without its fold")
    calibrations = {one.calibration for one in ensemble.member_configs}
    assert len(calibrations) == 1
    assert Predictor.load(run).bundle.config.members  # a run without a refit stands for it


def test_training_on_pseudo_labels(tmp_path: Path) -> None:
    """From the DICOM to the bundle by commands alone."""
    more, answers = str(tmp_path / "more"), str(tmp_path / "answers.csv")
    write_studies(tmp_path / "scans", 1, 5, (), size=64)
    (tmp_path / "scans" / "labels.csv").unlink()
    data = str(blobs(tmp_path / "blobs", 4).folder)
    train = ["train", data, *TINY, "--all"]
    prepare = ["preprocess", str(tmp_path / "scans"), "-s", "unlabelled", "-o", more]
    predict = ["predict", str(tmp_path / "scans"), "-w", str(tmp_path / "first"), "-o", answers]
    told = [
        runner.invoke(app, command)
        for command in (
            [*prepare, "--size", "32"],
            [*train, "-o", str(tmp_path / "first")],
            [*predict, "--quiet", "--device", "cpu"],
            [
                *train,
                more,
                "--sampling-weights",
                "1,0.5",
                "--pseudo-labels",
                answers,
                "-o",
                str(tmp_path / "b"),
            ],
        )
    ]
    assert [one.exit_code for one in told] == [0, 0, 0, 0], [one.stderr for one in told]
    assert "without labels" in told[0].stdout
    slices = load_bundle(tmp_path / "b" / "bundle").config.training["pseudo_labels"]["used"]
    assert f"more: {slices} of {slices} slices have soft pseudo-labels" in told[3].stderr
    last = runner.invoke(app, [*train, more, "-o", str(tmp_path / "c")])
    assert last.exit_code == 1
    assert "add --pseudo-labels" in last.stderr
    alone = runner.invoke(app, [*train, "--pseudo-labels", answers, "-o", str(tmp_path / "d")])
    assert (alone.exit_code, "-s unlabelled" in alone.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "init"),
    [
        ([], "imagenet"), (["--pretrained"], "imagenet"), (["--no-pretrained"], "none"),
        (["--init", "owner/name@v1"], "owner/name@v1"),
    ],
)  # fmt: skip
def test_pretrained_is_short_for_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], init: str
) -> None:
    monkeypatch.chdir(tmp_path)
    blobs(tmp_path / "prepared", 4)
    assert _planned(monkeypatch, *options)["init"] == init


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["--head", "cells"], "--head patch", {"head": "patch"}),
        (["--transplants", "0.3"], "--copy-paste", {"copy_paste": 0.3}),
        (["--positives", "0.25"], "--positive-fraction", {"positive_fraction": 0.25}),
        (["--mix", "0.5"], "--sampling-weights", {"sampling_weights": (0.5,)}),
        (["--out", "there"], "--output", {"out": Path("there")}),
    ],
)
def test_old_option_names_work_for_one_version(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: list[str],
    new: str,
    expected: dict[str, Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    blobs(tmp_path / "prepared", 4)
    planned = _planned(monkeypatch, *old)
    assert planned.items() >= expected.items()
    assert f"is deprecated and will be removed in the next version; use {new}" in planned["told"]


def test_pretrained_and_another_start_contradict_each_other() -> None:
    told = runner.invoke(app, ["train", "--no-pretrained", "--init", "owner/name"])
    assert told.exit_code == 2
    assert "--no-pretrained means --init none, but --init owner/name is given too" in told.stderr


def test_all_trains_without_folds(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 2)
    command = ["train", str(tmp_path / "blobs"), "-o", str(tmp_path / "run"), *TINY, "--all"]
    told = runner.invoke(app, command)
    assert told.exit_code == 0, told.stderr
    assert not (tmp_path / "run" / "fold-0").exists()
    assert load_bundle(tmp_path / "run" / "bundle").config.training["split"] == "all patients"


def test_all_trains_on_fewer_patients_than_folds(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 2)
    command = ["train", str(tmp_path / "blobs"), "-o", str(tmp_path / "run"), *TINY, "--all"]
    told = runner.invoke(app, [*command, "--folds", "5"])
    assert told.exit_code == 0, told.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ([], 1, "ich preprocess"),
        (["nowhere"], 1, "not a prepared data set"),
        (["--lr", "0"], 2, "lr must be in (0, inf)"),
        (["--label-weights", "1,x"], 2, "expected numbers separated by commas"),
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


def _planned(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """Return the settings of a command, without training."""
    from ich_cli.commands import train

    seen: list[Any] = []
    monkeypatch.setattr(train, "_run", lambda plan, *_, **__: seen.append(plan))
    told = runner.invoke(app, ["train", *arguments])
    assert told.exit_code == 0, told.stderr
    return {**vars(seen[0]), **seen[0].config.to_dict(), "told": told.stderr}


def test_the_recipe_of_the_predecessor_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    series = [BlobSeries(i, str(i)) for i in range(4)]
    config = PreprocessConfig.dlmi(32)
    prepare_dataset(series, tmp_path / "prepared", config, SourceInfo("test", "blobs"))
    one = _planned(monkeypatch, "--model", "seresnet50", "--recipe", "dlmi")
    expected = {
        "model": "seresnet50", "optimizer": "adam", "lr": 5e-5, "schedule": "step",
        "step_epochs": 50, "step_factor": 0.412, "batch_size": 48, "pos_weight": "ratio",
        "augmentations": "dlmi", "ema": 0.0, "weight_decay": 0.0, "grad_clip": 0.0,
        "positive_fraction": 0.0, "label_weights": [1.0] * 6,
    }  # fmt: skip
    assert {key: one[key] for key in expected} == expected
    assert "uses 512 pixels, prepared has 32" in one["told"]
    other = _planned(monkeypatch, "--recipe", "dlmi", "--lr", "1e-4", "--batch-size", "8")
    assert (other["lr"], other["batch_size"], other["optimizer"]) == (1e-4, 8, "adam")


def test_the_recipe_wants_its_own_preset(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 4)
    told = runner.invoke(app, ["train", str(tmp_path / "blobs"), "--recipe", "dlmi"])
    assert told.exit_code == 1
    assert "ich preprocess … --preset dlmi --size 512" in told.stderr


def test_a_finished_run_takes_a_second_stage(tmp_path: Path) -> None:
    blobs(tmp_path / "blobs", 8)
    command = ["train", str(tmp_path / "blobs"), "-o", str(tmp_path / "run"), *TINY, "--quiet"]
    assert runner.invoke(app, command).exit_code == 0
    told = runner.invoke(app, [*command, "--resume", "--refit", "--sequence", "smooth"])
    assert told.exit_code == 0, told.stderr
    assert load_bundle(tmp_path / "run" / "bundle").sequence is not None
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["without_sequence"]["slices"] == 48
