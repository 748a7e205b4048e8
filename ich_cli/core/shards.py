"""Shards of a data set that is being prepared: one a series, joined in order when all are there.

000012.raw, masks-000012.npy, 000012.json    pixels, masks if any are known, rows: written last
"""

from __future__ import annotations

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


def save(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array as ``.npy``. On a full disk `numpy.save` would not say what is wrong."""
    with path.open("wb") as file:
        _write_header(file, array.shape)
        file.write(np.ascontiguousarray(array).data)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    values = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, values)


def join_pixels(work: Path, counts: Sequence[int], config: PreprocessConfig) -> None:
    """Copy the shards into one array; each goes as soon as it is copied, so disk use stays flat.

    Written, not mapped: a mapped file kills the process where the disk is full.
    """
    shape = (config.channels, config.size, config.size)
    path = work / PIXELS
    with path.open("r+b" if path.is_file() else "w+b") as pixels:
        _write_header(pixels, (sum(counts), *shape))
        start = pixels.tell()
        pixels.truncate(start + sum(counts) * math.prod(shape))
        for i, count in enumerate(counts):
            shard = pixels_file(work, i)
            if shard.is_file():  # else an earlier run has copied it
                pixels.seek(start)
                with shard.open("rb") as piece:
                    shutil.copyfileobj(piece, pixels, _PIECE)
                pixels.flush()
                os.fsync(pixels.fileno())
                shard.unlink()
            start += count * math.prod(shape)


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
