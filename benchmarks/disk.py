"""Compare storage formats for prepared slices: PNG files, one mapped array, tar shards.

python -m benchmarks.disk PREPARED

Reads each slice once, in random order (shards: in order within a shard, as WebDataset does), by
worker processes, from a cold page cache and from a warm one.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SHARD = 256  # slices
_MOST = 2048  # slices that are measured on
_WORKERS = 2


def _png(pixels: NDArray[np.uint8]) -> bytes:
    picture = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1])


def _write(folder: Path, pixels: NDArray[np.uint8]) -> None:
    for name in ("png", "tar"):
        (folder / name).mkdir()
    np.save(folder / "pixels.npy", pixels)
    for start in range(0, len(pixels), _SHARD):
        with tarfile.open(folder / "tar" / f"{start:06}.tar", "w") as shard:
            for row in range(start, min(start + _SHARD, len(pixels))):
                content = _png(pixels[row])
                (folder / "png" / f"{row:06}.png").write_bytes(content)
                entry = tarfile.TarInfo(f"{row:06}.png")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))


def _read_png(folder: Path, rows: Sequence[int]) -> int:
    for row in rows:
        content = np.fromfile(folder / "png" / f"{row:06}.png", np.uint8)
        np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR).transpose(2, 0, 1))  # type: ignore[union-attr]
    return len(rows)


def _read_array(folder: Path, rows: Sequence[int]) -> int:
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    for row in rows:
        np.array(pixels[row])
    return len(rows)


def _read_tar(folder: Path, shards: Sequence[int]) -> int:
    count = 0
    for start in shards:
        with tarfile.open(folder / "tar" / f"{start:06}.tar") as shard:
            for entry in shard:
                content = np.frombuffer(shard.extractfile(entry).read(), np.uint8)  # type: ignore[union-attr]
                picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
                np.ascontiguousarray(picture.transpose(2, 0, 1))  # type: ignore[union-attr]
                count += 1
    return count


def _drop_from_cache(folder: Path) -> None:
    """Drop these files from the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _speed(pool: Any, read: Callable[..., int], folder: Path, parts: Sequence[Any]) -> float:
    began = time.perf_counter()
    count = sum(pool.starmap(read, [(folder, part) for part in parts]))
    return float(count / (time.perf_counter() - began))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    pixels = np.load(parser.parse_args().prepared / "pixels.npy", mmap_mode="r")[:_MOST]
    rng = np.random.default_rng(0)
    rows = np.array_split(rng.permutation(len(pixels)), 8 * _WORKERS)
    shards = np.array_split(rng.permutation(np.arange(0, len(pixels), _SHARD)), 2 * _WORKERS)
    kinds = [
        ("PNG files", _read_png, "png", rows),
        ("one array, mapped", _read_array, "pixels.npy", rows),
        ("tar shards of PNG", _read_tar, "tar", shards),
    ]
    with tempfile.TemporaryDirectory() as temporary, get_context("spawn").Pool(_WORKERS) as pool:
        folder = Path(temporary)
        _write(folder, pixels)
        print(f"{len(pixels)} slices {pixels.shape[1:]}, {_WORKERS} workers")
        print("| format | bytes per slice | slices/s, cold | slices/s, warm |\n|---|---|---|---|")
        for name, read, below, parts in kinds:
            files = [folder / below] if (folder / below).is_file() else (folder / below).iterdir()
            size = sum(path.stat().st_size for path in files) / len(pixels)
            _speed(pool, read, folder, parts[:_WORKERS])  # imports
            _drop_from_cache(folder)
            cold, warm = (_speed(pool, read, folder, parts) for _ in range(2))
            print(f"| {name} | {size:,.0f} | {cold:,.0f} | {warm:,.0f} |")


if __name__ == "__main__":
    main()
