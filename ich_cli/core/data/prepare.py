"""From labelled series to a prepared data set: in parallel, resumable, whole or not at all.

Each series is prepared by one process at its own place in one array, in a hidden folder beside the
output. When all are there the gaps of unusable slices are closed, and the folder takes its name. A
killed run leaves the series it finished; ``resume`` checks them and goes on from there. The hidden
folder holds no patient's key: when a run is resumed, finished series are asked for theirs again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate, chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.data.lesion_masks import UNKNOWN
from ich_cli.core.data.prepare_store import (
    PLAN,
    PixelFile,
    clean,
    digest_of,
    is_whole,
    join_masks,
    rows_file,
    write_series,
)
from ich_cli.core.data.prepared import (
    ABOUT,
    FORMAT,
    INDEX,
    SKIPPED,
    SKIPPED_COLUMNS,
    IndexRow,
    PreparedDataset,
    SkippedRow,
    count_labels,
    write_index,
)
from ich_cli.core.data.sources.base import LabelledSeries, LabelledSlice
from ich_cli.core.dicom import CTSlice
from ich_cli.core.errors import DataError, OutputError
from ich_cli.core.labels import ANY
from ich_cli.core.preprocessing import Placement, PreprocessConfig, prepare, prepare_mask
from ich_cli.core.system import (
    exclusive_lock,
    keep_freed_memory,
    output_error,
    temporary_sibling,
    write_csv,
    write_json,
)

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Called with series done and series in all."""


@dataclass(frozen=True)
class SourceInfo:
    """Where the slices come from; goes into ``dataset.json`` and on the card of a model."""

    kind: str
    name: str
    licence: str = ""
    real_ct: bool = True
    """False for phantoms: weights that saw only these say so with every answer."""


