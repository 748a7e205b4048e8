"""A network folder that stalls costs the rows of the files that do not answer, never the run."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits, files as sources, zip_archive as archives
from ich_cli.core.errors import InputError
from ich_cli.core.predict import Predictor
from ich_cli.core.series import (
    SliceRef,
    attributes as dicom_source,
    glimpse,
    load,
    loading,
    scan,
    scanning as series,
)
from ich_cli.core.system.deadline import DeadlineExecutor
from ich_cli.terminal import parse_limits
from tests.support import dicom as factory

NOTE = "did not answer within 0.01 s; check the disk or network folder, then run again"


class Impatient(DeadlineExecutor):
    """Waits long for all but what is called stalled, so that a busy machine fails no test."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: set[float] = set()
        self.patient = True

    def run(self, function: Callable[[], Any], seconds: float, name: str) -> Any:
        self.seconds.add(seconds)
        return super().run(function, 60 if self.patient or "stalled" not in name else 0.01, name)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Impatient:
    asking = Impatient()
    for module in (series, loading, sources, dicom_source):
        monkeypatch.setattr(module, "run_with_deadline", lambda *call: asking.run(*call))
    return asking


@pytest.fixture
def stall(monkeypatch: pytest.MonkeyPatch, asking: Impatient) -> Iterator[Callable[[], None]]:
    """From its call on, a file that is called stalled does not open until the test is over."""
    over, real = threading.Event(), archives._regular

    def slow(source: sources.Source) -> Any:
        if "stalled" in source.name:
            over.wait()
        return real(source)

    def begin() -> None:
        asking.patient = False
        monkeypatch.setattr(archives, "_regular", slow)

    yield begin
    over.set()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    names = ["1.dcm", "2-stalled.dcm", "3.dcm"]
    factory.series(tmp_path / "scans", [0.0, 5.0, 10.0], names)
    return tmp_path / "scans"


def told(entries: list[SliceRef | InputError]) -> list[str]:
    return [one.note if isinstance(one, InputError) else Path(one.id.path).name for one in entries]


def test_a_scan_goes_on(scans: Path, stall: Callable[[], None], asking: Impatient) -> None:
    stall()
    entries = scan([scans], Limits(max_read_seconds=7)).rows
    assert sorted(told(entries)) == sorted(["1.dcm", NOTE, "3.dcm"])
    assert asking.seconds == {7}
    (failed,) = [one for one in entries if isinstance(one, InputError)]
    assert failed.name.endswith("2-stalled.dcm")
    assert failed.status == "failed"


def test_a_load_fails_and_the_next_does_not(
    scans: Path, stall: Callable[[], None], asking: Impatient
) -> None:
    first, second, third = (one for one in scan([scans]).rows if isinstance(one, SliceRef))
    stall()
    asking.seconds.clear()
    assert load(first, Limits(max_read_seconds=7)).hu[16, 16] == 40
    with pytest.raises(InputError, match="did not answer within"):
        load(second, Limits(max_read_seconds=7))
    assert load(third, Limits(max_read_seconds=7)).hu[16, 16] == 40
    assert asking.seconds == {7}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on(
    scans: Path, stall: Callable[[], None], tiny_bundle: Path, workers: int
) -> None:
    predictor, entries = Predictor.load(tiny_bundle, device="cpu"), scan([scans]).rows
    stall()
    rows = list(predictor.stream(entries, workers=workers))
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    assert rows[1].note == NOTE
    assert [row.probabilities is not None for row in rows] == [True, False, True]


def test_a_file_is_asked_for_once(scans: Path, asking: Impatient) -> None:
    asked: list[object] = []
    run = asking.run
    asking.run = lambda function, seconds, name: asked.append(name) or run(function, seconds, name)  # type: ignore[method-assign]
    scan([scans / "1.dcm"])
    assert len(asked) == 2  # what the system knows of it, then its header


def test_a_folder_that_does_not_list_costs_itself(
    scans: Path, asking: Impatient, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.series(scans / "stalled", [20.0])
    over, real = threading.Event(), sources._listed

    def slow(folder: Path) -> Any:
        if folder.name == "stalled":
            over.wait()
        return real(folder)

    monkeypatch.setattr(sources, "_listed", slow)
    asking.patient = False
    (scans / "2-stalled.dcm").unlink()
    assert sorted(told(scan([scans]).rows)) == sorted(["1.dcm", "3.dcm", NOTE])
    over.set()


def test_a_zip_that_stalls_half_way_keeps_what_came_before(
    scans: Path, tmp_path: Path, asking: Impatient, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "stalled.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(scans.glob("[13].dcm")):
            file.write(path, path.name)
    over, real = threading.Event(), series._read
    answered = threading.Event()

    def slow(source: sources.Source, limits: Limits) -> Any:
        if source.name.endswith("3.dcm"):
            over.wait()
        if source.entry is not None:
            answered.set()
        return real(source, limits)

    class First(Impatient):
        """Gives the first member all the time that it needs."""

        def run(self, function: Callable[[], Any], seconds: float, name: str) -> Any:
            return DeadlineExecutor.run(self, function, 0.01 if answered.is_set() else 60, name)

    monkeypatch.setattr(series, "_read", slow)
    monkeypatch.setattr(series, "run_with_deadline", First().run)
    entries = scan([archive]).rows
    assert isinstance(entries[0], SliceRef)
    assert told(entries[1:]) == [NOTE]
    over.set()


def test_a_glimpse_of_what_stalls_is_none(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    assert glimpse([scans]) is not None
    monkeypatch.setattr(archives, "_regular", lambda source: over.wait())
    assert glimpse([scans], Limits(max_read_seconds=0.01)) is None
    over.set()


def test_the_bound_is_an_option() -> None:
    assert DEFAULT_LIMITS.max_read_seconds == 60
    assert parse_limits(["max_read_seconds=2.5"]).max_read_seconds == 2.5
