"""Hold slices back until their series is whole, for a stage that looks at all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import InputError
from ich_cli.core.series import Entry
from ich_cli.core.study import SlicePrediction

Answered = tuple[SlicePrediction, NDArray[Any] | None]
"""A row, and six numbers where the slice could be read."""

ALONE: Final = "one slice of its series: answered without the sequence stage"


def series_start(entries: Sequence[Entry], start: int) -> int:
    """Return where the series that entry `start` may belong to begins.

    Entries without a slice stand inside a series or between two; either way it is safe to go back
    over them.
    """
    if start >= len(entries):
        return start
    name = next((n for n in map(_series, entries[start:]) if n is not None), None)
    first = start
    for index in range(start - 1, -1, -1):
        own = _series(entries[index])
        if own is not None and own != name:
            break
        first = index if own is not None else first
    return first


def by_series(
    entries: Iterable[Entry],
    rows: Iterable[Answered],
    stage: Callable[[NDArray[np.float64]], NDArray[Any]],
) -> Iterator[Answered]:
    """Yield rows in their order, each series when its last slice is there.

    Parameters
    ----------
    entries
        One a row.
    rows
        With logits.
    stage
        Logits ``(T, 6)`` of a series to probabilities.
    """
    held: list[Answered] = []
    name: str | None = None
    for entry, row in zip(entries, rows, strict=False):
        own = _series(entry)
        if own is not None and own != name:
            yield from _finish(held, stage)
            held, name = [], own
        held.append(row)
    yield from _finish(held, stage)


def _finish(
    held: Sequence[Answered], stage: Callable[[NDArray[np.float64]], NDArray[Any]]
) -> Iterator[Answered]:
    logits = [values for _, values in held if values is not None]
    answers = iter(stage(np.stack(logits)) if logits else ())
    for row, values in held:
        if values is None:
            yield row, None
        elif len(logits) == 1:
            note = "; ".join(text for text in (row.note, ALONE) if text)
            yield replace(row, note=note), next(answers)
        else:
            yield row, next(answers)


def _series(entry: Entry) -> str | None:
    return None if isinstance(entry, InputError) else entry.series