def prepare_dataset(
    series: Sequence[LabelledSeries],
    out: Path,
    config: PreprocessConfig,
    source: SourceInfo,
    *,
    pool: Executor | None = None,
    resume: bool = False,
    progress: Progress = lambda done, total: None,
) -> PreparedDataset:
    """Prepare all slices of some series through the one path and write them as a data set.

    Parameters
    ----------
    series
        In the order in which their slices shall stand.
    out
        Folder to make; it must not exist.
    config
        Preset, size, windows, context.
    source
        What to write down about the origin.
    pool
        Of `worker_processes`; None works in this process.
    resume
        Go on from what a killed run with the same settings left.
    progress
        Called after each series.

    Raises
    ------
    OutputError
        If `out` exists, another run is writing it, the disk is full, or a process was killed.
    DataError
        If no slice could be used, or the run to resume had other settings.
    """
    if out.exists():
        raise OutputError(f"{out} exists already; choose another folder, or remove it first")
    work = temporary_sibling(out, "partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(out):
            if not (resume and (work / ABOUT).is_file()):
                starts = _starts(series)
                _start(work, series, starts[-1], config, source, resume)
                with _telling_what_is_kept(work, len(series)):
                    patients = _prepare_all(series, starts, work, config, pool, progress)
                    _join(work, starts, patients, config, source)
            clean(work)
            work.replace(out)
    except OSError as error:
        raise output_error(out, error, "then go on with --resume") from error
    return PreparedDataset.open(out)


@contextmanager
def _telling_what_is_kept(work: Path, total: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = sum(rows_file(work, i).is_file() for i in range(total))
        if not kept:
            raise
        raise type(stop)(
            f"{str(stop) or 'interrupted'}; {kept} of {total} series are kept: "
            "the same command with --resume goes on"
        ) from None


def _start(
    work: Path,
    series: Sequence[LabelledSeries],
    rows: int,
    config: PreprocessConfig,
    source: SourceInfo,
    resume: bool,
) -> None:
    names = hashlib.sha256("\n".join(one.name for one in series).encode()).hexdigest()
    plan = {"preprocess": config.to_dict(), "source": asdict(source), "series": names}
    plan |= {"pixels": "in place, with digests"}  # another version's lie otherwise
    if resume and (work / PLAN).is_file():
        if json.loads((work / PLAN).read_text(encoding="utf-8")) != json.loads(json.dumps(plan)):
            raise DataError(f"{work} was begun with other files or settings; run without --resume")
        return
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    PixelFile.of(work, config).make(rows)
    write_json(work / PLAN, plan)


def _prepare_all(
    series: Sequence[LabelledSeries],
    starts: Sequence[int],
    work: Path,
    config: PreprocessConfig,
    pool: Executor | None,
    progress: Progress,
) -> list[str]:
    """Write what is missing; return each series' patient key, in memory only."""
    keys: dict[int, str] = {}
    pixels = PixelFile.of(work, config)
    todo = [i for i in range(len(series)) if not is_whole(work, i, starts[i], pixels)]
    for i in set(range(len(series))) - set(todo):
        keys[i] = series[i].patient()
        progress(len(keys), len(series))
    jobs = [Job(series[i], i, starts[i]) for i in todo]
    for i, key in _run(jobs, work, config, pool):
        keys[i] = key
        progress(len(keys), len(series))
    return [keys[i] for i in range(len(series))]


def _starts(series: Sequence[LabelledSeries]) -> list[int]:
    """Return the row at which each series begins if no slice fails, and the number of all."""
    return [0, *accumulate(one.most for one in series)]


class Job(NamedTuple):
    """A series to prepare."""

    series: LabelledSeries
    number: int
    start: int
    """Row of its first slice."""


def _run(
    jobs: Sequence[Job], work: Path, config: PreprocessConfig, pool: Executor | None
) -> Iterator[tuple[int, str]]:
    if pool is None or len(jobs) <= 1:
        for job in jobs:
            yield job.number, _prepare_series(job, work, config)
        return
    running: dict[Future[str], int] = {}
    try:
        for job in jobs:
            running[pool.submit(_prepare_series, job, work, config)] = job.number
        for done in as_completed(running):
            yield running[done], done.result()
    except BrokenProcessPool:
        raise OutputError(
            "a process that prepared slices was killed, perhaps for its memory; "
            "go on with --resume, and fewer --workers"
        ) from None
    finally:
        wait([one for one in running if not one.cancel()])  # they write into the folder


def preload_imports() -> None:
    """Import what a process needs to prepare series: for `worker_processes` to call first."""
    keep_freed_memory()


def _prepare_series(job: Job, work: Path, config: PreprocessConfig) -> str:
    """Write one series: the pixels first, the rows last, so that rows mean it is whole."""
    keep_freed_memory()
    series, number, start = job
    masks: list[Pixels] = []
    located = False
    rows: list[list[object]] = []
    skipped: list[SkippedRow] = []
    patient = ""
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
            values = (position, one.labels, one.ct.status, note, digest_of(ready.data))
            rows.append([*ids, *values])
    write_series(work, number, rows, skipped, masks if located else [])
    return patient or series.name


def _mask(one: LabelledSlice, placement: Placement) -> Pixels:
    """Return where a slice bleeds: nowhere if it has no label, and else maybe nobody knows."""
    if one.mask is not None:
        return prepare_mask(one.mask, placement)
    bleeds = one.labels is not None and one.labels[ANY] > 0
    return np.full((placement.size,) * 2, UNKNOWN if bleeds else 0, np.uint8)


def _with_neighbours(
    slices: Iterator[LabelledSlice], context: int
) -> Iterator[tuple[int, LabelledSlice, tuple[CTSlice | None, ...]]]:
    """Yield each slice with those around it, holding no more than these in memory."""
    window: deque[LabelledSlice | None] = deque(maxlen=2 * context + 1)
    for count, one in enumerate(chain(repeat(None, context), slices, repeat(None, context))):
        window.append(one)
        centre = window[context] if count >= 2 * context else None
        if centre is not None:
            around = tuple(None if other is None else other.ct for other in window)
            yield count - 2 * context, centre, (*around[:context], *around[context + 1 :])


def _join(
    work: Path,
    starts: Sequence[int],
    patients: Sequence[str],
    config: PreprocessConfig,
    source: SourceInfo,
) -> None:
    """Make one data set of all series. Numbers replace the patients' keys here."""
    shards = [json.loads(rows_file(work, i).read_text("utf-8")) for i in range(len(patients))]
    numbers: dict[str, int] = {}
    rows: list[IndexRow] = []
    for shard, key in zip(shards, patients, strict=True):
        if shard["rows"]:
            patient = numbers.setdefault(key, len(numbers))
            rows += [_index_row(i, patient, r) for i, r in enumerate(shard["rows"], len(rows))]
    if not rows:
        raise DataError(_why_none(shards))
    join_masks(work, shards, config)
    PixelFile.of(work, config).close_gaps([len(s["rows"]) for s in shards], starts[:-1])
    skipped = [row for shard in shards for row in shard["skipped"]]
    write_csv(work / SKIPPED, SKIPPED_COLUMNS, skipped)
    digest = write_index(work / INDEX, rows)
    labels = np.array([row.labels for row in rows], np.float32)
    of_patient = np.array([row.patient for row in rows], np.int64)
    about = {
        "format": FORMAT,
        "ich": __version__,
        "source": asdict(source),
        "preprocess": config.to_dict(),
        "slices": len(rows),
        "patients": len(numbers),
        "skipped": len(skipped),
        "labelled": not bool(np.isnan(labels).any()),
        "labels": count_labels(labels, of_patient),
        "sha256": digest,
    }
    write_json(work / ABOUT, about)


def _index_row(row: int, patient: int, values: Sequence[Any]) -> IndexRow:
    name, study, series, position, labels, status, note, digest = values
    return IndexRow(
        row, name, study, series, patient, position, tuple(labels), status, note, digest
    )


def _why_none(shards: Sequence[dict[str, Any]]) -> str:
    reasons = [row[-1] for shard in shards for row in shard["skipped"]]
    first = f"; the first of {len(reasons)} reasons: {reasons[0]}" if reasons else ""
    return f"no slice could be prepared{first}"
