"""Codecs that crash, hang or use too much memory fail one file each."""

from __future__ import annotations

import csv
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ich_cli.core.dicom import CTSlice, decode as decoders
from ich_cli.core.dicom.codecs import pool as codec_pool
from ich_cli.core.dicom.codecs.pool import CodecPool
from ich_cli.core.dicom.codecs.process import CodecProcess
from ich_cli.core.errors import BrokenFileError, DecoderError, InputError, LimitError
from ich_cli.core.series import load, scan
from ich_cli.main import app
from tests.support.codecs import LOSSLESS
from tests.support.dicom import ct, enhanced, save, tissue
from tests.support.scans import all_slices, only_slice

STUB = "tests.support.hostile_codec"
RLE = "1.2.840.10008.1.2.5"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


@pytest.fixture
def codecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[CodecPool]:
    """Replace the codecs by one that crashes, hangs … as the bytes say."""
    monkeypatch.setattr(codec_pool, "_SECONDS", 0.5)
    stub = CodecPool(STUB, clock_factor=8)
    monkeypatch.setattr(decoders, "CODECS", stub)
    yield stub
    stub.close()


def decode(codecs: CodecPool, data: bytes, file: object = "a") -> int:
    words = codecs.decompress("rle", data, 16, 1024, name="x.dcm", syntax="RLE", file=file)
    return int(words[0])


def refusal(codecs: CodecPool, data: bytes, file: object = "a") -> InputError:
    with pytest.raises(InputError) as caught:
        decode(codecs, data, file)
    return caught.value


@pytest.mark.parametrize(
    ("order", "kind", "words"),
    [
        (b"ABORT", BrokenFileError, "the RLE decoder crashed (SIGABRT); the file is damaged"),
        (b"SEGFAULT", BrokenFileError, "the RLE decoder crashed (SIGSEGV); the file is damaged"),
        (b"SPIN", BrokenFileError, "the RLE decoder did not finish in time; the file is damaged"),
        (b"SLEEP", BrokenFileError, "the RLE decoder did not finish in time; the file is damaged"),
        (b"EAT", LimitError, "not enough memory to decode a frame; the file is damaged"),
        (b"RAISE", BrokenFileError, "the RLE frame does not decode (RuntimeError)"),
    ],
)
def test_a_failing_codec_fails_one_file_only(
    codecs: CodecPool, order: bytes, kind: type[InputError], words: str
) -> None:
    assert decode(codecs, b"sound") == 1064
    error = refusal(codecs, order)
    assert type(error) is kind
    assert error.note.startswith(words)
    assert "DOE" not in str(error)
    assert decode(codecs, b"sound", "another") == 1064


