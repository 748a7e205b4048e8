"""Two processes learn what one learns from the same batches."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ich_cli.core.bundle import load_bundle
from ich_cli.core.train.fit import FitResult
from tests.support.gloo_child import train
from tests.support.prepared import blobs

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
    "--nproc-per-node", "2", "-m",
]  # fmt: skip


OWN = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}


def two_processes(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **OWN}, capture_output=True, text=True, check=False
    )


def two_nodes(log: Path, *arguments: object) -> list[tuple[int, str]]:
    """Run as two machines do that meet at an address; return each one's code and stderr."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "t"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", *meeting]
    here = ["--local-addr", "127.0.0.1", "--nproc-per-node", "1", "-m"]
    nodes, logs = [], [log / "node-0.log", log / "node-1.log"]
    for path in logs:
        with path.open("w") as stderr:
            nodes.append(
                subprocess.Popen(
                    [*torchrun, *here, *map(str, arguments)], cwd=ROOT, env={**os.environ, **OWN},
                    stdout=subprocess.DEVNULL, stderr=stderr,
                )
            )  # fmt: skip
    return [(one.wait(300), path.read_text()) for one, path in zip(nodes, logs, strict=True)]


def assert_as_one(folder: Path, one: FitResult) -> None:
    """Compare what each of two processes holds with what one process learned."""
    ranks = [load_file(folder / f"rank-{rank}.safetensors") for rank in (0, 1)]
    for key, value in one.model.state_dict().items():
        torch.testing.assert_close(ranks[0][key], value, atol=1e-5, rtol=1e-4)
        assert torch.equal(ranks[0][key], ranks[1][key]), key
    expected = torch.from_numpy(one.logits)  # of 9 slices: not the same number for each process
    torch.testing.assert_close(ranks[0]["logits"], expected, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    data = blobs(tmp_path / "data", 8)
    one = train(data, tmp_path / "one")
    (tmp_path / "two").mkdir()
    done = two_processes("tests.support.gloo_child", data.folder, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert_as_one(tmp_path / "two", one)
    told = json.loads((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()[0])
    assert 0 <= told["loading_share"] < 1


@pytest.mark.slow
def test_two_processes_end_with_one_model_where_batch_norms_learn(tmp_path: Path) -> None:
    data = blobs(tmp_path / "data", 8)
    done = two_processes("tests.support.gloo_child", data.folder, tmp_path, "--norms")
    assert done.returncode == 0, done.stderr
    ranks = [load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1)]
    assert any(bool(v.any()) for key, v in ranks[0].items() if key.endswith("running_mean"))
    for key, value in ranks[0].items():
        assert torch.equal(value, ranks[1][key]), key


@pytest.mark.slow
def test_two_nodes_learn_what_one_process_does(tmp_path: Path) -> None:
    data = blobs(tmp_path / "data", 8)
    one = train(data, tmp_path / "one")
    (tmp_path / "two").mkdir()
    for code, stderr in two_nodes(
        tmp_path, "tests.support.gloo_child", data.folder, tmp_path / "two"
    ):
        assert code == 0, stderr
    assert_as_one(tmp_path / "two", one)


@pytest.mark.slow
def test_the_command_runs_in_two_processes(tmp_path: Path) -> None:
    data = blobs(tmp_path / "data", 8)
    done = two_processes(
        "ich_cli", "train", data.folder, "--output", tmp_path / "run", "--model", "test_resnet",
        "--init", "none", "--epochs", 1, "--batch-size", 8, "--folds", 2, "--device", "cpu",
        "--precision", "no", "--refit",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("out of fold (2 folds by patient)") == 1
    assert done.stderr.count("epoch 1/1  loss") == 3
    assert load_bundle(tmp_path / "run" / "bundle").config.training["split"].startswith("all")
