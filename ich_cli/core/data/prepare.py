"""Preparation of labelled series as a data set: parallel, resumable, written atomically.

Each series is prepared by one process at its own position in one array, in a hidden folder beside
the output. Once all are done, the gaps of unusable slices are closed and the folder is renamed. An
interrupted run leaves its finished series; ``resume`` checks them and continues. The hidden folder
has no patient keys: a resumed run reads those of finished series again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.data.fingerprints import patient_pseudonym
from ich_cli.core.data.prepare_series import SeriesJob, prepare_series
from ich_cli.core.data.prepare_store import (
    PLAN,
    PixelFile,
    clean,
    is_complete,
    join_masks,
    rows_file,
)
from ich_cli.core.data.prepared import (
    ABOUT,
    FORMAT,
    INDEX,
    SKIPPED,
    SKIPPED_COLUMNS,
    IndexRow,
    PreparedDataset,
    count_labels,
    write_index,
)
from ich_cli.core.data.sources.base import LabelledSeries, SourceInfo
from ich_cli.core.errors import DataError, OutputError
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import (
    exclusive_lock,
    output_error,
    temporary_sibling,
    write_csv,
    write_json,
)

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Function called with the number of finished series and of all series."""


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
    """Prepare all slices of series and write them as a data set.

    Parameters
    ----------
    series
        Series in the order of the data set.
    out
        New folder; it must not exist.
    config
        Preprocessing settings.
    source
        Origin of the slices.
    pool
        Pool from `worker_processes`; None uses this process.
    resume
        Continue an interrupted run with the same settings.
    progress
        Function called after each series.

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
                with _resume_hint(work, len(series)):
                    patients = _prepare_all(series, starts, work, config, pool, progress)
                    _join(work, starts, patients, config, source)
            clean(work)
            work.replace(out)
    except OSError as error:
        raise output_error(out, error, "then continue with --resume") from error
    return PreparedDataset.open(out)


@contextmanager
def _resume_hint(work: Path, total: int) -> Iterator[None]:
    """Say how to resume when the run is interrupted."""
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = sum(rows_file(work, i).is_file() for i in range(total))
        if not kept:
            raise
        raise type(stop)(
            f"{str(stop) or 'interrupted'}; {kept} of {total} series are saved: "
            "continue with the same command and --resume"
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
    plan |= {"pixels": "in place, with digests and hashes of HU"}  # differs from other versions
    if resume and (work / PLAN).is_file():
        if json.loads((work / PLAN).read_text(encoding="utf-8")) != json.loads(json.dumps(plan)):
            raise DataError(
                f"{work} was started with other files or settings; run without --resume"
            )
        return
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    PixelFile.of(work, config).create(rows)
    write_json(work / PLAN, plan)


def _prepare_all(
    series: Sequence[LabelledSeries],
    starts: Sequence[int],
    work: Path,
    config: PreprocessConfig,
    pool: Executor | None,
    progress: Progress,
) -> list[str]:
    """Prepare the missing series; return the patient key of each series, in memory only."""
    keys: dict[int, str] = {}
    pixels = PixelFile.of(work, config)
    todo = [i for i in range(len(series)) if not is_complete(work, i, starts[i], pixels)]
    for i in set(range(len(series))) - set(todo):
        keys[i] = series[i].patient()
        progress(len(keys), len(series))
    jobs = [SeriesJob(series[i], i, starts[i]) for i in todo]
    for i, key in _run(jobs, work, config, pool):
        keys[i] = key
        progress(len(keys), len(series))
    return [keys[i] for i in range(len(series))]


def _starts(series: Sequence[LabelledSeries]) -> list[int]:
    """Return the first row of each series if no slice fails, and the total number of rows."""
    return [0, *accumulate(one.max_slices for one in series)]


def _run(
    jobs: Sequence[SeriesJob], work: Path, config: PreprocessConfig, pool: Executor | None
) -> Iterator[tuple[int, str]]:
    if pool is None or len(jobs) <= 1:
        for job in jobs:
            yield job.number, prepare_series(job, work, config)
        return
    running: dict[Future[str], int] = {}
    try:
        for job in jobs:
            running[pool.submit(prepare_series, job, work, config)] = job.number
        for done in as_completed(running):
            yield running[done], done.result()
    except BrokenProcessPool:
        raise OutputError(
            "a worker process was killed, possibly for lack of memory; "
            "continue with --resume and fewer --workers"
        ) from None
    finally:
        wait([one for one in running if not one.cancel()])  # wait, since they write into the folder


def _join(
    work: Path,
    starts: Sequence[int],
    patients: Sequence[str],
    config: PreprocessConfig,
    source: SourceInfo,
) -> None:
    """Join all series to one data set; running numbers replace the patient keys."""
    shards = [json.loads(rows_file(work, i).read_text("utf-8")) for i in range(len(patients))]
    numbers: dict[str, int] = {}
    rows: list[IndexRow] = []
    for shard, key in zip(shards, patients, strict=True):
        if shard["rows"]:
            patient = numbers.setdefault(key, len(numbers))
            studies = {row[1] for row in shard["rows"]}
            # phantoms of all sets have the same PatientIDs
            known = "" if shard["synthetic"] else patient_pseudonym(key, source.kind, studies)
            start = len(rows)
            rows += [_index_row(i, patient, known, r) for i, r in enumerate(shard["rows"], start)]
    if not rows:
        raise DataError(_no_slice_reason(shards))
    join_masks(work, shards, config)
    PixelFile.of(work, config).close_gaps([len(s["rows"]) for s in shards], starts[:-1])
    skipped = [row for shard in shards for row in shard["skipped"]]
    write_csv(work / SKIPPED, SKIPPED_COLUMNS, skipped)
    digest = write_index(work / INDEX, rows)
    synthetic = sum(shard["synthetic"] for shard in shards)
    labels = np.array([row.labels for row in rows], np.float32)
    of_patient = np.array([row.patient for row in rows], np.int64)
    about = {
        "format": FORMAT,
        "ich": __version__,
        "source": asdict(source) | {"real_ct": source.real_ct and synthetic < len(rows)},
        "preprocess": config.to_dict(),
        "slices": len(rows),
        **({"synthetic": synthetic} if synthetic else {}),
        "patients": len(numbers),
        "studies": len({(row.patient, row.study) for row in rows}),
        "skipped": len(skipped),
        "labelled": not bool(np.isnan(labels).all()),
        "labels": count_labels(labels, of_patient),
        "sha256": digest,
    }
    write_json(work / ABOUT, about)


def _index_row(row: int, patient: int, pseudonym: str, values: Sequence[Any]) -> IndexRow:
    name, study, series, position, labels, status, note, hu_hash, digest = values
    return IndexRow(
        row, name, study, series, patient, position, tuple(labels), status, note, digest, hu_hash,
        pseudonym,
    )  # fmt: skip


def _no_slice_reason(shards: Sequence[dict[str, Any]]) -> str:
    reasons = [row[-1] for shard in shards for row in shard["skipped"]]
    first = f"; the first of {len(reasons)} reasons: {reasons[0]}" if reasons else ""
    return f"no slice could be prepared{first}"
