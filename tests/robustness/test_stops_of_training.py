"""`ich preprocess` and `ich train` that are stopped, doubled, or lose their files on the way."""

from __future__ import annotations

import csv
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import open_source, prepare_dataset, prepare_store as shards
from ich_cli.core.data.sources.base import LabelledSeries, SourceInfo
from ich_cli.core.errors import OutputError
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import exclusive_lock, temporary_sibling, worker_processes
from tests.robustness.long_run import ROOT, make_corpus
from tests.support.prepared import BlobSeries, blobs

SIX = "any,epidural,intraparenchymal,intraventricular,subarachnoid,subdural"


PREPARE = ("preprocess", "-s", "phantom", "--studies", 3, "--size", 32, "--workers", 1, "-q")
TRAIN = (
    "-m", "test_resnet", "--init", "none", "--epochs", 2, "--folds", 2, "--batch-size", 8,
    "--device", "cpu", "-q",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs(tmp_path_factory.mktemp("data") / "blobs", 6).folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in peace prepares."""
    out = tmp_path_factory.mktemp("prepared") / "whole"
    assert victim("never", *PREPARE, "-o", out).returncode == 0
    return out


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training in peace writes."""
    out = tmp_path_factory.mktemp("trained") / "whole"
    assert victim("never", "train", data, *TRAIN, "-o", out).returncode == 0
    return out


def victim(moment: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "tests.robustness.killed_process",
        moment,
        "0",
        *map(str, words),
    ]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def same_files(one: Path, other: Path, *names: str) -> None:
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "code", "line"),
    [
        ("series:15:2:1", 143, "ich: terminated; 2 of 3 series are saved: continue with the same "),
        ("series:2:2:1", 130, "ich: interrupted; 2 of 3 series are saved: continue with the same "),
        ("series:2:2:2", 130, "ich: stopped at once"),
        ("series:15:2:2", 143, "ich: stopped at once"),
    ],
)
def test_preprocess_that_is_stopped_goes_on(
    moment: str, code: int, line: str, prepared: Path, tmp_path: Path
) -> None:
    stopped = victim(moment, *PREPARE, "-o", tmp_path / "data")

    assert (stopped.returncode, stopped.stderr.count("\n")) == (code, 1), stopped.stderr
    assert stopped.stderr.startswith(line)
    assert not (tmp_path / "data").exists()
    if moment not in ("series:15:2:1", "series:2:2:2"):
        return  # the same again
    resumed = victim("never", *PREPARE, "-o", tmp_path / "data", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    same_files(tmp_path / "data", prepared, *(path.name for path in prepared.iterdir()))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "code", "line"),
    [
        (
            "step:15:3:1",
            143,
            "ich: stopped; 3 of 4 steps are saved: continue with the same",
        ),
        (
            "step:2:3:1",
            130,
            "ich: stopped; 3 of 4 steps are saved: continue with the same",
        ),
        ("step:2:3:2", 130, "ich: interrupted"),
        ("step:15:3:2", 143, "ich: terminated"),
    ],
)
def test_train_that_is_stopped_goes_on(
    moment: str, code: int, line: str, data: Path, trained: Path, tmp_path: Path
) -> None:
    stopped = victim(moment, "train", data, *TRAIN, "-o", tmp_path / "run")

    assert (stopped.returncode, stopped.stderr.count("\n")) == (code, 1), stopped.stderr
    assert stopped.stderr.startswith(line)
    if moment not in ("step:15:3:1", "step:2:3:2"):
        return  # the same again
    resumed = victim("never", "train", data, *TRAIN, "-o", tmp_path / "run", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    same_files(tmp_path / "run", trained, "oof.csv", "fold-0/bundle/model.safetensors")


def test_a_second_preprocess_on_the_same_folder_is_turned_away(tmp_path: Path) -> None:
    series = [BlobSeries(number, "who") for number in range(2)]
    how = PreprocessConfig(size=32), SourceInfo("test", "blobs")
    with exclusive_lock(tmp_path / "data"):
        (tmp_path / ".data.partial").mkdir()
        (tmp_path / ".data.partial" / "000000.json").write_text("somebody is at work")

        with pytest.raises(OutputError, match=r"data: another run is writing it; let it finish$"):
            prepare_dataset(series, tmp_path / "data", *how)

        assert (tmp_path / ".data.partial" / "000000.json").is_file()
    assert len(prepare_dataset(series, tmp_path / "data", *how)) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.slow
def test_a_second_training_of_the_same_fold_is_turned_away(data: Path, tmp_path: Path) -> None:
    command = ("train", data, *TRAIN, "-o", tmp_path / "run")
    (tmp_path / "run").mkdir()
    assert victim("never", *command, "--fold", 7).returncode == 2  # the run stands there, begun
    with exclusive_lock(tmp_path / "run" / "fold-0"):
        second = victim("never", *command, "--fold", 0, "--resume")
        other = victim("never", *command, "--fold", 1, "--resume")

    assert (second.returncode, other.returncode) == (1, 0), second.stderr + other.stderr
    assert second.stderr.endswith("fold-0: another run is writing it; let it finish\n")
    assert second.stderr.count("\n") == 1


def test_a_lock_leaves_no_file_and_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive_lock(tmp_path / "data"):
            with pytest.raises(OutputError, match=r"data: another run is writing it"):
                exclusive_lock(tmp_path / "data").__enter__()
            assert [path.name for path in tmp_path.iterdir()] == [".data.lock"]
        assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    # root may write everywhere but where the system lets nobody
    folder = Path("/sys/kernel") if os.geteuid() == 0 else tmp_path / "closed"
    if os.geteuid() != 0:
        folder.mkdir(mode=0o500)
    read: list[int] = []

    class Watched(BlobSeries):
        def read(self):  # type: ignore[no-untyped-def]
            read.append(self.number)
            return super().read()

    with pytest.raises(OutputError, match=r"data: (no permission to write there|.*read-only)"):
        prepare_dataset(
            [Watched(0, "who")], folder / "data", PreprocessConfig(size=32),
            SourceInfo("test", "blobs"),
        )  # fmt: skip
    assert read == []


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Path.unlink, "cannot be read: No such file or directory"),
        (_cut, "changed since its header was read; run again"),
    ],
)
def test_a_file_that_changes_after_it_was_listed_costs_its_row(
    change: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    scans = make_corpus(tmp_path / "scans", 5, 0.0, 1).folder
    files = sorted(path for path in scans.rglob("*") if path.is_file())
    lines = [f"{path.name},0,0,0,0,0,0" for path in files]
    (tmp_path / "labels.csv").write_text("\n".join([f"file,{SIX}", *lines]))
    series, info = open_source("folder", [scans], tmp_path / "labels.csv")
    change(files[2])

    data = prepare_dataset(series, tmp_path / "data", PreprocessConfig(size=32), info)

    assert len(data) == 4
    with (tmp_path / "data" / "skipped.csv").open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert (row["status"], row["note"]) == ("failed", reason)


class SlowSeries(BlobSeries):
    """Tells its process, and waits until it is killed."""

    def read(self):  # type: ignore[no-untyped-def]
        Path(self.who).write_text(str(os.getpid()))
        signal.pause()
        return super().read()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as Linux can")
def test_a_killed_preprocess_leaves_no_process_behind(tmp_path: Path) -> None:
    """The workers of concurrent.futures wait for ever where their parent was killed."""
    told = [tmp_path / f"pid-{number}" for number in range(2)]
    for path in told:
        os.mkfifo(path)
    code = (
        "import sys; from pathlib import Path;"
        "from tests.robustness.test_stops_of_training import run_slowly;"
        "run_slowly(Path(sys.argv[1]), sys.argv[2:])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data"), *map(str, told)], cwd=ROOT
    ) as parent:
        handles = [os.pidfd_open(int(path.read_text())) for path in told]
        parent.kill()
    for handle in handles:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(60_000), "a worker lives on"
        os.close(handle)


