"""Steps of ``ich explain``: find slices, explain them, write images and print a summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import typer

from ich_cli.commands.explain.json_record import record, series_record, why
from ich_cli.core.errors import InputError, NothingFoundError, UsageError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.terminal import note, progress, warn

if TYPE_CHECKING:
    from ich_cli.core.dicom import Limits
    from ich_cli.core.explain import Explained, ExplainedSeries, ExplainOptions, RenderOptions
    from ich_cli.core.predict import Predictor
    from ich_cli.core.series import Entry
    from ich_cli.core.study import SlicePrediction
    from ich_cli.core.system import Names

_ENDINGS = (".dcm", ".dicom", ".dic", ".ima")
_SERIES_NAME = "series.explain.png"


def find(
    paths: Sequence[Path], frame: int | None, limits: Limits, names: Names, quiet: bool
) -> list[Entry]:
    """Scan for slices; at least one is found, with frame number `frame` if it is given."""
    from ich_cli.core.series import scan

    with progress("Looking for slices", unit="files", quiet=quiet) as advance:
        entries = scan(paths, limits, lambda count: advance(1), names).rows
    if all(isinstance(entry, InputError) for entry in entries):
        raise next(entry for entry in entries if isinstance(entry, InputError))
    if frame and not _candidates(entries, frame):
        raise UsageError(f"--frame {frame}: there is no such frame")
    return entries


def run(
    entries: Sequence[Entry],
    options: ExplainOptions,
    render: RenderOptions,
    output: Path | None,
    frame: int | None,
    weights: str | None,
    device: str,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Explain one slice, or each series that was found, and write an image of each."""
    predictor = _load(weights, device, quiet)
    if predictor.caveat:
        warn(predictor.caveat)
    candidates = _candidates(entries, frame)
    if len(candidates) == 1 or frame:
        index = _likeliest(predictor, entries, candidates, options.limits, quiet)
        _one(predictor, entries, index, options, render, output, frame, as_json, quiet)
    else:
        _series(predictor, entries, options, render, output, as_json, quiet)
    if not as_json:
        note(RESEARCH_ONLY, quiet=quiet)


def default_name(path: str, frame: int | None = None) -> str:
    """Return the picture's name for a file: its own without folders and ending.

    >>> default_name("scans/a.zip!series/IM.1.dcm")
    'IM.1.explain.png'
    """
    name = PurePosixPath(path.replace("\\", "/").replace("!", "/")).name
    stem = name[: name.rindex(".")] if name.lower().endswith(_ENDINGS) else name
    return f"{stem or 'slice'}{f'.frame{frame}' if frame else ''}.explain.png"


def numbered(path: Path, number: int) -> Path:
    """Return the name of the picture of series `number`, from 1; the first one's is as given.

    >>> numbered(Path("series.explain.png"), 2).name
    'series-2.explain.png'
    """
    if number == 1:
        return path
    stem = path.stem.removesuffix(".explain")
    return path.with_name(f"{stem}-{number}{path.name[len(stem) :]}")


def _candidates(entries: Sequence[Entry], frame: int | None) -> list[int]:
    return [
        index
        for index, entry in enumerate(entries)
        if not isinstance(entry, InputError) and frame in (None, entry.id.frame)
    ]


def _load(weights: str | None, device: str, quiet: bool) -> Predictor:
    with progress("Loading the model", unit="", quiet=quiet):
        from ich_cli.core.predict import Predictor

        return Predictor.load(weights, device=device)


def _likeliest(
    predictor: Predictor, entries: Sequence[Entry], among: list[int], limits: Limits, quiet: bool
) -> int:
    """Return which of some entries is most likely to show a hemorrhage."""
    from ich_cli.core.explain import top_slices

    if len(among) == 1:
        return among[0]
    rows = _predict(predictor, entries, limits, quiet)
    worst = top_slices([rows[index] for index in among], count=1)
    if not worst:
        raise NothingFoundError("no slice could be read; ich predict tells of each file why")
    return among[worst[0]]


