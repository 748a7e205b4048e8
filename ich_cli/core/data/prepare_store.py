"""Files of a data set under construction: each series has its own position in the pixel file.

    pixels.npy  ┌ series 0 ─────────┬ series 1 ──────┬┄┄┬ series 2 …    room for all its slices
    000001.json                       its rows, written last      ┆
                                                                  └ an unusable slice

Processes write their series in parallel. Once all are done, the gaps are closed and the files are
flushed to disk. Digests identify the complete series of an interrupted run. ``masks-000001.npy``
has the masks of a series, if there are any.
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
    """Write an array as ``.npy``; unlike `numpy.save`, report a full disk as such."""
    with path.open("wb") as file:
        _write_header(file, array.shape)
        file.write(np.ascontiguousarray(array).data)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    values = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, values)


@dataclass(frozen=True)
class PixelFile:
    """``pixels.npy`` of a data set under construction.

    It is written, not memory-mapped: a full disk would kill a process that writes to a map.
    """

    path: Path
    shape: tuple[int, int, int]
    """Shape of a slice, (C, S, S)."""

    @classmethod
    def of(cls, work: Path, config: PreprocessConfig) -> PixelFile:
        """Return the pixel file of a folder."""
        return cls(work / PIXELS, (config.channels, config.size, config.size))

    @property
    def _size(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def _offset(self) -> int:
        """Byte offset of the first slice; it does not depend on the number of rows."""
        return _header(self.shape, 0).tell()

    def create(self, rows: int) -> None:
        """Create the file with room for `rows` slices; reserve disk space where the system can."""
        self.path.touch()
        self._set_rows(rows)
        _reserve(self.path)

    def _set_rows(self, rows: int) -> None:
        with self.path.open("r+b") as file:
            file.write(_header(self.shape, rows).getvalue())
            file.truncate(self._offset + rows * self._size)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def writing(self, row: int) -> Iterator[BinaryIO]:
        """Yield the file, positioned to write slices from `row` on."""
        with self.path.open("r+b") as file:
            file.seek(self._offset + row * self._size)
            yield file

    def holds(self, row: int, digests: Sequence[str]) -> bool:
        """Return True where the slices from a row on have these digests."""
        with self.path.open("rb") as file:
            file.seek(self._offset + row * self._size)
            return all(digest_of(file.read(self._size)) == digest for digest in digests)

    def close_gaps(self, numbers: Sequence[int], starts: Sequence[int]) -> None:
        """Move slices to close the gaps of unusable slices.

        Parameters
        ----------
        numbers
            Number of slices of each series.
        starts
            First row of each series.
        """
        rows = [start + k for n, start in zip(numbers, starts, strict=True) for k in range(n)]
        with self.path.open("r+b") as file:
            for to, at in enumerate(rows):
                if at != to:
                    self._move(file, at, to)
        self._set_rows(len(rows))

    def _move(self, file: BinaryIO, at: int, to: int) -> None:
        file.seek(self._offset + at * self._size)
        pixels = file.read(self._size)
        file.seek(self._offset + to * self._size)
        file.write(pixels)


def _reserve(path: Path) -> None:
    """Reserve the disk space of a file: writing into holes takes four times as long.

    A disk that is too small is then reported before the work. `os.posix_fallocate` is not used,
    since it fills the file block by block where the file system has no such call.

    Raises
    ------
    OSError
        If the disk is too small.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        allocate = library.fallocate
    except (AttributeError, OSError, TypeError):  # not Linux
        return
    allocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    with path.open("r+b") as file:
        failed = allocate(file.fileno(), 0, 0, path.stat().st_size)
    if (
        failed and ctypes.get_errno() == errno.ENOSPC
    ):  # other errors: not supported by the file system
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def digest_of(pixels: bytes | memoryview) -> str:
    """Return the digest of a slice's pixels or a series' masks, 32 hex digits."""
    return hashlib.sha256(pixels).hexdigest()[:32]


def _header(shape: tuple[int, ...], rows: int) -> BytesIO:
    out = BytesIO()
    _write_header(out, (rows, *shape))
    return out


def join_masks(work: Path, shards: Sequence[dict[str, Any]], config: PreprocessConfig) -> None:
    """Join the masks of all series to one array; write none where no series has masks."""
    found = [masks_file(work, i) for i in range(len(shards))]
    if not any(path.is_file() for path in found):
        return
    shape = (config.size, config.size)
    with (work / MASKS).open("wb") as file:
        _write_header(file, (sum(len(shard["rows"]) for shard in shards), *shape))
        for path, shard in zip(found, shards, strict=True):
            for row in shard["rows"] if not path.is_file() else ():
                file.write(np.full(shape, 0 if row[4][ANY] == 0 else UNKNOWN, np.uint8).data)
            if path.is_file():
                file.write(np.load(path).data)


def write_series(
    work: Path,
    index: int,
    rows: list[list[Any]],
    skipped: Sequence[object],
    masks: list[Pixels],
    synthetic: int,
) -> None:
    """Write the rows of a series, and its masks if there are any, once its pixels are written.

    The number of its synthetic slices is written with them.

    Files are not flushed to disk, which would cost a tenth of the time; `is_complete` checks them.
    """
    digest = ""
    if masks:
        stack = np.stack(masks)
        save(masks_file(work, index), stack)
        digest = digest_of(stack.data)
    values = {"rows": rows, "skipped": skipped, "masks": digest, "synthetic": synthetic}
    write_json(rows_file(work, index), values, durable=False)


def is_complete(work: Path, index: int, start: int, pixels: PixelFile) -> bool:
    """Return True where all files of a series of an interrupted run are intact, by their digests.

    After a power failure the rows may be on disk without all pixels; after an interruption while
    gaps were closed, a slice of another series may have overwritten one of its own.
    """
    try:
        shard = json.loads(rows_file(work, index).read_text("utf-8"))
        masks = np.load(masks_file(work, index)).data if shard["masks"] else b""
    except (OSError, EOFError, ValueError):
        return False
    digests = [row[-1] for row in shard["rows"]]
    return pixels.holds(start, digests) and digest_of(masks) == (shard["masks"] or digest_of(b""))


def clean(work: Path) -> None:
    """Remove the temporary files of a finished run."""
    for path in work.glob("[0-9]*.json"):
        path.unlink()
    for path in work.glob("masks-*.npy"):
        path.unlink()
    (work / PLAN).unlink(missing_ok=True)


def rows_file(work: Path, index: int) -> Path:
    """Return the path of the rows of series number `index`, which exists once it is complete."""
    return work / f"{index:06d}.json"


def masks_file(work: Path, index: int) -> Path:
    """Return the path of the masks of series number `index`; it exists if there are any."""
    return work / f"masks-{index:06d}.npy"
