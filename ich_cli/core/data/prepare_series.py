"""Preparation of one series in a worker process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.fingerprints import slice_hash
from ich_cli.core.data.lesion_masks import UNKNOWN
from ich_cli.core.data.prepare_store import PixelFile, digest_of, write_series
from ich_cli.core.data.prepared import SkippedRow
from ich_cli.core.data.sources.base import LabelledSeries, LabelledSlice
from ich_cli.core.dicom import CTSlice
from ich_cli.core.labels import ANY
from ich_cli.core.preprocessing import Placement, PreprocessConfig, prepare, prepare_mask
from ich_cli.core.system import keep_freed_memory

Pixels = NDArray[np.uint8]


class SeriesJob(NamedTuple):
    """A series to prepare."""

    series: LabelledSeries
    number: int
    start: int
    """Row of its first slice in the pixel file."""


def preload_imports() -> None:
    """Import this module's dependencies; `worker_processes` calls it when a process starts."""
    keep_freed_memory()


def prepare_series(job: SeriesJob, work: Path, config: PreprocessConfig) -> str:
    """Write one series, its rows last, and return its patient key."""
    keep_freed_memory()
    series, number, start = job
    masks: list[Pixels] = []
    located = False
    rows: list[list[object]] = []
    skipped: list[SkippedRow] = []
    patient, synthetic = "", 0
    with PixelFile.of(work, config).writing(start) as file:
        for position, one, neighbours in _with_neighbours(series.read(), config.context):
            patient = patient or (one.patient if one.ct is not None else "")
            if one.error is not None or one.ct is None or one.labels is None:
                status = one.error.status if one.error else "failed"
                note = one.error.note if one.error else "no image"
                skipped.append(SkippedRow(one.name, one.study, one.series, status, note))
                continue
            ready, placement = prepare(one.ct, config, neighbours)
            file.write(ready.data)
            masks.append(_mask(one, placement))
            located |= one.mask is not None
            note = "; ".join(one.ct.notes)
            ids = (one.name, one.study, one.series)
            digests = (slice_hash(one.ct.hu), digest_of(ready.data))
            rows.append([*ids, position, one.labels, one.ct.status, note, *digests])
            synthetic += one.ct.synthetic
    write_series(work, number, rows, skipped, masks if located else [], synthetic)
    return patient or series.name


def _mask(one: LabelledSlice, placement: Placement) -> Pixels:
    """Return the lesion mask of a slice; `UNKNOWN` unless it is annotated or negative."""
    if one.mask is not None:
        return prepare_mask(one.mask, placement)
    negative = one.labels is not None and one.labels[ANY] == 0
    return np.full((placement.size,) * 2, 0 if negative else UNKNOWN, np.uint8)


def _with_neighbours(
    slices: Iterator[LabelledSlice], context: int
) -> Iterator[tuple[int, LabelledSlice, tuple[CTSlice | None, ...]]]:
    """Yield each slice with its neighbours; only these are in memory."""
    window: deque[LabelledSlice | None] = deque(maxlen=2 * context + 1)
    for count, one in enumerate(chain(repeat(None, context), slices, repeat(None, context))):
        window.append(one)
        centre = window[context] if count >= 2 * context else None
        if centre is not None:
            around = tuple(None if other is None else other.ct for other in window)
            yield count - 2 * context, centre, (*around[:context], *around[context + 1 :])
