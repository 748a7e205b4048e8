"""Steps of ``ich explain``: find slices, explain them, write and print the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import typer

from ich_cli.commands.explain.json_record import record, series_record, why
from ich_cli.core.errors import NothingFoundError, UsageError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.system import make_folder
from ich_cli.terminal import as_steps, note, progress, warn

if TYPE_CHECKING:
    from ich_cli.core.dicom import Limits
    from ich_cli.core.explain import Explained, ExplainedSeries, ExplainOptions, RenderOptions
    from ich_cli.core.pictures import PictureWindow
    from ich_cli.core.predict import Predictor
    from ich_cli.core.series import Scan, Series, SliceRef
    from ich_cli.core.study import SeriesPrediction
    from ich_cli.core.system import Names

_ENDINGS = (
    ".dcm", ".dicom", ".dic", ".ima", ".nii.gz", ".nii", ".png", ".jpg", ".jpeg",
)  # fmt: skip
_SERIES_NAME = "series.explain.png"
Maps = dict[str, list[Path]]
"""Key of a series → its NIfTI volumes."""
_NONE_READ = "no slice could be read; `ich predict` gives the reason for each file"


def find(
    paths: Sequence[Path],
    frame: int | None,
    limits: Limits,
    names: Names,
    quiet: bool,
    window: PictureWindow | None,
) -> Scan:
    """Find slices; with `frame`, check that one of them has that frame number.

    Raises
    ------
    InputError
        If no file can be used.
    UsageError
        If no file has that frame.
    """
    from ich_cli.core.series import scan

    with progress("Finding slices", unit="files", quiet=quiet) as advance:
        found = scan(paths, limits, lambda count: advance(1), names, window=window)
    if not found.series:
        raise found.refused[0].error
    if frame and not _candidates(found, frame):
        raise UsageError(f"--frame {frame}: there is no such frame")
    return found


def run(
    found: Scan,
    options: ExplainOptions,
    render: RenderOptions,
    output: Path | None,
    frame: int | None,
    weights: str | None,
    device: str,
    nifti: Path | None = None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Explain one slice, or each series, and write one picture for each."""
    if nifti:
        make_folder(nifti)
    predictor = _load(weights, device, quiet)
    if predictor.caveat:
        warn(predictor.caveat)
    maps = _write_maps(predictor, found, nifti, options, quiet) if nifti else {}
    candidates = _candidates(found, frame)
    if len(candidates) == 1 or frame:
        chosen = _most_likely(predictor, found, candidates, options.limits, quiet)
        _slice(predictor, *chosen, options, render, output, frame, maps, as_json, quiet)
    else:
        _series(predictor, found, options, render, output, maps, as_json, quiet)
    if not as_json:
        note(RESEARCH_ONLY, quiet=quiet)


def default_name(path: str, frame: int | None = None) -> str:
    """Return the picture's file name: that of the DICOM file without folders and suffix.

    >>> default_name("scans/a.zip!series/IM.1.dcm")
    'IM.1.explain.png'
    """
    name = PurePosixPath(path.replace("\\", "/").replace("!", "/")).name
    ending = next((one for one in _ENDINGS if name.lower().endswith(one)), "")
    stem = name[: len(name) - len(ending)]
    return f"{stem or 'slice'}{f'.frame{frame}' if frame else ''}.explain.png"


def numbered(path: Path, number: int) -> Path:
    """Return the file name for series `number`, from 1; the first keeps the given name.

    >>> numbered(Path("series.explain.png"), 2).name
    'series-2.explain.png'
    """
    if number == 1:
        return path
    stem = path.stem.removesuffix(".explain")
    return path.with_name(f"{stem}-{number}{path.name[len(stem) :]}")


def _candidates(found: Scan, frame: int | None) -> list[tuple[Series, int]]:
    """Return series and index of all slices, or of those with a frame number."""
    return [
        (series, index)
        for series in found.series
        for index, ref in enumerate(series.slices)
        if frame in (None, ref.id.frame)
    ]


def _load(weights: str | None, device: str, quiet: bool) -> Predictor:
    with progress("Loading the model", unit="", quiet=quiet):
        from ich_cli.core.predict import Predictor

        return Predictor.load(weights, device=device)


def _most_likely(
    predictor: Predictor,
    found: Scan,
    among: list[tuple[Series, int]],
    limits: Limits,
    quiet: bool,
) -> tuple[Series, int]:
    """Return the slice with the highest probability of `any`."""
    from ich_cli.core.explain import top_slices

    if len(among) == 1:
        return among[0]
    slices = {one.series.key: one.slices for one in _predict(predictor, found, limits, quiet)}
    top = top_slices([slices[series.key][index] for series, index in among], count=1)
    if not top:
        raise NothingFoundError(_NONE_READ)
    return among[top[0]]


def _predict(
    predictor: Predictor, found: Scan, limits: Limits, quiet: bool
) -> list[SeriesPrediction]:
    with progress("Predicting", found.slices, quiet=quiet) as advance:
        return list(predictor.predict_all(found, limits=limits, progress=as_steps(advance)))


