"""Steps of ``ich predict``: find slices, load the model, predict, print, write."""

from __future__ import annotations

import glob
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ich_cli._version import __version__
from ich_cli.commands.predict.request import Request, find, tables
from ich_cli.core.errors import OutputError
from ich_cli.core.predict import (
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Parts,
    Tally,
    open_table,
    slice_row,
    study_row,
    write_tables,
)
from ich_cli.core.study import SeriesPrediction, SlicePrediction, by_study
from ich_cli.core.system import exclusive_lock, fingerprint, remove_stale
from ich_cli.terminal import (
    as_steps,
    is_terminal,
    parse_thresholds,
    progress,
    slices_table,
    stdout,
    studies_table,
    warn,
)

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor
    from ich_cli.core.series import Scan


@dataclass(frozen=True)
class _Run:
    """Values that the steps share."""

    request: Request
    found: Scan
    predictor: Predictor
    thresholds: dict[str, float]
    tally: Tally
    parts: Parts | None
    """Results of finished series; None without an output."""


def run(request: Request) -> tuple[Tally, str]:
    """Predict all slices, and print and write what was requested.

    Returns
    -------
    tally
        The counts.
    caveat
        Warning to show with the predictions; empty where there is none.
    """
    request.reports.prepare()
    with _lock(request.output) if request.output else nullcontext():
        for path in tables(request):
            remove_stale(path.parent, glob.escape(path.name))
        found = find(request)
        predictor = _load_model(request, len(found))
        thresholds = parse_thresholds(request.thresholds, dict(predictor.thresholds))
        tally = Tally(len(found), engine=predictor.engine.describe())
        parts = None
        if request.output:
            parts = Parts(request.output, _settings(request, predictor, thresholds))
        this = _Run(request, found, predictor, thresholds, tally, parts)
        with _keep_parts(this):
            predictions = _predict(this)
            _print(this, predictions)
            _write(this, predictions)
    return tally, predictor.caveat


@contextmanager
def _lock(output: Path) -> Iterator[None]:
    """Lock the output for this run; fail early if it cannot be written."""
    with exclusive_lock(output):
        if output.is_dir():
            raise OutputError(f"cannot write {output}: it is a folder; name a file in it")
        if output.exists() and not output.is_file():
            raise OutputError(f"cannot write {output}: it is not a regular file; use stdout")
        yield


def _load_model(request: Request, slices: int) -> Predictor:
    with progress("Loading the model", unit="", quiet=request.quiet):
        from ich_cli.core.predict import Predictor

        return Predictor.load(
            request.weights, device=request.device, batch_size=request.batch_size,
            engine=request.engine, slices=slices,
        )  # fmt: skip


def _settings(
    request: Request, predictor: Predictor, thresholds: dict[str, float]
) -> dict[str, Any]:
    """Return the settings that the rows depend on; messages show the keys."""
    bundle = json.dumps(predictor.bundle.config.to_dict(), sort_keys=True)
    return {
        "version of ich": __version__,
        "weights": fingerprint([bundle]),
        "thresholds": thresholds,
        "limits": str(request.limits),
        "window": request.window and list(request.window),
        "device": predictor.device.partition(":")[0],
        # the batch size changes rounding, except on a CPU
        "batch size": 1 if predictor.device == "cpu" else predictor.batch_size,
        "engine": str(predictor.engine),
    }


@contextmanager
def _keep_parts(run: _Run) -> Iterator[None]:
    """Add to the message of an interrupt or write error how many slices --resume can skip."""
    try:
        yield
    except (KeyboardInterrupt, OutputError) as error:
        kept = run.parts.kept_rows(run.found.series) if run.parts else 0
        if not kept:
            raise
        raise type(error)(
            f"{str(error) or 'interrupted'}; {kept} of {run.tally.total} rows are saved: "
            "continue with the same command and --resume"
        ) from None
    finally:
        if run.parts:
            run.parts.remove_if_empty()


def _predict(run: _Run) -> list[SeriesPrediction]:
    """Predict the series without a part file; return all results if later steps need them."""
    request, parts, tally = run.request, run.parts, run.tally
    kept = _kept_series(run)
    todo = [one for one in run.found.series if one.key not in kept]
    results: list[SeriesPrediction] = []
    needs_results = request.reports or request.prints_studies or request.prints_for_people
    quiet = request.quiet or (request.stream is not None and is_terminal())
    start = time.perf_counter()
    with progress("Predicting", tally.total, quiet=quiet) as advance, _stdout_rows(request) as emit:
        predictions = run.predictor.predict_all(
            todo, workers=request.workers, limits=request.limits, thresholds=run.thresholds,
            progress=as_steps(advance),
        )  # fmt: skip
        for series in run.found.series:
            if parts and series.key in kept:
                prediction = parts.read(series)
                tally.kept += len(prediction.slices)
                advance(len(prediction.slices))
            else:
                prediction = next(predictions)
                if parts:
                    parts.write(prediction)
            for row in prediction.slices:
                tally.add(row, series.patient)
                emit(row)
            if needs_results:
                results.append(prediction)
        for file in run.found.refused:
            row = SlicePrediction.from_error(*file)
            tally.add(row)
            emit(row)
    tally.seconds = time.perf_counter() - start
    return results


def _kept_series(run: _Run) -> frozenset[str]:
    """Return the keys of the series that an earlier run predicted with the same settings."""
    if not run.parts:
        return frozenset()
    if differing := run.parts.begin(resume=run.request.resume):
        warn(
            f"{run.request.output}: results of an earlier run are not used: it differs in "
            f"{', '.join(differing)}"
        )
    return frozenset(one.key for one in run.found.series if run.parts.find(one))


@contextmanager
def _stdout_rows(request: Request) -> Iterator[Callable[[SlicePrediction], None]]:
    """Open a table of slices on stdout if requested; yield the function that writes a row."""
    if not request.stream or request.studies:
        yield lambda _: None
        return
    with open_table(sys.stdout.buffer, request.stream, SLICE_COLUMNS) as table:
        yield lambda row: table.append(slice_row(row))


def _print(run: _Run, predictions: list[SeriesPrediction]) -> None:
    """Print rows of studies, or a table for people."""
    request = run.request
    rule = run.predictor.study_rule(run.thresholds)
    studies = []
    if request.studies:
        refused, all_series = run.found.refused, request.all_series
        studies = by_study(predictions, rule, refused, all_series=all_series)
    if request.prints_studies and request.stream:
        with open_table(sys.stdout.buffer, request.stream, STUDY_COLUMNS) as table:
            for study in studies:
                table.append(study_row(study))
    elif request.prints_for_people:
        rows = (row for one in predictions for row in one.slices)
        shown = studies_table(studies) if request.studies else slices_table(rows)
        if shown:
            stdout().print(shown)


def _write(run: _Run, predictions: list[SeriesPrediction]) -> None:
    """Write reports, then the tables; until these are complete, --resume can continue."""
    request, predictor = run.request, run.predictor
    if request.reports:
        from ich_cli.core.report import study_results

        results = study_results(
            predictor, predictions, run.found.refused, limits=request.limits,
            thresholds=run.thresholds, all_series=request.all_series,
        )  # fmt: skip
        run.tally.written += request.reports.write(results, quiet=request.quiet)
    if request.output and run.parts:
        rule = predictor.study_rule(run.thresholds) if request.studies else None
        parts, series = run.parts, run.found.series
        written = write_tables(
            request.output, request.layout, lambda: map(parts.read, series), run.found.refused,
            rule, all_series=request.all_series,
        )  # fmt: skip
        run.tally.written = written + run.tally.written
        parts.discard()
