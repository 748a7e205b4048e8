"""Runs that are stopped, and files that change under them: one line, the right code, no loss."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from ich_cli.core.dicom import DEFAULT_LIMITS, read_file
from ich_cli.core.errors import BrokenFileError, InputError
from ich_cli.core.series import scanning as series
from ich_cli.core.system import exclusive_lock, remove_stale, replacing, replacing_folder
from tests.robustness.long_run import ROOT, Corpus, make_bundle, make_corpus, predict, studies_of
from tests.support.scans import all_slices


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("stops") / "scans", 20, 0.0, 1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "code", "line"),
    [
        (
            "signal:15:1:1",
            143,
            "ich: terminated; 10 of 20 rows are saved: continue with the same command",
        ),
        (
            "signal:2:1:1",
            130,
            "ich: interrupted; 10 of 20 rows are saved: continue with the same command",
        ),
        ("signal:2:1:2", 130, "ich: stopped at once"),
        ("signal:15:1:2", 143, "ich: stopped at once"),
    ],
)
def test_a_signal_ends_with_one_line_and_the_run_can_be_resumed(
    moment: str, code: int, line: str, corpus: Corpus, bundle: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"

    stopped = predict(corpus.folder, output, bundle, moment=moment)

    assert (stopped.code, stopped.told.count("\n")) == (code, 1), stopped.told
    assert stopped.told.startswith(line)
    assert {path.name for path in tmp_path.iterdir()} - {".out.csv.lock"} == {".out.csv.parts"}
    resumed = predict(corpus.folder, output, bundle, "--resume")
    assert "10 from an earlier run" in resumed.told
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.csv", studies_of(output).name,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_second_run_on_the_same_output_is_refused(
    corpus: Corpus, bundle: Path, tmp_path: Path
) -> None:
    with exclusive_lock(tmp_path / "out.csv"):
        second = predict(corpus.folder, tmp_path / "out.csv", bundle)

    assert second.code == 1
    assert second.told.endswith("out.csv: another run is writing it; let it finish\n")
    assert second.told.count("\n") == 1


@pytest.mark.slow
def test_a_full_disk_loses_no_finished_series(corpus: Corpus, bundle: Path, tmp_path: Path) -> None:
    """A real limit of the system: no file of the process may grow past it (SIGXFSZ is ignored)."""
    command = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); "
        "sys.argv[0] = 'ich'; from ich_cli.main import main; main()"
    )
    arguments = ["predict", str(corpus.folder), "-o", str(tmp_path / "out.csv"), "--by", "study"]
    # what measures coverage writes a file of its own, which would meet the limit, too
    own = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    full = subprocess.run(
        [sys.executable, "-c", command, *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**own, "ICH_WEIGHTS": str(bundle)}, check=False,
    )  # fmt: skip

    assert full.returncode == 1
    assert full.stderr.count("\n") == 1
    assert "cannot write" in full.stderr
    assert re.search(
        r"; \d+ of 20 rows are saved: continue with the same command and --resume", full.stderr
    )
    whole = tmp_path / "whole.csv"
    assert predict(corpus.folder, whole, bundle).code == 0
    assert predict(corpus.folder, tmp_path / "out.csv", bundle, "--resume").code == 0
    assert (tmp_path / "out.csv").read_bytes() == whole.read_bytes()


def _vanish(path: Path) -> None:
    path.unlink()


def _grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_vanish, "cannot be read: No such file or directory"),
        (_grow, "changed since its header was read; run again"),
        (_become_a_pipe, "not a regular file"),
        (_become_a_folder, "cannot be read: Is a directory"),
    ],
)
def test_a_file_that_changes_after_it_was_listed_costs_its_row(
    change: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    scans = make_corpus(tmp_path / "scans", 5, 0.0, 1).folder
    ref = all_slices(series.scan([scans]))[2]
    change(ref.source.path)

    with pytest.raises(InputError) as error:
        series.load(ref)

    assert error.value.note == reason


def test_a_pipe_that_took_a_zips_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    source = series.Source(tmp_path / "a.zip", "a.zip")

    with pytest.raises(BrokenFileError, match="not a regular file"):
        read_file(source, DEFAULT_LIMITS, lambda raw, size: raw.read())


def test_stale_files_of_killed_processes_are_removed_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".out.csv.4711.new").write_bytes(b"half")
    (tmp_path / ".out.csv.mine.new").write_bytes(b"somebody's")
    with replacing(tmp_path / "out.csv") as file:
        remove_stale(tmp_path, "out.csv")
        file.write(b"whole")

    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.csv.mine.new", "out.csv"]


def test_a_folder_half_written_by_a_killed_process_goes_with_the_next_one(tmp_path: Path) -> None:
    for name, busy in ((".study-dead", False), (".study-live", True)):
        (tmp_path / name / "new").mkdir(parents=True)
        (tmp_path / name / "busy").touch()
        if busy:
            held = FileLock(tmp_path / name / "busy")
    with held, replacing_folder(tmp_path / "study") as new:
        (new / "report.dcm").touch()

    assert sorted(path.name for path in tmp_path.iterdir()) == [".study-live", "study"]
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["report.dcm"]


def test_a_folder_that_is_read_only_is_told_before_the_work(
    corpus: Corpus, bundle: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    # root may write everywhere but where the system lets nobody
    folder = Path("/sys/kernel") if os.geteuid() == 0 else tmp_path

    refused = predict(corpus.folder, folder / "out.csv", bundle)

    assert (refused.code, refused.told.count("\n")) == (1, 1)
    assert re.search("out.csv: (no permission to write there|.*read-only)", refused.told)