def test_output_of_a_library_does_not_mix_with_replies(
    codecs: CodecPool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert decode(codecs, b"PRINT") == 1064
    assert decode(codecs, b"sound") == 1064
    assert capfd.readouterr() == ("", "")


def test_a_process_corrupted_by_an_earlier_frame_is_replaced(
    codecs: CodecPool,
) -> None:
    assert decode(codecs, b"SPOIL") == 1064
    assert decode(codecs, b"sound", "b") == 1064
    assert not codecs._crashes


def test_a_file_is_given_up_after_three_crashes(codecs: CodecPool) -> None:
    for _ in range(3):
        assert "crashed" in refusal(codecs, b"ABORT", "bad").note
    assert decode(codecs, b"sound", "good") == 1064
    assert refusal(codecs, b"sound", "bad").note.startswith("given up: its frames ended the RLE")


def test_a_file_is_given_up_after_one_hang(codecs: CodecPool) -> None:
    assert "did not finish" in refusal(codecs, b"SPIN", "bad").note
    start = time.monotonic()
    assert "given up" in refusal(codecs, b"SPIN", "bad").note
    assert time.monotonic() - start < 0.5


def test_more_words_than_pixels_are_refused(codecs: CodecPool) -> None:
    with pytest.raises(BrokenFileError, match="does not fill Rows x Columns"):
        codecs.decompress("rle", b"", 16, 1000, name="x", syntax="RLE", file="a")


def test_a_process_that_cannot_start_is_an_error() -> None:
    missing = CodecPool("tests.core.no_such_module")
    error = refusal(missing, b"sound")
    assert isinstance(error, DecoderError)
    assert "cannot be started" in error.note
    missing.close()


def test_no_more_processes_than_threads(codecs: CodecPool) -> None:
    with ThreadPoolExecutor(2) as pool:
        values = list(pool.map(lambda turn: decode(codecs, b"sound", turn), range(60)))
    assert values == [1064] * 60
    assert 1 <= len(codecs._all) <= 2
    codecs.close()
    assert decode(codecs, b"sound") == 1064


def test_warm_starts_one_process(codecs: CodecPool) -> None:
    codecs.warm()
    codecs.warm()
    assert len(codecs._all) == len(codecs._idle) == 1
    decode(codecs, b"sound")
    assert len(codecs._all) == 1


def test_a_process_ends_with_its_stdin() -> None:
    process = CodecProcess(STUB)
    process._stdin.close()  # as when the parent is killed
    assert process._process.wait(10) == 0
    process.close()


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_daemonic_child_has_processes_of_its_own(start: str, tmp_path: Path) -> None:
    """Workers of data loaders are daemonic, and may have no multiprocessing children."""
    real = codec_pool.CODECS
    path = _file(tmp_path / "a.dcm")
    assert _read(path) == 40
    workers = set(real._all)
    context = multiprocessing.get_context(start)
    child = context.Process(target=_read_in_child, args=(path,), daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert _read(path) == 40
    assert real._all == workers  # the parent's process still works
    child.close()


def _read_in_child(path: Path) -> None:
    sound = _read(path) == 40
    codec_pool.CODECS.close()
    os._exit(0 if sound else 1)


def _read(path: Path) -> float:
    return float(load(only_slice(path)).hu[16, 16])


def _file(path: Path, order: bytes = b"", **elements: object) -> Path:
    """Write an RLE slice; `order` follows the data that the real decoder reads."""
    return save(path, ct(**elements), RLE, [LOSSLESS[RLE](tissue()) + order])  # type: ignore[arg-type]


def test_each_file_has_its_row(codecs: CodecPool, tmp_path: Path) -> None:
    for at, order in enumerate([b"", b"ABORT", b"", b"SPIN", b"EAT", b"SEGFAULT", b""]):
        _file(tmp_path / f"{at}.dcm", order, position=(0, 0, at), instance=at)
    found = []
    for ref in all_slices(scan([tmp_path])):
        try:
            found.append(load(ref).status)
        except InputError as error:
            found.append(error.status)
    assert found == ["ok", "failed", "ok", "failed", "failed", "failed", "ok"]


def test_other_frames_of_the_file_are_decoded(codecs: CodecPool, tmp_path: Path) -> None:
    frames = [LOSSLESS[RLE](tissue()) + order for order in (b"", b"ABORT", b"")]
    stored = np.stack([tissue()] * 3)
    path = save(tmp_path / "a", enhanced(stored, [(0, 0, z) for z in range(3)]), RLE, frames)
    found: list[CTSlice | InputError] = []
    for ref in all_slices(scan([path])):
        try:
            found.append(load(ref))
        except InputError as error:
            found.append(error)
    assert [isinstance(one, CTSlice) for one in found] == [True, False, True]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_continues_after_crashes(
    codecs: CodecPool, tmp_path: Path, tiny_bundle: Path, workers: str
) -> None:
    orders = [b"", b"SEGFAULT", b"", b"ABORT"]
    for at, order in enumerate(orders):
        _file(tmp_path / "in" / f"{at}.dcm", order, position=(0, 0, at), instance=at)
    table = tmp_path / "out.csv"
    args = ["predict", tmp_path / "in", "-o", table, "-w", tiny_bundle, "--workers", workers]
    CliRunner().invoke(app, [str(arg) for arg in args])
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "failed"]
    assert rows[1]["note"].startswith("the RLE Lossless decoder crashed (SIGSEGV)")
    assert rows[3]["note"].startswith("the RLE Lossless decoder crashed (SIGABRT)")


def test_a_file_of_slow_frames_is_given_up(
    codecs: CodecPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_pool, "_EXPECTED_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(codec_pool, "_MAX_EXCESS_SECONDS", 0.2)
    frames = 0
    while not codecs._excess.get("slow", 0) > 0.2:
        assert decode(codecs, b"SLOW", "slow") == 1064
        frames += 1
    assert 1 < frames <= 4  # 0.1 s each
    assert refusal(codecs, b"sound", "slow").note.startswith("given up: its RLE frames decode too")
    assert decode(codecs, b"sound", "other") == 1064


def test_frames_within_the_expected_time_do_not_count(codecs: CodecPool) -> None:
    for _ in range(20):
        decode(codecs, b"sound")
    assert not codecs._excess
