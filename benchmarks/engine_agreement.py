"""Compare the predictions of each engine with torch in float32, on phantoms and your own scans.

python -m benchmarks.engine_agreement [NAME=FOLDER …]
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

from benchmarks.fixtures import phantoms, prepared
from ich_cli.core.data import PreparedDataset
from ich_cli.core.engines import (
    Choice,
    choose,
    fast_bf16,
    start_engine,
    unavailable_reason,
    validate_precision,
)
from ich_cli.core.predict import Predictor
from ich_cli.core.series import scan

BOUNDS = {True: 0.01, False: 1e-4}
"""Is it bfloat16? → largest allowed difference of a probability."""


class Row(NamedTuple):
    """Difference between an engine and torch in float32 on some slices."""

    data: str
    slices: int
    engine: str
    largest: float
    mean: float
    turned: int
    """Number of labels that are positive with one engine only."""
    bound: str
    """`holds`, `BROKEN`, or `float32 is taken` where the precision would not be used."""


Pixels = list[NDArray[np.uint8]]


def compare(reference: Predictor, data: str, pixels: Pixels, compiled: bool) -> Iterator[Row]:
    """Yield a row for each engine in each precision that can run here."""
    expected = reference.probabilities(*pixels)
    cuts = np.array([*reference.thresholds.values()])
    for choice in _choices(reference, compiled):
        valid = validate_precision(choice, reference.bundle.members, reference.device)
        used = valid.bf16 == choice.bf16
        found = _answers(reference, choice, pixels)
        apart = np.abs(found - expected)
        turned = int(((found >= cuts) != (expected >= cuts)).sum())
        within = bool(apart.max() <= BOUNDS[choice.bf16])
        outcome = ("holds" if within else "BROKEN") if used else "float32 is taken"
        yield Row(data, len(found), str(choice), float(apart.max()), apart.mean(), turned, outcome)


def _answers(reference: Predictor, choice: Choice, pixels: Pixels) -> NDArray[np.float32]:
    """Return probabilities in the requested precision, even if `validate_precision` refuses it."""
    forced = Predictor(reference.bundle, reference.device, engine=replace(choice, bf16=False))
    if choice.bf16:
        forced.engines = tuple(
            start_engine(choice, *member, forced.device, forced.batch_size)
            for member in forced.bundle.members
        )
    return forced.probabilities(*pixels)


def _choices(reference: Predictor, compiled: bool) -> Iterator[Choice]:
    for name in ("openvino", "compile") if compiled else ("openvino",):
        if not unavailable_reason(name, reference.device):
            chosen = choose(name, reference.device)
            yield Choice(chosen.name, False)
            if fast_bf16(reference.device):
                yield Choice(chosen.name, True)


def main() -> None:
    """Print the table; fail if an engine differs from torch by more than its bound."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine_agreement", description=__doc__
    )  # fmt: skip
    parser.add_argument("data", nargs="*", metavar="NAME=FOLDER", help="further scans")
    parser.add_argument("--weights")
    parser.add_argument("--slices", type=int, default=64, help="at most, of each data set")
    parser.add_argument("--compile", action="store_true", help="also compare torch.compile")
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
        raise SystemExit("an engine differs from torch by more than its bound")


def _some(reference: Predictor, folder: Path, count: int) -> Pixels:
    """Return slices of a DICOM folder or of a prepared data set."""
    if (folder / "dataset.json").is_file():
        whole = PreparedDataset.open(folder).pixels
        return [np.array(whole[:: max(1, len(whole) // count)])] * len(reference.preprocess)
    pixels = prepared(reference, list(scan([folder]).series))
    return [array[:: max(1, len(array) // count)] for array in pixels]


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
