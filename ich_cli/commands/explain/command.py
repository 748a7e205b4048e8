"""Options of ``ich explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ich_cli.commands.explain.benchmark import run_benchmark
from ich_cli.commands.explain.run import find, run
from ich_cli.core.errors import UsageError
from ich_cli.core.imaging import DISPLAY_WINDOWS, OPACITY, STYLES, Style
from ich_cli.core.labels import LABELS
from ich_cli.terminal import (
    AnonymousPaths,
    Device,
    Json,
    Limit,
    NiftiFolder,
    Output,
    PictureWindowOption,
    Quiet,
    Seed,
    Weights,
    deprecated_aliases,
    parse_limits,
    parse_names,
    parse_window,
)

if TYPE_CHECKING:
    from ich_cli.core.explain import RenderOptions

Scans = Annotated[
    list[Path] | None,
    typer.Argument(
        help="DICOM and NIfTI files, folders or zips; PNG and JPEG with --window.", metavar="PATHS",
        show_default=False,
    ),
]  # fmt: skip
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", "-l", metavar="LABEL", show_default=False,
        help=f"Explain this label; may be repeated. One of {', '.join(LABELS)}.",
    ),
]  # fmt: skip
AllLabels = Annotated[bool, typer.Option("--all-labels", help="Explain all six.")]
Method = Annotated[
    str | None,
    typer.Option(
        "--method", metavar="NAME", show_default=False,
        help="patch, the patch probabilities of a model with a patch head (the default with one); "
        "gradcam (the default with others), hirescam, layercam, gradcam++, xgradcam; or eigencam, "
        "which uses no gradient and ignores the label.",
    ),
]  # fmt: skip
Frame = Annotated[
    int | None,
    typer.Option(
        "--frame", min=1, metavar="N", show_default=False,
        help="Only this frame of a multi-frame file.",
    ),
]  # fmt: skip
WindowNames = Annotated[
    list[str] | None,
    typer.Option(
        "--display-window", metavar="NAME", show_default=False,
        help=f"{', '.join(DISPLAY_WINDOWS)}; may be repeated, the maps lie over the first. "
        "Without it brain.",
    ),
]  # fmt: skip
StyleName = Annotated[
    str, typer.Option("--style", metavar="NAME", help=f"{' or '.join(STYLES)} over the picture.")
]
Opacity = Annotated[
    float, typer.Option("--opacity", min=0.0, max=1.0, help="Of the strongest map value.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", show_default=False,
        help="In place of PATHS: score the methods on a data set with lesion masks, from `ich "
        "phantom`, or CT-ICH with boxes.csv; -o writes the table as CSV, or Markdown (.md).",
    ),
]  # fmt: skip
OutOfFold = Annotated[
    list[Path] | None,
    typer.Option(
        "--out-of-fold", metavar="RUN", show_default=False,
        help="With --data: folder of `ich train`; each fold's bundle is scored on the slices it "
        "left out. May be repeated: the runs are scored as an ensemble.",
    ),
]  # fmt: skip

_OLD_WINDOWS = {f"--window={name}": f"--display-window={name}" for name in DISPLAY_WINDOWS}


@deprecated_aliases({"--evaluate": "--data", "--method=cells": "--method=patch", **_OLD_WINDOWS})
def explain(
    paths: Scans = None,
    output: Output = None,
    label: Labels = None,
    all_labels: AllLabels = False,
    method: Method = None,
    frame: Frame = None,
    window: PictureWindowOption = None,
    display_window: WindowNames = None,
    style: StyleName = "heat",
    opacity: Opacity = OPACITY,
    nifti: NiftiFolder = None,
    data: Data = None,
    out_of_fold: OutOfFold = None,
    weights: Weights = None,
    device: Device = "auto",
    seed: Seed = 0,
    limit: Limit = None,
    anonymous_paths: AnonymousPaths = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Explain predictions with heat maps, and measure how faithful the maps are.

    One slice: an image of the slice beside a map for each label. A series: probabilities of all
    slices, and the slices with the highest ones large; several series: one image each, the most
    urgent first. Without -o, files are written to the current folder as NAME.explain.png or
    series.explain.png.

    Example: ich explain scan.dcm -o scan.png --label subdural

    Example: ich explain --data phantoms/ -o methods.csv
    """
    _check(paths, label, all_labels, frame, style, data, out_of_fold)
    if nifti and (frame or data):
        raise UsageError("--nifti writes whole series; leave out --frame and --data")
    limits = parse_limits(limit)
    if data:
        run_benchmark(
            data, out_of_fold or [], output, method, weights, device, seed, limits,
            as_json=json, quiet=quiet,
        )  # fmt: skip
        return
    from ich_cli.core.explain import ExplainOptions

    wanted = LABELS if all_labels else tuple(dict.fromkeys(label or ()))
    options = ExplainOptions(wanted, method or "auto", seed, limits)
    render = _render_options(display_window, style, opacity)
    names = parse_names(anonymous_paths)
    found = find(paths or [], frame, limits, names, quiet, parse_window(window))
    run(found, options, render, output, frame, weights, device, nifti, as_json=json, quiet=quiet)


def _check(
    paths: list[Path] | None,
    label: list[str] | None,
    all_labels: bool,
    frame: int | None,
    style: str,
    data: Path | None,
    out_of_fold: list[Path] | None,
) -> None:
    if bool(paths) == bool(data):
        raise UsageError("give PATHS to explain, or --data FOLDER")
    if data and (label or all_labels or frame):
        raise UsageError("--data scores all labels; leave out --label, --all-labels and --frame")
    if out_of_fold and not data:
        raise UsageError("--out-of-fold needs --data")
    if label and all_labels:
        raise UsageError("--all-labels already has every --label; give one of the two")
    if style not in STYLES:
        raise UsageError(f"--style {style}: a style is one of {', '.join(STYLES)}")
    for one in label or ():
        if one not in LABELS:
            raise UsageError(f"--label {one}: a label is one of {', '.join(LABELS)}")


def _render_options(names: list[str] | None, style: str, opacity: float) -> RenderOptions:
    from ich_cli.core.explain import RenderOptions

    chosen = tuple(dict.fromkeys(names or ["brain"]))
    for name in chosen:
        if name not in DISPLAY_WINDOWS:
            known = ", ".join(DISPLAY_WINDOWS)
            raise UsageError(f"--display-window {name}: a window is one of {known}")
    windows = tuple(DISPLAY_WINDOWS[name] for name in chosen)
    return RenderOptions(windows, cast(Style, style), opacity)
