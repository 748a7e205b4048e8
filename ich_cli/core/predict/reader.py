"""Read slices and prepare them for the models; an error affects only its own slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice, Limits
from ich_cli.core.errors import InputError
from ich_cli.core.preprocessing import PreprocessConfig, prepare_each
from ich_cli.core.series import Series, SliceRef, load
from ich_cli.core.study import SlicePrediction, measure


@dataclass(frozen=True, slots=True)
class ReadSlice:
    """A prepared slice, or the row of one that cannot be used."""

    row: SlicePrediction
    """Without probabilities."""
    pixels: tuple[NDArray[np.uint8], ...] = ()
    """uint8 ``(C, S, S)`` for each of the predictor's `preprocess`; empty on errors."""


class SliceReader:
    """Reads and prepares slices of series. Safe to call from several threads.

    Parameters
    ----------
    configs
        The `preprocess` settings of a predictor.
    limits
        Bounds on what is read.
    cached
        Number of decoded slices to keep for their neighbours.
    """

    def __init__(
        self,
        configs: Sequence[PreprocessConfig],
        limits: Limits,
        cached: int,
    ) -> None:
        self._configs = configs
        self._contexts = {config.context for config in configs} - {0}
        self._load = partial(load, limits=limits)
        if self._contexts:
            self._load = lru_cache(cached + 2 * max(self._contexts))(self._load)  # type: ignore[assignment]

    def __call__(self, place: tuple[Series, int]) -> ReadSlice:
        """Return the prepared slice at index `place[1]` of a series, or its row with the error."""
        series, index = place
        ref = series.slices[index]
        try:
            ct = self._load(ref)
            prepared = prepare_each(ct, self._configs, self.neighbours(series, index))
        except InputError as error:
            return ReadSlice(SlicePrediction.from_error(error, ref.id))
        except Exception as error:  # only its type is shown, since its text may quote patient data
            note = f"unexpected {type(error).__name__} while reading; please report it"
            return ReadSlice(SlicePrediction(ref.id, status="failed", note=note))
        row = SlicePrediction(ref.id, status=ct.status, note="; ".join(ct.notes), facts=measure(ct))
        return ReadSlice(row, tuple(one.pixels for one in prepared))

    def neighbours(self, series: Series, index: int) -> dict[int, list[CTSlice | None]]:
        """Read the neighbours of a slice: context n → the n slices before and the n after it.

        None stands for one that cannot be read, and beyond the ends of the series.
        """
        return {
            context: [self._load_or_none(ref) for ref in series.neighbours(index, context)]
            for context in self._contexts
        }

    def _load_or_none(self, ref: SliceRef | None) -> CTSlice | None:
        try:
            return self._load(ref) if ref else None
        except InputError:
            return None  # its own row has the reason
