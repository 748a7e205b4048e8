"""Commands of the whole pipeline on a miniature: preprocess, train, evaluate, predict, explain."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from ich_cli.core.data import PreparedDataset
from ich_cli.main import app

_TINY = (
    "--model", "test_resnet", "--init", "none", "--epochs", "1", "--batch-size", "16",
    "--device", "cpu", "--folds", "2", "--precision", "no", "--quiet",
)  # fmt: skip
_RUNNER = CliRunner()


def invoke(*arguments: object) -> Result:
    """Run a command in this process."""
    return _RUNNER.invoke(app, [str(one) for one in arguments])


def succeed(*arguments: object) -> Result:
    """Run a command that must succeed."""
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result


def preprocess(folder: Path, out: Path, *options: object) -> PreparedDataset:
    """Prepare a folder, whose layout is recognised, at 64 pixels."""
    succeed("preprocess", folder, "-o", out, "--size", 64, "--workers", 0, "--quiet", *options)
    return PreparedDataset.open(out)


def train(data: PreparedDataset, out: Path, *options: object) -> Path:
    """Train two folds of a tiny model for an epoch and return the bundle of the first."""
    succeed("train", data.folder, "-o", out, *_TINY, *options)
    return out / "fold-0" / "bundle"


def evaluate(data: PreparedDataset, bundle: Path) -> dict[str, Any]:
    """Return the metrics of a bundle on a data set."""
    options = ("--bundle", bundle, "--data", data.folder, "--bootstrap", 20, "--json", "--quiet")
    result = succeed("evaluate", *options, "--device", "cpu")
    values: dict[str, Any] = json.loads(result.stdout)
    return values["models"][0] if "models" in values else values


def predict(path: Path, bundle: Path, out: Path) -> list[dict[str, str]]:
    """Return the rows of the table of a folder's slices."""
    options = ("-w", bundle, "-o", out, "--device", "cpu", "--quiet")
    result = invoke("predict", path, *options)
    assert out.is_file(), result.stderr
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def explain(path: Path, bundle: Path, out: Path, *options: object) -> list[Path]:
    """Return the figures of the images at a path; of one slice, `out` is its figure."""
    succeed("explain", path, "-w", bundle, "-o", out, "--device", "cpu", "--quiet", *options)
    return [out] if out.is_file() else sorted(out.rglob("*.png"))
