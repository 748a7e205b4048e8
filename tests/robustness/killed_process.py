"""Run ``ich`` and kill it at a given moment.

``python -m tests.robustness.killed_process MOMENT EVERY predict …``

MOMENT is ``row:123:45``, 45 % into the writing of row 123 to the journal; ``table:123``, before
that row of the table is written; ``signal:15:123:2``, twice signal 15 after row 123;
``series:15:3:2``, the same when the third series is prepared; ``step:15:9:2``, in the ninth step of
a training; or ``never``.
The signals are real: after a SIGKILL nothing is tidied up.
With EVERY, the resident memory in MiB goes to stdout each so many rows, and at the end its peak.

What makes a long run of the same rows cheaper, in the environment: ICH_VICTIM_SCAN=FILE keeps what
the scan found there and finds it there again; ICH_VICTIM_LIGHT=1 puts sums of pixels in the place
of the network.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ich_cli.core.predict import Journal, summary as batch
from ich_cli.core.series import scanning as series


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def resident() -> int:
    """Return the resident memory in MiB; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return 0


def die_in_row(row: int, percent: int) -> None:
    write = Journal._write

    def _write(self: Journal, data: bytes) -> None:
        if self.rows_kept >= row and data.startswith(b"["):
            write(self, data[: len(data) * percent // 100])
            die()
        write(self, data)

    Journal._write = _write  # type: ignore[method-assign]


def die_in_table(row: int) -> None:
    slice_row, seen = batch.slice_row, 0

    def counted(one: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen >= row:
            die()
        return slice_row(one)

    batch.slice_row = counted  # type: ignore[attr-defined]


def send(number: int, row: int, times: int) -> None:
    append = Journal.append

    def _append(self: Journal, prediction: Any) -> None:
        append(self, prediction)
        if self.rows_kept == row:
            signalled(number, times)

    Journal.append = _append  # type: ignore[method-assign]


def signalled(number: int, times: int) -> None:
    try:
        os.kill(os.getpid(), number)
    finally:  # the second comes while the first is being acted on
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
            signalled(number, times)
        return result

    setattr(module, name, counted)


def watch(every: int) -> None:
    append = Journal.append

    def _append(self: Journal, prediction: Any) -> None:
        append(self, prediction)
        if self.rows_kept % every == 1:
            sys.stdout.write(f"{self.rows_kept} {resident()}\n")

    Journal.append = _append  # type: ignore[method-assign]


def share_scan(kept: Path) -> None:
    scan = series.scan

    def _scan(*arguments: Any) -> Any:
        if not kept.is_file():
            kept.write_bytes(pickle.dumps(scan(*arguments)))
        return pickle.loads(kept.read_bytes())

    series.scan = _scan  # type: ignore[assignment]


def weigh_pixels() -> None:
    from ich_cli.core.predict import Predictor

    def logits(self: Predictor, model: object, pixels: Any, config: object) -> Any:
        halves = pixels.reshape(len(pixels), 6, -1).mean(axis=2, dtype=np.float64)
        return halves / 32.0 - 2.0

    Predictor.logits = logits  # type: ignore[method-assign]


def main() -> None:
    if kept := os.environ.get("ICH_VICTIM_SCAN"):
        share_scan(Path(kept))
    if os.environ.get("ICH_VICTIM_LIGHT"):
        weigh_pixels()
    moment, every, *arguments = sys.argv[1:]
    kind, *numbers = moment.split(":")
    if kind == "row":
        die_in_row(*map(int, numbers))
    elif kind == "table":
        die_in_table(*map(int, numbers))
    elif kind == "signal":
        send(*map(int, numbers))
    elif kind == "series":
        from ich_cli.core.data import prepare as preparing

        send_in(preparing, "prepare_series", *map(int, numbers))
    elif kind == "step":
        from ich_cli.core.train import TrainingRun

        send_in(TrainingRun, "_step", *map(int, numbers))
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
