"""What a data set is made of while it is being made: each series has its own place in the pixels.

    pixels.npy  ┌ series 0 ─────────┬ series 1 ──────┬┄┄┬ series 2 …    as long as all may be
    000001.json                       its rows: written last      ┆
                                                                  └ a slice that cannot be used

Processes write their series side by side, each at its place. When all are there the gaps are
closed. ``masks-000001.npy`` are a series' masks, if any are known.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.config import PreprocessConfig
from ich_cli.core.dataset import MASKS, PIXELS
from ich_cli.core.errors import DataError
from ich_cli.core.labels import ANY
from ich_cli.core.lesions import UNKNOWN

PLAN: Final = "plan.json"


def save(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array as ``.npy``. On a full disk `numpy.save` would not say what is wrong."""
    with path.open("wb") as file:
        _write_header(file, array.shape)
        file.write(np.ascontiguousarray(array).data)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    values = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, values)


@dataclass(frozen=True)
class PixelFile:
    """``pixels.npy`` of a data set that is being made.

    Written, not mapped: a mapped file kills the process where the disk is full.
    """

    path: Path
    shape: tuple[int, int, int]
    """Of a slice."""

    @classmethod
    def of(cls, work: Path, config: PreprocessConfig) -> PixelFile:
        """Return the one in a folder."""
        return cls(work / PIXELS, (config.channels, config.size, config.size))

    @property
    def _size(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def _begin(self) -> int:
        """Return where the slices begin: NumPy leaves room in the header for any number of them."""
        return _header(self.shape, 0).tell()

    def make(self, rows: int) -> None:
        """Make room for so many slices, on paper: what is not written takes no place on a disk."""
        self.path.touch()
        self._set_rows(rows)

    def _set_rows(self, rows: int) -> None:
        with self.path.open("r+b") as file:
            file.write(_header(self.shape, rows).getvalue())
            file.truncate(self._begin + rows * self._size)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def writing(self, row: int) -> Iterator[BinaryIO]:
        """Yield the file, ready to take the slice of that row and those that follow."""
        with self.path.open("r+b") as file:
            file.seek(self._begin + row * self._size)
            yield file

    def close_gaps(self, shards: Sequence[dict[str, Any]], starts: Sequence[int]) -> None:
        """Move slices down over the places of those that could not be used.

        A run that is killed here can go on: a slice that was moved is known by its hash.

        Raises
        ------
        DataError
            If a slice is not what its series wrote.
        """
        rows = [(start + k, row) for s, start in zip(shards, starts, strict=True)
                for k, row in enumerate(s["rows"])]  # fmt: skip
        with self.path.open("r+b") as file:
            for to, (at, row) in enumerate(rows):
                if at != to:
                    self._move(file, at, to, row[-1])
        self._set_rows(len(rows))

    def _move(self, file: BinaryIO, at: int, to: int, digest: str) -> None:
        for place in (at, to):
            file.seek(self._begin + place * self._size)
            pixels = file.read(self._size)
            if digest_of(pixels) == digest:
                break
        else:
            raise DataError(f"{self.path}: damaged since it was begun; run without --resume")
        if place == at:
            file.seek(self._begin + to * self._size)
            file.write(pixels)


def digest_of(pixels: bytes | memoryview) -> str:
    """Return what tells the pixels of one slice from any other's."""
    return hashlib.sha256(pixels).hexdigest()[:32]


def _header(shape: tuple[int, ...], rows: int) -> BytesIO:
    out = BytesIO()
    _write_header(out, (rows, *shape))
    return out


def join_masks(work: Path, shards: Sequence[dict[str, Any]], config: PreprocessConfig) -> None:
    """Make one array of what is known of where it bleeds; none if nobody knows of any slice."""
    found = [masks_file(work, i) for i in range(len(shards))]
    if not any(path.is_file() for path in found):
        return
    shape = (config.size, config.size)
    with (work / MASKS).open("wb") as file:
        _write_header(file, (sum(len(shard["rows"]) for shard in shards), *shape))
        for path, shard in zip(found, shards, strict=True):
            for row in shard["rows"] if not path.is_file() else ():
                file.write(np.full(shape, UNKNOWN if row[4][ANY] > 0 else 0, np.uint8).data)
            if path.is_file():
                file.write(np.load(path).data)


def clean(work: Path) -> None:
    """Remove what only a run that is going on needs."""
    for path in work.glob("[0-9]*.json"):
        path.unlink()
    for path in work.glob("masks-*.npy"):
        path.unlink()
    (work / PLAN).unlink(missing_ok=True)


def rows_file(work: Path, index: int) -> Path:
    """Return where the rows of series number `index` lie, once all of it is written."""
    return work / f"{index:06d}.json"


def masks_file(work: Path, index: int) -> Path:
    """Return where the masks of series number `index` lie, if any are known."""
    return work / f"masks-{index:06d}.npy"
