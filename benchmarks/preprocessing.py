"""Compare `ich preprocess` with a script that reads file by file and writes PNGs.

python -m benchmarks.preprocessing --slices 384 --size 512 --workers 2

The script: `pydicom.dcmread`, `apply_rescale`, windows on the whole slice, head crop, square,
resize, one PNG a slice; one process. `ich`: everything that `ich preprocess` does, with the start
of its processes and checksums. Both run in turn, round by round, on the same phantoms with a warm
page cache, after a check that both make the same pixels. Imports that only the script needs stand
inside its functions: the child processes of `ich` import this module.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import PreparedDataset, preload_imports, prepare_dataset
from ich_cli.core.imaging import head_box
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig

_ROUNDS = 3
_STUDIES, _EACH = 2, 24  # phantoms to generate; further slices are copies with new UIDs


def main() -> None:
    """Measure both and print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preprocessing", description=__doc__)
    parser.add_argument("--slices", type=int, default=384)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    config = PreprocessConfig(size=options.size)
    with tempfile.TemporaryDirectory(prefix="ich-bench-") as name:
        scans, out = Path(name) / "scans", Path(name) / "out"
        _phantoms(scans, options.slices)
        files = sorted(scans.glob("*/*.dcm"))
        _compare(_ich(scans, out, config, options.workers), files, config)
        ways: dict[str, Callable[[], object]] = {
            "one by one, PNG": lambda: _one_by_one(files, out, config),
            f"ich preprocess, {options.workers} workers": lambda: _ich(
                scans, out, config, options.workers
            ),
        }
        rounds = [
            {way: _spent(run, len(files), out) for way, run in ways.items()} for _ in range(_ROUNDS)
        ]
    _report(rounds, len(files), options)


def _phantoms(folder: Path, slices: int) -> None:
    """Write a few studies, and copies of them with new UIDs."""
    from ich_cli.core.phantom import write_studies

    write_studies(folder, _STUDIES, seed=0, slices=(_EACH, _EACH))
    with (folder / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = list(rows)
    for copy in range(1, max(1, slices // len(rows))):
        for row in rows:
            path = f"copy-{copy:03}-{row['path']}"
            _copy(folder / row["path"], folder / path, str(copy))
            table.append({**row, "path": path})
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ("path", *LABELS), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)


def _copy(source: Path, target: Path, salt: str) -> None:
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    dataset = dcmread(source)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, generate_uid(entropy_srcs=[getattr(dataset, keyword), salt]))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    target.parent.mkdir(exist_ok=True)
    dataset.save_as(target)


def _ich(scans: Path, out: Path, config: PreprocessConfig, workers: int) -> PreparedDataset:
    from ich_cli.core.data import open_source
    from ich_cli.core.system import worker_processes

    with worker_processes(workers, preload_imports) as pool:
        series, info = open_source("folder", (scans,), pool=pool)
        return prepare_dataset(series, out, config, info, pool=pool)


def _one_by_one(files: list[Path], out: Path, config: PreprocessConfig) -> None:
    out.mkdir()
    for index, path in enumerate(files):
        picture = np.ascontiguousarray(_script_pixels(path, config).transpose(1, 2, 0))
        cv2.imwrite(str(out / f"{index:06}.png"), picture)


def _script_pixels(path: Path, config: PreprocessConfig) -> NDArray[np.uint8]:
    """Return the pixels ``(C, S, S)`` of a slice, as the script makes them."""
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_rescale

    dataset = dcmread(path)
    hu = apply_rescale(dataset.pixel_array, dataset).astype(np.float32)
    top, left, bottom, right = head_box(hu)
    side = max(bottom - top, right - left)
    row, column = (side - (bottom - top)) // 2, (side - (right - left)) // 2
    planes = []
    for center, width in config.windows:
        scaled = np.clip((hu - (center - width / 2)) / width, 0, 1)
        square = np.zeros((side, side), np.uint8)
        cut = (scaled * 255 + 0.5).astype(np.uint8)[top:bottom, left:right]
        square[row : row + cut.shape[0], column : column + cut.shape[1]] = cut
        how = cv2.INTER_AREA if side > config.size else cv2.INTER_LINEAR
        planes.append(cv2.resize(square, (config.size, config.size), interpolation=how))
    return np.stack(planes).astype(np.uint8, copy=False)


def _compare(data: PreparedDataset, files: list[Path], config: PreprocessConfig) -> None:
    """Stop unless both ways make the same pixels."""
    ours = {pixels.tobytes() for pixels in data.pixels}
    if len(data.pixels) != len(files) or any(
        _script_pixels(path, config).tobytes() not in ours for path in files
    ):
        raise SystemExit("the two ways give different pixels: nothing is measured")


class Spent(NamedTuple):
    """Cost of one slice."""

    wall: float
    """Elapsed time in milliseconds."""
    processor: float
    """Processor time in milliseconds, child processes included."""


def _spent(run: Callable[[], object], slices: int, out: Path) -> Spent:
    shutil.rmtree(out, ignore_errors=True)
    start, before = time.perf_counter(), os.times()
    run()
    wall, after = time.perf_counter() - start, os.times()
    return Spent(*(1e3 * t / slices for t in (wall, sum(after[:4]) - sum(before[:4]))))


def _report(rounds: list[dict[str, Spent]], slices: int, options: argparse.Namespace) -> None:
    plain, ours = rounds[0]
    print(f"{slices} phantom slices, 512 x 512 uncompressed, to {options.size} pixels")
    for way in (plain, ours):
        wall, processor = (
            statistics.median(getattr(one[way], field) for one in rounds) for field in Spent._fields
        )
        print(f"{way}: {1e3 / wall:.0f} slices/s; {processor:.2f} ms of processors a slice")
    ratios = [one[plain].wall / one[ours].wall for one in rounds]
    work = [one[plain].processor / one[ours].processor for one in rounds]
    for name, found in (("speed", ratios), ("work", work)):
        middle = statistics.median(found)
        print(f"{name}: {middle:.2f} times ({min(found):.2f} to {max(found):.2f})")
    about: dict[str, Any] = {"cores": os.cpu_count(), "slices": slices, "size": options.size}
    about |= {"rounds": [{way: one[way]._asdict() for way in one} for one in rounds]}
    if hasattr(os, "getloadavg"):
        about["load"] = round(os.getloadavg()[0], 1)
    print(f"{about['cores']} cores, load {about.get('load', 'unknown')} (our own included)")
    if options.output:
        options.output.write_text(json.dumps(about, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