def _slice(
    predictor: Predictor,
    series: Series,
    index: int,
    options: ExplainOptions,
    render: RenderOptions,
    output: Path | None,
    frame: int | None,
    maps: Maps,
    as_json: bool,
    quiet: bool,
) -> None:
    from ich_cli.core.explain import explain_slice
    from ich_cli.core.viz import draw_panel, write_figure

    found = explain_slice(predictor, series, index, options)
    _warn_of_names([series.slices[index]], options.limits)
    path = output or Path(default_name(found.explanation.ct.id.path, frame))
    write_figure(path, draw_panel(found.panel(predictor, render)))
    if as_json:
        about = record(path, found, predictor, chosen=bool(options.labels))
        typer.echo(json.dumps({**about, **_paths(maps, series)}))
        return
    _show(found, chosen=bool(options.labels), quiet=quiet)
    _echo(path, maps, series)


def _series(
    predictor: Predictor,
    found: Scan,
    options: ExplainOptions,
    render: RenderOptions,
    output: Path | None,
    maps: Maps,
    as_json: bool,
    quiet: bool,
) -> None:
    from ich_cli.core.explain import by_urgency, explain_series
    from ich_cli.core.viz import draw_sheet, write_figure

    predictions = by_urgency(_predict(predictor, found, options.limits, quiet))
    if not predictions:
        raise NothingFoundError(_NONE_READ)
    with progress("Explaining", len(predictions), unit="series", quiet=quiet) as advance:
        for number, prediction in enumerate(predictions, 1):
            one = explain_series(predictor, prediction, options, window=render.windows[0])
            _warn_of_names(prediction.series.slices, options.limits)
            path = numbered(output or Path(_SERIES_NAME), number)
            write_figure(path, draw_sheet(one.sheet(predictor, render)))
            advance(1)
            if as_json:
                chosen = bool(options.labels)
                about = series_record(path, one, predictor, chosen=chosen)
                typer.echo(json.dumps({**about, **_paths(maps, prediction.series)}))
                continue
            _show_series(one, quiet)
            _echo(path, maps, prediction.series)


def _write_maps(
    predictor: Predictor, found: Scan, folder: Path, options: ExplainOptions, quiet: bool
) -> Maps:
    """Write the maps of all slices as NIfTI volumes, without --label those of all labels."""
    from ich_cli.core.explain import map_stems, volume_grid, write_nifti_maps

    stems, maps = map_stems(found.series), {}
    with progress("Writing maps", found.slices, quiet=quiet) as advance:
        for series in found.series:
            maps[series.key] = write_nifti_maps(
                predictor, series, folder, stems[series.key], options.labels or LABELS,
                method=options.method, limits=options.limits, progress=advance,
            )  # fmt: skip
            if note := volume_grid(series).note:
                warn(f"{folder / stems[series.key]}: {note}")
    return maps


def _paths(maps: Maps, series: Series) -> dict[str, list[str]]:
    """Return the entry of the record that names the NIfTI volumes, if there are some."""
    return {"nifti": list(map(str, maps[series.key]))} if series.key in maps else {}


def _echo(path: Path, maps: Maps, series: Series) -> None:
    """Print the names of the files of a series."""
    for one in (path, *maps.get(series.key, ())):
        typer.echo(str(one))


def _warn_of_names(refs: Sequence[SliceRef], limits: Limits) -> None:
    """Warn if a picture may show a patient's name; it is still drawn."""
    from ich_cli.core.series import shows_patient

    if any(shows_patient(ref, limits) for ref in refs):
        warn("patient data may be burned into the pixels; check the picture before you share it")


def _show(found: Explained, *, chosen: bool, quiet: bool) -> None:
    ct = found.explanation.ct
    note(f"slice: {ct.id.path} frame {ct.id.frame}", quiet=quiet)
    for remark in ct.notes:
        note(f"note: {remark}", quiet=quiet)
    note(f"labels: {why(found, chosen)}", quiet=quiet)
    _show_faithfulness(found, quiet)


def _show_series(one: ExplainedSeries, quiet: bool) -> None:
    predicted = sum(row.probabilities is not None for row in one.rows)
    note(f"series: {predicted} of {len(one.rows)} slices predicted", quiet=quiet)
    for index, found in one.worst:
        p = found.explanation.probabilities[LABELS.index(one.ranked_by)]
        id = found.explanation.ct.id
        note(f"slice {index + 1}: {one.ranked_by} {p:.3f}, {id.path} frame {id.frame}", quiet=quiet)
        _show_faithfulness(found, quiet)


def _show_faithfulness(found: Explained, quiet: bool) -> None:
    for label in found.explanation.maps:
        one = found.faithfulness.get(label)
        if one is None:
            note(f"{label}: the map is empty: nothing here raises the probability", quiet=quiet)
        else:
            note(
                f"{label}: this slice alone {one.before:.3f}; with the hottest tenth of the head "
                f"replaced {one.without:.3f}, with a random tenth {one.random_region:.3f}",
                quiet=quiet,
            )
