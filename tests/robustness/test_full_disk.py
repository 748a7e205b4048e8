"""A disk that is really full: a line, what was done stays, and there is a way to go on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import prepare_dataset
from ich_cli.core.data.sources.base import SourceInfo
from ich_cli.core.errors import OutputError
from ich_cli.core.preprocessing import PreprocessConfig
from tests.robustness.long_run import ROOT, make_bundle, make_corpus
from tests.support.prepared import BlobSeries, blobs

pytestmark = pytest.mark.slow

Mount = Callable[[int], Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mount]:
    """Mount a file system of so many KiB; may be asked again for more room."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kib: int) -> Path:
        how = "remount," if os.path.ismount(place) else ""
        words = ["mount", "-t", "tmpfs", "-o", f"{how}size={kib}k", "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("a file system of a given size can be mounted by root on Linux only")
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


def ich(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ich_cli", *map(str, words)], cwd=ROOT, capture_output=True,
        text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )  # fmt: skip


def assert_full(done: subprocess.CompletedProcess[str], *more: str) -> None:
    lines = [line for line in done.stderr.splitlines() if "real CT" not in line]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    for text in ("ich: cannot write ", "the disk is full; free some space", *more):
        assert text in lines[0]


def test_predict(small_disk: Mount, tmp_path: Path) -> None:
    scans = make_corpus(tmp_path / "scans", 60, 0.0, 1).folder
    bundle = str(make_bundle(tmp_path / "bundle"))
    disk = small_disk(12)

    assert_full(
        ich("predict", scans, "-o", disk / "out.csv", "-q", ICH_WEIGHTS=bundle),
        "rows are saved: continue with the same command and --resume",
    )

    small_disk(4000)
    command = ("predict", scans, "-q", "--resume", "-o")
    assert ich(*command, disk / "out.csv", ICH_WEIGHTS=bundle).returncode == 0
    assert ich(*command, tmp_path / "whole.csv", ICH_WEIGHTS=bundle).returncode == 0
    assert (disk / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert [path.name for path in disk.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("kib", "reserves"),
    [
        (600, True),  # before the first series
        (100, False),  # in the first
        (600, False),  # in the second
        (1100, True),  # in the joining
    ],
)
def test_preprocess(
    kib: int, reserves: bool, small_disk: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reserves:  # as where the system cannot
        monkeypatch.setattr("ich_cli.core.data.prepare_store._reserve", lambda path: None)
    disk, config = small_disk(kib), PreprocessConfig(size=64)
    series = [BlobSeries(number, "who", 30, located=True) for number in range(2)]
    info = SourceInfo("test", "blobs")

    with pytest.raises(OutputError, match="the disk is full; free some space"):
        prepare_dataset(series, disk / "data", config, info)
    assert bool(list(disk.glob(".data*/plan.json"))) == (not reserves or kib > 1000)

    small_disk(8000)
    prepare_dataset(series, disk / "data", config, info, resume=True)
    prepare_dataset(series, tmp_path / "whole", config, info)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (disk / "data" / path.name).read_bytes(), path.name
    assert [path.name for path in disk.iterdir()] == ["data"]
    assert np.load(disk / "data" / "masks.npy", mmap_mode="r").dtype == np.uint8


def test_train(small_disk: Mount, tmp_path: Path) -> None:
    data = blobs(tmp_path / "data", 6).folder
    command = (
        "train", data, "-m", "test_resnet", "--init", "none", "--epochs", 1, "--folds", 2,
        "--batch-size", 8, "--device", "cpu", "-q",
    )  # fmt: skip
    disk = small_disk(600)

    assert_full(ich(*command, "-o", disk / "run"), "checkpoints")

    small_disk(80_000)
    assert ich(*command, "-o", disk / "run", "--resume").returncode == 0
    assert (disk / "run" / "oof.csv").is_file()
    assert not list((disk / "run").rglob(".*"))
