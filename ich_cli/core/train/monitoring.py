"""Reports of a training while it runs: callbacks, throughput, TensorBoard event files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

THROUGHPUT_KEYS: Final = ("slices_per_s", "loading_share")
"""Keys of an epoch's record that measure the machine and differ from run to run."""


@dataclass
class Callbacks:
    """Functions called during a training; the defaults do nothing."""

    step: Callable[[int, int, float], None] = lambda step, steps, loss: None
    """Called after each step with steps done, total steps and the step's loss."""
    epoch: Callable[[dict[str, Any]], None] = lambda record: None
    """Called after each epoch with its line of ``metrics.jsonl``."""
    note: Callable[[str], None] = lambda text: None
    """Called with messages for the user."""


class Throughput:
    """Timer over the steps of an epoch."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._waited, self._slices = 0.0, 0

    def waiting_for(self, source: Iterable[T]) -> Iterator[T]:
        """Yield the items of a source; count the time until each is available as loading."""
        items = iter(source)
        while True:
            requested = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            self._waited += time.perf_counter() - requested
            yield item

    def done(self, slices: int) -> None:
        """Count a step with this number of slices."""
        self._slices += slices
        self._last = time.perf_counter()

    def measured(self) -> dict[str, float]:
        """Return `THROUGHPUT_KEYS`: slices per second and the fraction of time spent loading.

        Empty before the first step. The fraction is in [0, 1]: 0 is bound by the model, 1 by
        loading.
        """
        elapsed = self._last - self._started
        if not self._slices or elapsed <= 0:
            return {}
        share = min(1.0, self._waited / elapsed)
        return {"slices_per_s": round(self._slices / elapsed, 2), "loading_share": round(share, 4)}


class EventLog:
    """Writer of TensorBoard event files, one point per epoch at its step.

    Parameters
    ----------
    folder
        Created if missing; None writes nothing (all processes but the first).
    history
        Records of the epochs that are done; later points of an earlier run are hidden.
    """

    def __init__(self, folder: Path | None, history: Sequence[Mapping[str, Any]]) -> None:
        self._writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            done = history[-1]["step"] if history else 0
            self._writer = SummaryWriter(str(folder), purge_step=done + 1)

    def add(self, record: Mapping[str, Any]) -> None:
        """Write an epoch's line of ``metrics.jsonl``."""
        if self._writer is None:
            return
        for key, value in record.items():
            if key not in ("epoch", "step") and value is not None:
                self._writer.add_scalar(key, value, record["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
