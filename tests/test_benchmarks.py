"""Benchmarks on small data; the GPU cases run on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import baseline, cases, engine_agreement, fixtures, gpu, timing
from benchmarks.timing import Measure, rates, ratio, times
from ich_cli.core.predict import Predictor

needs_openvino = pytest.mark.skipif(not find_spec("openvino"), reason="openvino is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICH_CACHE", str(tmp_path / "cache"))


def test_rates_runs_all_once_unmeasured_and_then_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 2.0, 6.0, 6.0, 7.0, 7.0, 17.0])  # seconds: 2, 4, 1, 10
    monkeypatch.setattr(timing, "clock", lambda: next(clock))
    order: list[str] = []

    def job(name: str, work: int) -> timing.Work:
        return lambda: order.append(name) or work  # type: ignore[func-returns-value]

    a, b = rates({"a": job("a", 8), "b": job("b", 20)}, 2)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert a.values == (4.0, 8.0)
    assert b.values == (5.0, 2.0)
    assert ratio(a, b).values == (0.8, 4.0)
    assert ratio(a, b).median == pytest.approx(2.4)


def test_times_are_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.25])
    monkeypatch.setattr(timing, "clock", lambda: next(clock))
    (found,) = times({"a": lambda: 99}, 1)
    assert found == Measure("a", "s", (0.25,))


def test_the_baseline_writes_the_windows_as_a_png(tmp_path: Path, tiny_bundle: Path) -> None:
    all_series = fixtures.phantoms(tmp_path / "scans", 2)
    predictor = Predictor.load(tiny_bundle, device="cpu")
    files = sorted((tmp_path / "scans").glob("study-*/*.dcm"))
    (tmp_path / "png").mkdir()
    models = predictor.bundle.models
    done = baseline.predict(files, tmp_path / "png", models, predictor.preprocess[0])
    assert done == len(files) == sum(map(len, all_series))
    import cv2

    picture = cv2.imread(str(next((tmp_path / "png").iterdir())))
    assert picture is not None
    assert picture.shape == (64, 64, 3)
    assert picture.max() > 200
    assert picture.min() == 0


def test_cases_measure_a_bundle(tmp_path: Path, tiny_bundle: Path) -> None:
    all_series = fixtures.phantoms(tmp_path, 2)
    subject = fixtures.Subject("tiny", tiny_bundle)
    subject.load("torch", "cpu")
    names = [one.name for one in cases.bare_engines(subject, all_series, 1)]
    assert names == ["tiny: torch, float32"]
    rows = {one.name: one for one in cases.end_to_end(subject, all_series, 1)}
    assert rows["tiny: files to rows / bare engine"].goal == "0.90"
    assert all(value > 0 for row in rows.values() for value in row.values)
    assert cases.explaining(subject, all_series, 1)[-1].unit == "ratio"


@needs_openvino
def test_engine_agreement_reports_the_bound(tiny_bundle: Path) -> None:
    reference = Predictor.load(tiny_bundle, device="cpu", engine="torch")
    shape = (3, 3, 64, 64)
    pixels = [np.random.default_rng(0).integers(0, 256, shape, np.uint8)]
    exact, *rest = engine_agreement.compare(reference, "noise", pixels, False)
    assert (exact.data, exact.slices, exact.engine) == ("noise", 3, "openvino, float32")
    assert exact.bound == "holds"
    assert exact.largest < 1e-4
    assert all(row.bound in ("holds", "float32 is taken") for row in rest)


def test_the_gpu_case_runs_on_a_cpu(tiny_bundle: Path) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu", batch_size=2)
    found = gpu.forward(predictor, 1, batches=1)
    assert found.unit == "slices/s"
    assert found.median > 0


@pytest.mark.slow
def test_training_is_measured_against_its_bare_step() -> None:
    found = gpu.training("cpu", 1, model="test_resnet", size=64, batch_size=8, studies=1)
    assert [one.unit for one in found] == ["images/s", "images/s", "ratio"]
    assert all(np.isfinite(one.median) and one.median > 0 for one in found)


@pytest.mark.slow
def test_one_command_prints_a_table_and_saves_it(tmp_path: Path, tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--slices", "4"]
    command += ["--weights", str(tiny_bundle), "--only", "explain", "--device", "cpu"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "bench.json")], capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "200"}, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert "six maps of a slice / forward pass" in done.stdout
    saved = json.loads((tmp_path / "bench.json").read_text())
    assert torch.__version__.startswith(saved["machine"]["torch"])
    assert saved["parts"]["explain"][-1]["goal"] == "at most 4"
