"""What a data set is made of while it is being made: each series has its own place in the pixels.

    pixels.npy  ┌ series 0 ─────────┬ series 1 ──────┬┄┄┬ series 2 …    as long as all may be
    000001.json                       its rows: written last      ┆
                                                                  └ a slice that cannot be used

Processes write their series side by side, each at its place. When all are there the gaps are
closed, and only then is the disk waited for: what a stopped run left is known by its digests.
``masks-000001.npy`` are a series' masks, if any are known.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
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

from ich_cli.core.data.lesion_masks import UNKNOWN
from ich_cli.core.data.prepared import MASKS, PIXELS
from ich_cli.core.labels import ANY
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import write_json

Pixels = NDArray[np.uint8]
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
        """Make room for so many slices, on the disk where the system can, or else on paper."""
        self.path.touch()
        self._set_rows(rows)
        _reserve(self.path)

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

    def holds(self, row: int, digests: Sequence[str]) -> bool:
        """Tell whether the slices from a row on are those that have these digests."""
        with self.path.open("rb") as file:
            file.seek(self._begin + row * self._size)
            return all(digest_of(file.read(self._size)) == digest for digest in digests)

    def close_gaps(self, numbers: Sequence[int], starts: Sequence[int]) -> None:
        """Move slices down over the places of those that could not be used.

        Parameters
        ----------
        numbers
            Of slices in each series.
        starts
            The row at which each series begins.
        """
        rows = [start + k for n, start in zip(numbers, starts, strict=True) for k in range(n)]
        with self.path.open("r+b") as file:
            for to, at in enumerate(rows):
                if at != to:
                    self._move(file, at, to)
        self._set_rows(len(rows))

    def _move(self, file: BinaryIO, at: int, to: int) -> None:
        file.seek(self._begin + at * self._size)
        pixels = file.read(self._size)
        file.seek(self._begin + to * self._size)
        file.write(pixels)


def _reserve(path: Path) -> None:
    """Give a file its place on the disk now: to write into holes takes four times as long.

    A disk that is too small is so told of before the work. `os.posix_fallocate` would fill the file
    itself, block by block, where the system has no call for it.

    Raises
    ------
    OSError
        If the disk has no place for it.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        allocate = library.fallocate
    except (AttributeError, OSError, TypeError):  # not Linux
        return
    allocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    with path.open("r+b") as file:
        failed = allocate(file.fileno(), 0, 0, path.stat().st_size)
    if failed and ctypes.get_errno() == errno.ENOSPC:  # else the file system cannot do it
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def digest_of(pixels: bytes | memoryview) -> str:
    """Return what tells the pixels of a slice, or a series' masks, from any others."""
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


def write_series(
    work: Path, index: int, rows: list[list[Any]], skipped: Sequence[object], masks: list[Pixels]
) -> None:
    """Write what is known of a series whose pixels are in their place; its masks, if there are any.

    Nothing here waits for the disk, which would cost a tenth of the time: `is_whole` looks instead.
    """
    digest = ""
    if masks:
        stack = np.stack(masks)
        save(masks_file(work, index), stack)
        digest = digest_of(stack.data)
    write_json(
        rows_file(work, index), {"rows": rows, "skipped": skipped, "masks": digest}, durable=False
    )


def is_whole(work: Path, index: int, start: int, pixels: PixelFile) -> bool:
    """Tell whether a series that a stopped run left is all there, by its digests.

    After a loss of power its rows may have reached the disk without all its pixels; where gaps
    were being closed, a slice of another series may lie over its own.
    """
    try:
        shard = json.loads(rows_file(work, index).read_text("utf-8"))
        masks = np.load(masks_file(work, index)).data if shard["masks"] else b""
    except (OSError, EOFError, ValueError):
        return False
    digests = [row[-1] for row in shard["rows"]]
    return pixels.holds(start, digests) and digest_of(masks) == (shard["masks"] or digest_of(b""))


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