def run_slowly(out: Path, told: list[str]) -> None:
    series: list[LabelledSeries] = [SlowSeries(n, path) for n, path in enumerate(told)]
    config = PreprocessConfig(size=32)
    with worker_processes(2) as pool:
        prepare_dataset(series, out, config, SourceInfo("test", "blobs"), pool=pool)


class DyingSeries(BlobSeries):
    """Kills the process that reads it, unless that is the first."""

    def read(self):  # type: ignore[no-untyped-def]
        if multiprocessing.parent_process() is not None:
            os._exit(9)
        return super().read()


@pytest.mark.slow
def test_a_killed_worker_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    series = [DyingSeries(number, "who") for number in range(2)]
    how = PreprocessConfig(size=32), SourceInfo("test", "blobs")
    with worker_processes(2) as pool:
        for _ in range(2):  # again, as after headers at which the process died
            with pytest.raises(OutputError, match=r"killed, .* --workers$"):
                prepare_dataset(series, tmp_path / "data", *how, pool=pool, resume=True)
    assert len(prepare_dataset(series, tmp_path / "data", *how, resume=True)) == 12


def test_arrays_are_written_as_numpy_reads_them(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    for name, one in (("a.npy", array), ("empty.npy", array[:0]), ("turned.npy", array[..., ::-1])):
        shards.save(tmp_path / name, one)
        np.testing.assert_array_equal(np.load(tmp_path / name, allow_pickle=False), one)
    assert not temporary_sibling(tmp_path / "a.npy", "new").exists()
