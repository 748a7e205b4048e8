"""Run ``ich`` and kill it, or send it a signal, at a given moment.

``python -m tests.robustness.killed_process MOMENT EVERY predict …``

MOMENT is one of

* ``part:12:45``: SIGKILL 45 % into the writing of part 12 of the run, counted from 0;
* ``named:12``: SIGKILL after part 12 has its name;
* ``table:123``: SIGKILL before row 123 of a table is written;
* ``signal:15:12:2``: signal 15 twice, after part 12;
* ``series:15:3:2``: the same when the third series is prepared;
* ``step:15:9:2``: the same in the ninth step of a training;
* ``never``.

With EVERY, the resident memory in MiB goes to stdout after each so many rows, and at the end its
peak. ICH_TEST_SCAN=FILE stores the result of the scan in a file and reads it from there;
ICH_TEST_LIGHT=1 replaces the network by sums of pixels.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ich_cli.core import series
from ich_cli.core.predict import Parts, parts, summary
from ich_cli.core.study import SeriesPrediction


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def resident() -> int:
    """Return the resident memory in MiB; 0 on systems without /proc."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return 0


def die_in_part(number: int, percent: int) -> None:
    replacing, count = parts.replacing, 0

    @contextmanager
    def counted(path: Path, **options: Any) -> Iterator[Any]:
        nonlocal count
        with replacing(path, **options) as file:
            if count == number:
                write = file.write

                class Dying:
                    def write(self, data: bytes) -> None:
                        write(data[: len(data) * percent // 100])
                        file.flush()
                        die()

                yield Dying()
            else:
                yield file
        count += 1

    parts.replacing = counted  # type: ignore[assignment]


def after_part(number: int, action: Callable[[], None]) -> None:
    write, count = Parts.write, 0

    def counted(self: Parts, prediction: SeriesPrediction) -> None:
        nonlocal count
        write(self, prediction)
        if count == number:
            action()
        count += 1

    Parts.write = counted  # type: ignore[method-assign]


def die_in_table(row: int) -> None:
    slice_row, seen = summary.slice_row, 0

    def counted(one: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen >= row:
            die()
        return slice_row(one)

    summary.slice_row = counted  # type: ignore[attr-defined]


def send(number: int, times: int) -> None:
    try:
        os.kill(os.getpid(), number)
    finally:  # the second arrives while the first is handled
        if times > 1:
            os.kill(os.getpid(), number)


def send_in(module: Any, name: str, number: int, call: int, times: int) -> None:
    """Send signals when a function has been called so often."""
    real, calls = getattr(module, name), 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        result = real(*arguments, **named)
        if calls == call:
            send(number, times)
        return result

    setattr(module, name, counted)


def watch(every: int) -> None:
    """Write the resident memory to stdout as rows are done."""
    write, rows = Parts.write, 0

    def watched(self: Parts, prediction: SeriesPrediction) -> None:
        nonlocal rows
        write(self, prediction)
        before, rows = rows, rows + len(prediction.slices)
        if before // every < rows // every:
            sys.stdout.write(f"{rows} {resident()}\n")

    Parts.write = watched  # type: ignore[method-assign]


def share_scan(stored: Path) -> None:
    scan = series.scan

    def shared(*arguments: Any) -> Any:
        if not stored.is_file():
            stored.write_bytes(pickle.dumps(scan(*arguments)))
        return pickle.loads(stored.read_bytes())

    series.scan = shared


def weigh_pixels() -> None:
    from ich_cli.core.predict import Predictor

    def member_logits(self: Predictor, pixels: Any) -> Any:
        halves = pixels.reshape(len(pixels), 6, -1).mean(axis=2, dtype=np.float64)
        return [halves / 32.0 - 2.0]

    Predictor.member_logits = member_logits  # type: ignore[method-assign]


def prepare_moment(moment: str) -> None:
    kind, *words = moment.split(":")
    numbers = [int(word) for word in words]
    if kind == "part":
        die_in_part(*numbers)
    elif kind == "named":
        after_part(numbers[0], die)
    elif kind == "table":
        die_in_table(*numbers)
    elif kind == "signal":
        after_part(numbers[1], lambda: send(numbers[0], numbers[2]))
    elif kind == "series":
        from ich_cli.core.data import prepare as preparing

        send_in(preparing, "prepare_series", *numbers)
    elif kind == "step":
        from ich_cli.core.train import TrainingRun

        send_in(TrainingRun, "_step", *numbers)


def main() -> None:
    if stored := os.environ.get("ICH_TEST_SCAN"):
        share_scan(Path(stored))
    if os.environ.get("ICH_TEST_LIGHT"):
        weigh_pixels()
    moment, every, *arguments = sys.argv[1:]
    prepare_moment(moment)
    if int(every):
        watch(int(every))
    sys.argv[1:] = arguments
    from ich_cli.main import main as ich

    try:
        ich()
    finally:
        if int(every):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            sys.stdout.write(f"peak {peak}\n")


if __name__ == "__main__":
    main()