def _predict(
    predictor: Predictor, entries: Sequence[Entry], limits: Limits, quiet: bool
) -> list[SlicePrediction]:
    rows = []
    with progress("Predicting", len(entries), quiet=quiet) as advance:
        for row in predictor.stream(entries, limits=limits):
            rows.append(row)
            advance(1)
    return rows


def _one(
    predictor: Predictor,
    entries: Sequence[Entry],
    index: int,
    options: ExplainOptions,
    render: RenderOptions,
    output: Path | None,
    frame: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from ich_cli.core.explain import explain_entry
    from ich_cli.core.viz import write_panel

    found = explain_entry(predictor, entries, index, options)
    _warn_of_names([entries[index]], options.limits)
    path = output or Path(default_name(found.explanation.ct.id.path, frame))
    write_panel(path, found.panel(predictor, render))
    if as_json:
        typer.echo(json.dumps(record(path, found, predictor, chosen=bool(options.labels))))
        return
    _tell(found, chosen=bool(options.labels), quiet=quiet)
    typer.echo(str(path))


def _series(
    predictor: Predictor,
    entries: Sequence[Entry],
    options: ExplainOptions,
    render: RenderOptions,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from ich_cli.core.explain import by_series, explain_series
    from ich_cli.core.viz import write_sheet

    found = by_series(entries, _predict(predictor, entries, options.limits, quiet))
    if not found:
        raise NothingFoundError("no slice could be read; ich predict tells of each file why")
    with progress("Explaining", len(found), unit="series", quiet=quiet) as advance:
        for number, (of_series, rows) in enumerate(found, 1):
            one = explain_series(predictor, of_series, rows, options, window=render.windows[0])
            _warn_of_names(of_series, options.limits)
            path = numbered(output or Path(_SERIES_NAME), number)
            write_sheet(path, one.sheet(predictor, render))
            advance(1)
            if as_json:
                typer.echo(
                    json.dumps(series_record(path, one, predictor, chosen=bool(options.labels)))
                )
                continue
            _tell_series(one, quiet)
            typer.echo(str(path))


def _warn_of_names(entries: Sequence[Entry], limits: Limits) -> None:
    """Warn if an image may show patient data burned into the pixels."""
    from ich_cli.core.series import shows_patient

    refs = [entry for entry in entries if not isinstance(entry, InputError)]
    if any(shows_patient(ref, limits) for ref in refs):
        warn("a patient's data may be burned into the pixels; look before you pass the picture on")


def _tell(found: Explained, *, chosen: bool, quiet: bool) -> None:
    ct = found.explanation.ct
    note(f"slice: {ct.id.path} frame {ct.id.frame}", quiet=quiet)
    for remark in ct.notes:
        note(f"note: {remark}", quiet=quiet)
    note(f"labels: {why(found, chosen)}", quiet=quiet)
    _tell_faithfulness(found, quiet)


def _tell_series(one: ExplainedSeries, quiet: bool) -> None:
    answered = sum(row.probabilities is not None for row in one.rows)
    note(f"series: {answered} of {len(one.rows)} slices answered", quiet=quiet)
    for index, found in one.worst:
        p = found.explanation.probabilities[LABELS.index(one.ranked_by)]
        id = found.explanation.ct.id
        note(f"slice {index + 1}: {one.ranked_by} {p:.3f}, {id.path} frame {id.frame}", quiet=quiet)
        _tell_faithfulness(found, quiet)


def _tell_faithfulness(found: Explained, quiet: bool) -> None:
    for label in found.explanation.maps:
        one = found.faithfulness.get(label)
        if one is None:
            note(f"{label}: the map is empty, nothing in the slice speaks for it", quiet=quiet)
        else:
            note(
                f"{label}: by itself {one.before:.3f}; with the hottest tenth of the head replaced "
                f"{one.without:.3f}, with a random tenth {one.random_region:.3f}", quiet=quiet,
            )  # fmt: skip
