"""``ich predict --engine`` as its users see it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ich_cli.core.engines import selection
from ich_cli.core.errors import OutputError
from ich_cli.main import app
from tests.support.dicom import ct, save

needs_openvino = pytest.mark.skipif(not find_spec("openvino"), reason="openvino is not installed")
Predict = Callable[..., Result]


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> Predict:
    monkeypatch.setenv("ICH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for n in range(5):
        stored = np.full((64, 64), 24)
        stored[8:56, 8:56] = 1024 + rng.integers(0, 90, (48, 48))
        save(tmp_path / "scans" / f"{n}.dcm", ct(stored, position=(0, 0, 5 * n), instance=n + 1))

    def run(*arguments: str) -> Result:
        command = ["predict", "scans", "-w", str(tiny_bundle), *arguments]
        return CliRunner().invoke(app, command, prog_name="ich")

    return run


def probabilities(path: str) -> list[list[float]]:
    with Path(path).open(encoding="utf-8") as file:
        return [[float(row["any"]), float(row["subdural"])] for row in csv.DictReader(file)]


@needs_openvino
def test_another_engine_gives_the_same_table(predict: Predict) -> None:
    assert predict("-o", "torch.csv").exit_code == 0
    done = predict("-o", "ov.csv", "--engine", "openvino", "--device", "cpu")
    assert done.exit_code == 0
    assert "\nengine: openvino, " in done.stderr
    np.testing.assert_allclose(probabilities("ov.csv"), probabilities("torch.csv"), atol=0.01)
    assert predict("-o", "again.csv", "--engine", "openvino").exit_code == 0
    assert Path("again.csv").read_bytes() == Path("ov.csv").read_bytes()


def test_a_small_job_uses_torch_and_gives_the_reason(predict: Predict) -> None:
    done = predict("-o", "out.csv", "--device", "cpu")
    assert "\nengine: torch, float32 (" in done.stderr
    assert "engine" not in predict("-o", "out.csv", "--quiet").stderr


def test_what_is_not_installed_is_one_line(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda name: None)
    done = predict("-o", "out.csv", "--engine", "openvino", "--device", "cpu")
    assert done.exit_code == 2
    assert done.stderr == (
        "ich: --engine openvino: not installed: pip install 'ich-cli[openvino]'\n"
    )
    assert not Path("out.csv").exists()


def test_an_engine_that_is_none_is_wrong_usage(predict: Predict) -> None:
    done = predict("--engine", "onnx")
    assert done.exit_code == 2
    assert "--engine" in done.stderr


@needs_openvino
def test_parts_of_another_engine_are_not_used(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write out.csv: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("ich_cli.commands.predict.run.write_tables", full)
        assert predict("-o", "out.csv", "--device", "cpu").exit_code == 1
    done = predict("-o", "out.csv", "--resume", "--engine", "openvino", "--device", "cpu")
    assert done.exit_code == 0
    assert "results of an earlier run are not used: it differs in engine\n" in done.stderr
