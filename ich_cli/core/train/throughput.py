"""How fast an epoch goes, and how long the model waits for its slices."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

TIMING: Final = ("slices_per_s", "loading_share")
"""What of an epoch's record is a measurement of the machine, and differs from run to run."""


class Pace:
    """A clock over the steps of an epoch."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._waited, self._slices = 0.0, 0

    def waiting_for(self, source: Iterable[T]) -> Iterator[T]:
        """Hand items on; the time in which the next one is not there yet counts as loading."""
        items = iter(source)
        while True:
            asked = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            self._waited += time.perf_counter() - asked
            yield item

    def done(self, slices: int) -> None:
        """Count a step of so many slices."""
        self._slices += slices
        self._last = time.perf_counter()

    def measured(self) -> dict[str, float]:
        """Return `TIMING`: slices a second, and the share of the time spent waiting for them.

        Empty before the first step. The share lies in 0 … 1: 0, bound by the model; 1, by loading.
        """
        elapsed = self._last - self._began
        if not self._slices or elapsed <= 0:
            return {}
        share = min(1.0, self._waited / elapsed)
        return {"slices_per_s": round(self._slices / elapsed, 2), "loading_share": round(share, 4)}
