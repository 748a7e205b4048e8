"""Measure the stages of prediction on phantoms, print them as a table and save bench.json.

python -m benchmarks --slices 64 --weights BUNDLE
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ich_cli._version import __version__
from ich_cli.core import series
from ich_cli.core.config import DEFAULT_LIMITS
from ich_cli.core.phantom import write_studies
from ich_cli.core.predictor import Predictor
from ich_cli.core.reading import Entry, Read, Reader

REPEATS = 3
A_STUDY = 32  # slices
DATA = "phantoms (synthetic head CT, 512 x 512, uncompressed DICOM)"


@dataclass(frozen=True)
class Measure:
    """One quantity, measured `REPEATS` times."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    def told(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "median": self.median}


def main() -> None:
    """Run all measurements and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="ich-bench-") as folder:
        entries = _phantoms(Path(folder), options.slices)
        predictor = Predictor.load(options.weights, device=options.device)
        measures = [*_speeds(predictor, entries), *_start_up()]
    ratios = _ratios({one.name: one for one in measures})
    machine = _machine(predictor)
    result = {
        "data": DATA,
        "slices": len(entries),
        "machine": machine,
        "measures": [one.told() for one in measures],
        "ratios": [one.told() for one in ratios],
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    _show(machine, len(entries), (measures, ratios), options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--slices", type=int, default=64, help="how many phantom slices")
    parser.add_argument("--weights", help="bundle; by default the one that ships")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench.json"))
    return parser.parse_args()


def _phantoms(folder: Path, slices: int) -> list[Entry]:
    studies = max(1, round(slices / A_STUDY))
    each = max(1, slices // studies)
    write_studies(folder, studies, seed=0, slices=(each, each))
    return [*series.scan(sorted(folder.glob("study-*/*.dcm")))]


def _speeds(predictor: Predictor, entries: list[Entry]) -> list[Measure]:
    """Measure the stages in turn, round by round, so that a busy machine slows all alike."""
    reads = [_reader(predictor, entries)(index) for index in range(len(entries))]
    stages: dict[str, Callable[[], int]] = {
        "engine": lambda: _engine(predictor, reads),
        "read and prepare": lambda: _read_all(predictor, entries),
        "stream": lambda: sum(1 for _ in predictor.stream(entries)),
        "plain loop": lambda: _plain(predictor, entries),
    }
    _engine(predictor, reads[: predictor.batch_size])  # the first batch pays for set-up
    rounds = [{name: _rate(run) for name, run in stages.items()} for _ in range(REPEATS)]
    return [Measure(name, "slices/s", tuple(one[name] for one in rounds)) for name in stages]


def _rate(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    return run() / (time.perf_counter() - start)


def _reader(predictor: Predictor, entries: list[Entry]) -> Reader:
    return Reader(predictor.prepare, predictor.preprocess, entries, DEFAULT_LIMITS, kept=4)


def _engine(predictor: Predictor, reads: list[Read]) -> int:
    """Run the model on prepared slices in batches as `stream` makes them."""
    for start in range(0, len(reads), predictor.batch_size):
        batch = [read.pixels for read in reads[start : start + predictor.batch_size]]
        predictor.probabilities(*map(np.stack, zip(*batch, strict=True)))
    return len(reads)


def _read_all(predictor: Predictor, entries: list[Entry]) -> int:
    """Read and prepare one after the other, in one thread."""
    reader = _reader(predictor, entries)
    return sum(bool(reader(index).pixels) for index in range(len(entries)))


def _plain(predictor: Predictor, entries: list[Entry]) -> int:
    """Read, prepare and predict one slice at a time: what a script without `stream` does."""
    reader = _reader(predictor, entries)
    for index in range(len(entries)):
        predictor.probabilities(*(pixels[None] for pixels in reader(index).pixels))
    return len(entries)


def _start_up() -> list[Measure]:
    commands = {
        "ich --help": ["-m", "ich_cli", "--help"],
        "import typer, rich": ["-c", "import typer, rich"],
    }
    for command in commands.values():
        _run(command)  # fills the disk's cache
    rounds = [{name: _run(command) for name, command in commands.items()} for _ in range(REPEATS)]
    return [Measure(name, "s", tuple(one[name] for one in rounds)) for name in commands]


def _run(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def _ratios(by_name: dict[str, Measure]) -> list[Measure]:
    pairs = [
        ("stream", "engine"),
        ("stream", "plain loop"),
        ("read and prepare", "engine"),
        ("ich --help", "import typer, rich"),
    ]
    return [
        Measure(
            f"{above} / {below}",
            "ratio",
            tuple(a / b for a, b in zip(by_name[above].values, by_name[below].values, strict=True)),
        )
        for above, below in pairs
    ]


def _machine(predictor: Predictor) -> dict[str, Any]:
    about: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch threads": torch.get_num_threads(),
        "ich": __version__,
        "device": predictor.device.type,
        "model": predictor.bundle.config.architecture,
        "input": f"{predictor.preprocess[0].channels} x {predictor.preprocess[0].size}²",
        "batch size": predictor.batch_size,
    }
    if predictor.device.type == "cuda":
        about["gpu"] = torch.cuda.get_device_name(predictor.device)
    if hasattr(os, "getloadavg"):
        about["load"] = round(os.getloadavg()[0], 1)  # of other work and our own
    return about


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _show(
    machine: dict[str, Any], slices: int, parts: tuple[list[Measure], ...], output: Path
) -> None:
    table = Table(
        title=f"{slices} slices of {DATA}",
        caption=" · ".join(f"{key} {value}" for key, value in machine.items()),
    )
    for column in ("what", "unit"):
        table.add_column(column)
    for column in ("median", "lowest", "highest"):
        table.add_column(column, justify="right")
    for part in parts:
        for row in part:
            numbers = (row.median, min(row.values), max(row.values))
            table.add_row(row.name, row.unit, *(f"{number:.2f}" for number in numbers))
        table.add_section()
    console = Console()
    console.print(table)
    console.print(f"saved as {output}", highlight=False)


if __name__ == "__main__":
    main()
