"""A training that is killed at any moment resumes to the same weights, bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ich_cli.core.data import PreparedDataset
from ich_cli.core.errors import DataError
from ich_cli.core.train import Callbacks
from ich_cli.core.train.fit import FitResult
from ich_cli.core.train.monitoring import THROUGHPUT_KEYS
from tests.support.prepared import blobs
from tests.support.training_child import STEPS, train

ROOT = Path(__file__).resolve().parents[3]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return blobs(tmp_path_factory.mktemp("data") / "blobs", 16)


@pytest.fixture(scope="module")
def unbroken(data: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return train(data, tmp_path_factory.mktemp("unbroken"), Callbacks())


def killed(data: PreparedDataset, out: Path, event: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.training_child", data.folder, out, event]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def untimed(history: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what the clock has measured."""
    return [{k: v for k, v in one.items() if k not in THROUGHPUT_KEYS} for one in history]


def assert_same(one: FitResult, other: FitResult) -> None:
    for key, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[key]), key
    np.testing.assert_array_equal(one.logits, other.logits)
    assert untimed(one.history) == untimed(other.history)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "goes_on_at"),
    [
        ("kill:3", 1),  # before the first checkpoint: from the start
        ("kill:10", 9),  # in the second epoch, behind the checkpoint of step 8
        ("tensors:3", 7),  # while step 8 is written (after 4 and the epoch's 6): tensors, no JSON
        ("write:11", 7),  # the same, all but the name of its folder
        ("validation:1", 5),  # measuring after the first epoch: its end is not on the disk yet
        ("validation:2", 13),  # after the second, which ends on a checkpoint
        ("validation:4", 19),  # the last measurement: there is no step left
    ],
)
def test_kill_9_at_any_moment(
    data: PreparedDataset, unbroken: FitResult, tmp_path: Path, event: str, goes_on_at: int
) -> None:
    assert killed(data, tmp_path, event).returncode == -signal.SIGKILL
    metrics = tmp_path / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.is_file() else []
    assert untimed(map(json.loads, lines)) == untimed(unbroken.history[: len(lines)])
    steps: list[int] = []
    again = train(data, tmp_path, Callbacks(step=lambda step, *_: steps.append(step)), resume=True)
    assert steps == list(range(goes_on_at, 3 * STEPS + 1))
    assert_same(unbroken, again)


@pytest.mark.slow
@pytest.mark.parametrize("event", ["term:9", "int:9"])
def test_a_signal_stops_training_after_the_current_step(
    data: PreparedDataset, unbroken: FitResult, tmp_path: Path, event: str
) -> None:
    done = killed(data, tmp_path, event)
    assert done.returncode == 1
    assert (
        "stopped; 9 of 18 steps are saved: continue with the same command and --resume"
        in done.stderr
    )
    steps: list[int] = []
    again = train(data, tmp_path, Callbacks(step=lambda step, *_: steps.append(step)), resume=True)
    assert steps[0] == 10
    assert_same(unbroken, again)


def stop_at(data: PreparedDataset, out: Path, last: int) -> None:
    def dies(step: int, steps: int, loss: float) -> None:
        if step == last:
            raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        train(data, out, Callbacks(step=dies))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("state.safetensors", flip_a_bit, "its checksum is wrong"),
        ("state.safetensors", cut, "its checksum is wrong"),
        ("state.safetensors", Path.unlink, "No such file"),
        ("state.json", cut, "its state.json does not parse"),
        ("state.json", lambda path: path.write_text("[]"), "its state.json does not parse"),
    ],
)
def test_with_a_damaged_checkpoint_training_resumes_from_the_one_before(
    data: PreparedDataset, unbroken: FitResult, tmp_path: Path, name: str, damage, reason: str
) -> None:
    stop_at(data, tmp_path, 9)  # checkpoints stand at 6 and 8
    damage(tmp_path / "checkpoints" / "step-00000008" / name)
    heard: list[str] = []
    steps: list[int] = []
    watch = Callbacks(step=lambda step, *_: steps.append(step), note=heard.append)
    again = train(data, tmp_path, watch, resume=True)
    assert len(heard) == 1
    assert heard[0].startswith(f"checkpoint step-00000008 is damaged ({reason}")
    assert heard[0].endswith("continuing from step-00000006")
    assert steps[0] == 7
    assert_same(unbroken, again)


def test_without_a_valid_checkpoint_resuming_is_refused(
    data: PreparedDataset, tmp_path: Path
) -> None:
    stop_at(data, tmp_path, 9)
    for path in tmp_path.rglob("state.safetensors"):
        flip_a_bit(path)
    with pytest.raises(
        DataError, match="all checkpoints are damaged; start again without --resume"
    ):
        train(data, tmp_path, Callbacks(), resume=True)
