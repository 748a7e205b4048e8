"""A stalled network folder fails only the files that cannot be read in time."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits, Source
from ich_cli.core.dicom.files import reading, sources, zip_archive
from ich_cli.core.errors import InputError
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Scan, glimpse, load, scan
from ich_cli.core.system.deadline import DeadlineExecutor
from ich_cli.terminal import parse_limits
from tests.support import dicom as factory
from tests.support.scans import all_slices, errors

NOTE = "did not answer within 0.01 s; check the disk or network folder, then run again"


class Impatient(DeadlineExecutor):
    """Executor with a short deadline for names with "stalled" and a long one for all others."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: set[float] = set()
        self.patient = True

    def run(self, function: Callable[[], Any], seconds: float, name: str) -> Any:
        self.seconds.add(seconds)
        return super().run(function, 60 if self.patient or "stalled" not in name else 0.01, name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Impatient:
    executor = Impatient()
    for module in (reading, sources, zip_archive):
        monkeypatch.setattr(module, "run_with_deadline", lambda *call: executor.run(*call))
    return executor


@pytest.fixture
def stall(monkeypatch: pytest.MonkeyPatch, impatient: Impatient) -> Iterator[Callable[[], None]]:
    """Once called, opening a file with "stalled" in its name blocks until the test ends."""
    over, real = threading.Event(), sources.open_regular

    def slow(source: Source) -> Any:
        if "stalled" in source.name:
            over.wait()
        return real(source)

    def begin() -> None:
        impatient.patient = False
        monkeypatch.setattr(sources, "open_regular", slow)

    yield begin
    over.set()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    names = ["1.dcm", "2-stalled.dcm", "3.dcm"]
    factory.series(tmp_path / "scans", [0.0, 5.0, 10.0], names)
    return tmp_path / "scans"


def notes_and_names(found: Scan) -> list[str]:
    names = [Path(ref.id.path).name for ref in all_slices(found)]
    return [*names, *(error.note for error in errors(found))]


def test_a_scan_goes_on(scans: Path, stall: Callable[[], None], impatient: Impatient) -> None:
    stall()
    found = scan([scans], Limits(max_read_seconds=7))
    assert notes_and_names(found) == ["1.dcm", "3.dcm", NOTE]
    assert impatient.seconds == {7}
    (failed,) = errors(found)
    assert failed.name.endswith("2-stalled.dcm")
    assert failed.status == "failed"


def test_a_load_fails_and_the_next_does_not(
    scans: Path, stall: Callable[[], None], impatient: Impatient
) -> None:
    first, second, third = all_slices(scan([scans]))
    stall()
    impatient.seconds.clear()
    assert load(first, Limits(max_read_seconds=7)).hu[16, 16] == 40
    with pytest.raises(InputError, match="did not answer within"):
        load(second, Limits(max_read_seconds=7))
    assert load(third, Limits(max_read_seconds=7)).hu[16, 16] == 40
    assert impatient.seconds == {7}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on(
    scans: Path, stall: Callable[[], None], tiny_bundle: Path, workers: int
) -> None:
    predictor, (found,) = Predictor.load(tiny_bundle, device="cpu"), scan([scans]).series
    stall()
    rows = predictor.predict_series(found, workers=workers).slices
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    assert rows[1].note == NOTE
    assert [row.probabilities is not None for row in rows] == [True, False, True]


def test_a_file_is_read_once(scans: Path, impatient: Impatient) -> None:
    reads: list[object] = []
    run = impatient.run
    impatient.run = lambda call, *rest: reads.append(rest) or run(call, *rest)  # type: ignore[method-assign]
    scan([scans / "1.dcm"])
    assert len(reads) == 2  # its attributes, then its header


def test_a_folder_that_cannot_be_listed_fails_alone(
    scans: Path, impatient: Impatient, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.series(scans / "stalled", [20.0])
    over, real = threading.Event(), sources._list

    def slow(folder: Path) -> Any:
        if folder.name == "stalled":
            over.wait()
        return real(folder)

    monkeypatch.setattr(sources, "_list", slow)
    impatient.patient = False
    (scans / "2-stalled.dcm").unlink()
    assert notes_and_names(scan([scans])) == ["1.dcm", "3.dcm", NOTE]
    over.set()


def test_a_zip_that_stalls_keeps_the_members_before_and_skips_those_after(
    scans: Path, tmp_path: Path, impatient: Impatient, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("1.dcm", "2-stalled.dcm", "3.dcm"):
            file.write(scans / name, name)
    over, real = threading.Event(), zip_archive.open_member

    def slow(source: Source, limits: Limits) -> Any:
        if "stalled" in source.name:
            over.wait()
        return real(source, limits)

    impatient.patient = False
    monkeypatch.setattr(zip_archive, "open_member", slow)
    assert notes_and_names(scan([archive])) == ["x.zip!1.dcm", NOTE]
    over.set()


def test_a_glimpse_of_what_stalls_is_none(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    assert glimpse([scans]) is not None
    monkeypatch.setattr(sources, "open_regular", lambda source: over.wait())
    assert glimpse([scans], Limits(max_read_seconds=0.01)) is None
    over.set()


def test_the_bound_is_an_option() -> None:
    assert DEFAULT_LIMITS.max_read_seconds == 60
    assert parse_limits(["max_read_seconds=2.5"]).max_read_seconds == 2.5
