"""Compare what each engine answers with torch in float32, on phantoms and on scans of your own.

python -m benchmarks.agreement [NAME=FOLDER …]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.subjects import phantoms, prepared
from ich_cli.core import series
from ich_cli.core.data import PreparedDataset
from ich_cli.core.engines import Choice, choose, fast_bf16, lacking, settle
from ich_cli.core.errors import IchError
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Entry

BOUNDS = {True: 0.01, False: 1e-4}
"""Largest difference of a probability: in bfloat16, in float32."""


class Row(NamedTuple):
    """How far an engine is from torch in float32 on some slices."""

    data: str
    slices: int
    engine: str
    largest: float
    mean: float
    turned: int
    """Labels that are positive by one and not by the other."""
    bound: str
    """Whether it keeps within what is promised."""


Pixels = list[NDArray[np.uint8]]


def compare(reference: Predictor, data: str, pixels: Pixels, compiled: bool) -> Iterator[Row]:
    """Yield a row for each engine in each precision that can run here."""
    expected = reference.probabilities(*pixels)
    cuts = np.array([*reference.thresholds.values()])
    for choice in _choices(reference, compiled):
        used = settle(choice, reference.members, reference.device).bf16 == choice.bf16
        found = _answers(reference, choice, pixels)
        apart = np.abs(found - expected)
        turned = int(((found >= cuts) != (expected >= cuts)).sum())
        within = bool(apart.max() <= BOUNDS[choice.bf16])
        told = ("holds" if within else "BROKEN") if used else "float32 is taken"
        yield Row(data, len(found), str(choice), float(apart.max()), apart.mean(), turned, told)


def _answers(reference: Predictor, choice: Choice, pixels: Pixels) -> NDArray[np.float32]:
    """Return probabilities in the precision that is asked for, whether it would be taken or not."""
    forced = Predictor(reference.bundle, reference.device, engine=replace(choice, bf16=False))
    if choice.bf16:
        forced.use(choice)
    return forced.probabilities(*pixels)


def _choices(reference: Predictor, compiled: bool) -> Iterator[Choice]:
    for name in ("openvino", "compile") if compiled else ("openvino",):
        if not lacking(name, reference.device):
            chosen = choose(name, reference.device)
            yield Choice(chosen.name, False)
            if fast_bf16(reference.device):
                yield Choice(chosen.name, True)


def main() -> None:
    """Print the table; end with an error where an engine is further away than it may be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("data", nargs="*", metavar="NAME=FOLDER", help="scans, besides phantoms")
    parser.add_argument("--weights")
    parser.add_argument("--slices", type=int, default=64, help="of each, at most")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="ich-agreement-") as folder:
        reference = Predictor.load(options.weights, device="cpu", engine="torch")
        sets = {"phantoms": prepared(reference, phantoms(Path(folder), options.slices))}
        for name, _, path in (one.partition("=") for one in options.data):
            sets[name] = _some(reference, Path(path), options.slices)
        for name, pixels in sets.items():
            rows += compare(reference, name, pixels, options.compile)
    _show(rows)
    if any(row.bound == "BROKEN" for row in rows):
        raise SystemExit("an engine is further from torch than it may be")


def _some(reference: Predictor, folder: Path, count: int) -> Pixels:
    """Return slices of a folder of DICOM, or of a data set that `ich preprocess` made."""
    if (folder / "dataset.json").is_file():
        whole = PreparedDataset.open(folder).pixels
        return [np.array(whole[:: max(1, len(whole) // count)])] * len(reference.preprocess)
    found: list[Entry] = [
        one for one in series.scan([folder]).rows if not isinstance(one, IchError)
    ]
    return prepared(reference, found[:: max(1, len(found) // count)])


def _show(rows: list[Row]) -> None:
    table = Table(title="Difference of probabilities from torch, float32")
    for column in ("data", "slices", "engine", "largest", "mean", "labels turned", "bound"):
        table.add_column(column)
    for row in rows:
        numbers = (f"{row.largest:.2g}", f"{row.mean:.2g}", str(row.turned))
        table.add_row(row.data, str(row.slices), row.engine, *numbers, row.bound)
    Console().print(table)


if __name__ == "__main__":
    main()
