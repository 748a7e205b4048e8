"""The path of one slice through ``ich predict`` is at most 12 calls of this project deep."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import ich_cli
from ich_cli.main import main
from tests.support.dicom import ct, save

DEEPEST = 12
HOME = str(Path(ich_cli.__file__).parent)
SEPARATE = ("Predictor.load", "/core/model/", "/core/dicom/codecs/")
"""Not the path of a slice: loading the network, the network, the codec processes."""
NOT_CALLS = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<lambda>", "<module>")


def own_frames(frame: FrameType | None) -> list[str]:
    found = []
    while frame is not None:
        code = frame.f_code
        path = code.co_filename.removeprefix(HOME)
        if path != code.co_filename and code.co_name not in NOT_CALLS:
            found.append(f"{path}:{code.co_qualname}")
        frame = frame.f_back
    return found[::-1]


@contextmanager
def deepest_path() -> Iterator[list[str]]:
    deepest: list[str] = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(HOME):
            found = own_frames(frame)
            separate = any(part in one for part in SEPARATE for one in found)
            if len(found) > len(deepest) and not separate:
                deepest[:] = found

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield deepest
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def test_the_path_of_one_slice_is_at_most_12_calls_deep(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = np.full((64, 64), 24)
    stored[8:56, 8:56] = 1064
    save(tmp_path / "scan.dcm", ct(stored))
    output = tmp_path / "out.csv"
    arguments = [str(tmp_path / "scan.dcm"), "-o", str(output), "-w", str(tiny_bundle)]
    monkeypatch.setattr(sys, "argv", ["ich", "predict", *arguments])

    def run() -> None:
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0

    run()  # imports are not part of the path
    with deepest_path() as deepest:
        run()

    assert output.read_text().count("\n") == 2
    assert len(deepest) <= DEEPEST, "\n".join(deepest)
