"""Read slices and make them ready, so that whatever goes wrong costs one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ich_cli.core import series
from ich_cli.core.dicom import CTSlice, Limits
from ich_cli.core.errors import InputError
from ich_cli.core.preprocessing import Neighbours, Prepared, PreprocessConfig
from ich_cli.core.series import Entry
from ich_cli.core.study import SlicePrediction, measure

PrepareAll = Callable[[CTSlice, Neighbours], Sequence[Prepared]]


@dataclass(frozen=True, slots=True)
class Read:
    """A slice made ready, or its row where that failed."""

    row: SlicePrediction
    pixels: tuple[NDArray[np.uint8], ...] = ()
    """One ``(C, S, S)`` for each of the predictor's preprocess settings."""


class Reader:
    """Reads and prepares entry number i; whatever goes wrong becomes its row.

    Parameters
    ----------
    prepare_all
        Takes a slice and, by context, its neighbours; returns one input for each of `configs`.
    configs
        Preprocess settings of a predictor.
    entries
        As `series.scan` gave them.
    limits
        Bounds on what is read.
    kept
        How many slices are kept for the sake of their neighbours.
    """

    def __init__(
        self,
        prepare_all: PrepareAll,
        configs: Sequence[PreprocessConfig],
        entries: Sequence[Entry],
        limits: Limits,
        kept: int,
    ) -> None:
        self._prepare_all, self._entries = prepare_all, entries
        self._contexts = {config.context for config in configs} - {0}
        kept += 2 * max(self._contexts, default=0)
        self._load = lru_cache(kept if self._contexts else 0)(lambda ref: series.load(ref, limits))

    def __call__(self, index: int) -> Read:
        """Return entry number `index` made ready, or the row that says why it is not."""
        entry = self._entries[index]
        if isinstance(entry, InputError):
            return Read(SlicePrediction.from_error(entry))
        try:
            return self._read(entry, index)
        except InputError as error:
            return Read(SlicePrediction.from_error(error, entry.id))
        except Exception as error:  # its text may quote a patient's data: only the kind is told
            note = f"unexpected {type(error).__name__} while reading; please report it"
            return Read(SlicePrediction(entry.id, status="failed", note=note))

    def _read(self, ref: series.SliceRef, index: int) -> Read:
        ct = self._load(ref)
        prepared = self._prepare_all(ct, self.around(index))
        note = "; ".join(ct.notes)
        row = SlicePrediction(ref.id, status=ct.status, note=note, facts=measure(ct))
        return Read(row, tuple(one.pixels for one in prepared))

    def around(self, index: int) -> dict[int, list[CTSlice | None]]:
        """Read the neighbours of an entry: context n → the n slices before and the n after."""
        return {context: self._around(index, context) for context in self._contexts}

    def _around(self, index: int, context: int) -> list[CTSlice | None]:
        near = series.neighbours(self._entries, index, context)
        return [None if one is None else self._load_or_none(one) for one in near]

    def _load_or_none(self, ref: series.SliceRef) -> CTSlice | None:
        try:
            return self._load(ref)
        except InputError:
            return None  # it has its own row, which says why
