"""Measure speed on this machine; print a table of ratios and save it as bench.json.

python -m benchmarks                     everything: minutes
python -m benchmarks --quick             smaller images, fewer slices, fewer rounds
python -m benchmarks --only explain      one part
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import cases, gpu, timing
from benchmarks.fixtures import DATA, Subject, bundles, phantoms
from benchmarks.timing import Measure, load, machine
from ich_cli.core.engines import unavailable_reason
from ich_cli.core.model import resolve_device
from ich_cli.core.series import Series

PARTS: Final = ("engines", "end-to-end", "explain", "start-up", "gpu")


def main() -> None:
    """Run all measurements and print the table."""
    options = _options()
    if options.clock == "cpu":
        timing.clock = time.process_time
    console = Console()
    with tempfile.TemporaryDirectory(prefix="ich-bench-") as folder:
        all_series = phantoms(Path(folder), options.slices)
        subjects = _subjects(options, Path(folder))
        about = machine(str(resolve_device(options.device)))
        tables = {}
        for part in options.only or PARTS:
            before = load()
            tables[part] = _measure(part, subjects, all_series, options)
            if tables[part]:
                _show(console, part, tables[part], {"load before": before, "after": load()})
    result = {
        "data": DATA,
        "slices": sum(map(len, all_series)),
        "rounds": options.rounds,
        "clock": options.clock,
        "side": options.size,
        "machine": about,
        "parts": {part: [row.to_dict() for row in rows] for part, rows in tables.items()},
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    console.print(" · ".join(f"{key} {value}" for key, value in about.items()), highlight=False)
    console.print(
        f"{sum(map(len, all_series))} slices: {DATA}; saved as {options.output}", highlight=False
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="for a small or busy machine")
    parser.add_argument("--slices", type=int, help="number of phantom slices")
    parser.add_argument("--rounds", type=int, help="number of measurements of each job")
    parser.add_argument("--size", type=int, help="image size of the large models in pixels")
    parser.add_argument("--weights", help="measure this bundle instead")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="also torch.compile: minutes more")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall",
        help="cpu: processor time of this process, for a busy machine",
    )  # fmt: skip
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    usual = (16, 3, 256) if options.quick else (64, 5, 512)
    for name, value in zip(("slices", "rounds", "size"), usual, strict=True):
        setattr(options, name, getattr(options, name) or value)
    return options


def _subjects(options: argparse.Namespace, folder: Path) -> list[Subject]:
    shipped = Subject("default bundle", None)
    made = [] if options.weights else bundles(folder / "bundles", options.size)
    subjects = [Subject("bundle", Path(options.weights))] if options.weights else [shipped, *made]
    device = str(resolve_device(options.device))
    wanted = ["torch", "openvino", *(["compile"] if options.compile else [])]
    for subject in subjects:
        for engine in wanted:
            if engine == "torch" or not unavailable_reason(engine, device):
                subject.load(engine, options.device)
    return subjects


def _measure(
    part: str, subjects: list[Subject], all_series: list[Series], options: argparse.Namespace
) -> list[Measure]:
    few = all_series[: max(1, len(all_series) // 4)]  # for the slow large models
    many = {subject.name: few if subject.weights else all_series for subject in subjects}
    rounds, found = options.rounds, []
    for subject in subjects:
        if part == "engines":
            found += cases.bare_engines(subject, many[subject.name], rounds)
        elif part == "end-to-end":
            found += cases.end_to_end(subject, many[subject.name], rounds)
        elif part == "explain":
            found += cases.explaining(subject, all_series, rounds)
    if part == "start-up":
        return cases.start_up(all_series, rounds, options.weights)
    device = str(resolve_device(options.device))
    if part == "gpu" and device.startswith("cuda"):
        return gpu.on_gpu(subjects, all_series, rounds, device)
    return found


def _show(console: Console, part: str, rows: list[Measure], loads: dict[str, Any]) -> None:
    loads_text = ", ".join(f"{name} {one.get('load', '?')}" for name, one in loads.items())
    table = Table(title=f"{part} ({loads_text})")
    for column in ("job", "unit"):
        table.add_column(column)
    for column in ("median", "lowest", "highest"):
        table.add_column(column, justify="right")
    table.add_column("goal")
    for row in rows:
        numbers = (row.median, min(row.values), max(row.values))
        table.add_row(row.name, row.unit, *(f"{number:.2f}" for number in numbers), row.goal)
    console.print(table)


if __name__ == "__main__":
    main()
