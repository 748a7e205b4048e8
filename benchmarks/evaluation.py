"""Time and memory of `ich evaluate` for tables of RSNA's size.

python -m benchmarks.evaluation --slices 750000 --patients 20000

Predictions are synthetic: labels as frequent as in RSNA 2019, with weakly related probabilities.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.labels import LABELS

_SHARES: Final = np.array([0.004, 0.048, 0.035, 0.047, 0.063])  # of the subtypes, per slice


def _synthetic(slices: int, patients: int) -> tuple[NDArray[np.int64], ...]:
    """Return patients ``(N,)``, labels and probabilities in millionths, each ``(N, 6)``."""
    rng = np.random.default_rng(0)
    who = np.sort(rng.integers(0, patients, slices))
    z = np.log(_SHARES / (1 - _SHARES)) - 1 + 2 * rng.normal(0, 1, (patients, 5))[who]
    z += rng.normal(0, 1.2, (slices, 5))
    true = rng.random((slices, 5)) < 1 / (1 + np.exp(-z))
    p = 1 / (1 + np.exp(-z - rng.normal(0, 1, (slices, 5))))
    y = np.column_stack([true.any(1), true])
    every = np.column_stack([1 - np.prod(1 - p, 1), p])
    return who, y.astype(np.int64), np.rint(every * 1e6).astype(np.int64)


def _write(folder: Path, slices: int, patients: int) -> None:
    who, y, p = _synthetic(slices, patients)
    names = ",".join(LABELS)
    with (folder / "p.csv").open("w") as scores, (folder / "l.csv").open("w") as labels:
        scores.write(f"path,frame,sop_uid,{names},status\n")
        labels.write(f"sop_uid,patient,{names}\n")
        for row, (one, true, said) in enumerate(
            zip(who.tolist(), y.tolist(), p.tolist(), strict=True)
        ):
            text = ",".join(f"{value / 1e6:.6f}" for value in said)
            scores.write(f"scans/ID_{row:09x}.dcm,1,1.2.3.{row},{text},ok\n")
            labels.write(f"1.2.3.{row},{one},{','.join(map(str, true))}\n")


@contextmanager
def _timed(step: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step:<32}{cpu:8.1f} s of CPU{wall:8.1f} s{peak:8.0f} MiB at most")


def main() -> None:
    """Write the tables, then time the steps of the command one by one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=750_000)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--bootstrap", type=int, default=1000)
    options = parser.parse_args()
    from ich_cli.core.evaluate import (
        Evaluation,
        from_tables,
        render_page,
        to_json,
        write_evaluation,
    )

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, options.slices, options.patients)
        with _timed("read and match"):
            half = dict.fromkeys(LABELS, 0.5)
            one = from_tables(folder / "p.csv", folder / "l.csv", half)
        with _timed(f"slices, {options.bootstrap} draws"):
            slices = one.slices.report(options.bootstrap)
        with _timed(f"studies, {options.bootstrap} draws"):
            studies = one.studies.report(options.bootstrap)
        with _timed("page and figures"):
            models = [Evaluation(one, slices, studies)]
            write_evaluation(folder / "out", models, render_page(models), to_json(models))


if __name__ == "__main__":
    main()
