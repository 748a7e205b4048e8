"""Options of ``ich evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ich_cli.terminal import (
    BatchSize,
    Device,
    Engine,
    Json,
    Quiet,
    Seed,
    Threshold,
    deprecated_aliases,
)

_SHARE = "LABEL=P|P"


@deprecated_aliases({"--oof": "--out-of-fold"})
def evaluate(
    bundles: Annotated[
        list[str] | None,
        typer.Option(
            "--bundle", "--weights", "-w", metavar="BUNDLE", show_default=False,
            help="Bundle to evaluate: a folder or owner/name@revision; may be repeated to compare. "
            "By default ICH_WEIGHTS, or the default bundle.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", show_default=False,
            help="Prepared data set to run bundles on; with --out-of-fold, for the images.",
        ),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions", "-p", metavar="CSV", show_default=False,
            help="Table of `ich predict`, or in RSNA's long layout; may be repeated to compare.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", "-l", help="Table of labels.", metavar="CSV", show_default=False),
    ] = None,
    out_of_fold: Annotated[
        list[Path] | None,
        typer.Option(
            "--out-of-fold", metavar="RUN", show_default=False,
            help="Folder or oof.csv of a training run: each slice is predicted by the fold that "
            "left it out; may be repeated to compare.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", show_default=False,
            help="Folder for report.html, metrics.json, figures/, top_errors.csv and card.md.",
        ),
    ] = None,
    by: Annotated[
        Literal["slice", "study"], typer.Option("--by", help="Unit of the printed metrics.")
    ] = "slice",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate", metavar="FOLDER", show_default=False,
            help="Prepared validation set: learn calibration, thresholds and study rule on it "
            "and write them into the bundle; metrics are of other patients.",
        ),
    ] = None,
    sensitivity: Annotated[
        list[str] | None,
        typer.Option(
            "--sensitivity", metavar=_SHARE, show_default=False,
            help="With --calibrate: least sensitivity of the threshold; by default any=0.95, "
            "and the best F1 for other labels.",
        ),
    ] = None,
    specificity: Annotated[
        list[str] | None,
        typer.Option(
            "--specificity", metavar=_SHARE, show_default=False,
            help="With --calibrate: least specificity of the threshold.",
        ),
    ] = None,
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap",
            help="With --calibrate: accept patients or slices that the bundle was trained on, or "
            "that are also in --data; a warning remains.",
        ),
    ] = False,
    threshold: Threshold = None,
    names: Annotated[
        bool,
        typer.Option("--names", help="Name slices in top errors; names may identify patients."),
    ] = False,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Bootstrap draws for the intervals; 0: none.")
    ] = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    engine: Engine = "torch",
    batch_size: BatchSize = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Evaluate predictions against labels, bundles on prepared data, or the folds of a run.

    Example: ich evaluate --bundle runs/first/bundle --data prepared/other -o evaluation
    """
    from ich_cli.commands.evaluate.run import EvaluateOptions, run

    run(
        EvaluateOptions(
            bundles or [], data, predictions or [], labels, out_of_fold or [], calibrate,
            sensitivity or [], specificity or [], threshold, output, by, bootstrap, seed, device,
            engine, batch_size, names, quiet, json, allow_overlap,
        )
    )  # fmt: skip
