"""Shards of a data set that is being prepared: one a series, joined in order.

000012.raw, masks-000012.npy, 000012.json    pixels, masks if any are known, rows: written last
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.config import PreprocessConfig
from ich_cli.core.dataset import MASKS, PIXELS
from ich_cli.core.labels import ANY
from ich_cli.core.lesions import UNKNOWN

PLAN: Final = "plan.json"
_PIECE: Final = 1 << 20  # bytes copied at once
_TWICE: Final = 1 << 28  # bytes that may be on the disk as shards and as their copies


def save(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array as ``.npy``. On a full disk `numpy.save` would not say what is wrong."""
    with path.open("wb") as file:
        _write_header(file, array.shape)
        file.write(np.ascontiguousarray(array).data)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    values = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, values)


class JointPixels:
    """One array made of the shards, in order, while later ones are still being made.

    A shard goes when its copy is on the disk, so the disk holds little twice. Written, not mapped:
    a mapped file kills the process where the disk is full. Shards that an earlier run has joined
    are known by their rows without pixels.

    Parameters
    ----------
    work
        Folder of the shards.
    config
        Gives the shape of a slice.
    """

    def __init__(self, work: Path, config: PreprocessConfig) -> None:
        self.work = work
        self.shards: list[dict[str, Any]] = []
        """The rows of those that are joined."""
        self._shape = (config.channels, config.size, config.size)
        self._rows = 0
        self._copied: list[Path] = []
        path = work / PIXELS
        path.touch()
        with path.open("r+b") as file:
            _write_header(file, (0, *self._shape))
            self._start = file.tell()

    def take(self, total: int) -> None:
        """Join what stands next in line, of `total` shards, as far as it is whole."""
        while (i := len(self.shards)) < total and rows_file(self.work, i).is_file():
            shard = json.loads(rows_file(self.work, i).read_text("utf-8"))
            pixels = pixels_file(self.work, i)
            if pixels.is_file():
                self._copy(pixels)
            self.shards.append(shard)
            self._rows += len(shard["rows"])

    def _copy(self, shard: Path) -> None:
        with (self.work / PIXELS).open("r+b") as joint, shard.open("rb") as piece:
            joint.seek(self._start + self._rows * math.prod(self._shape))
            shutil.copyfileobj(piece, joint, _PIECE)
        self._copied.append(shard)
        if sum(path.stat().st_size for path in self._copied) >= _TWICE:
            self._sync()

    def finish(self) -> None:
        """Say how many slices there are."""
        with (self.work / PIXELS).open("r+b") as file:
            _write_header(file, (self._rows, *self._shape))
            if file.tell() != self._start:
                raise AssertionError("numpy left no room in the header for the number of slices")
            file.truncate(self._start + self._rows * math.prod(self._shape))
        self._sync()

    def _sync(self) -> None:
        with (self.work / PIXELS).open("r+b") as file:
            os.fsync(file.fileno())
        for path in self._copied:
            path.unlink()
        self._copied.clear()


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
    """Return where the rows of series number `index` lie, once its shard is whole."""
    return work / f"{index:06d}.json"


def pixels_file(work: Path, index: int) -> Path:
    """Return where the pixels of series number `index` lie, slice by slice, without a header."""
    return work / f"{index:06d}.raw"


def masks_file(work: Path, index: int) -> Path:
    """Return where the masks of series number `index` lie, if any are known."""
    return work / f"masks-{index:06d}.npy"
