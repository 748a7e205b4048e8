"""``ich evaluate``: how good predictions, bundles or the folds of a run are."""

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
            help="A bundle's folder or owner/name@revision; several are compared; nothing: "
            "ICH_WEIGHTS, or the one that ships.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", show_default=False,
            help="Prepared data set to run bundles on; with --out-of-fold, for the pictures.",
        ),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions", "-p", metavar="CSV", show_default=False,
            help="Table that `ich predict` wrote, or RSNA's long layout; several are compared.",
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
            help="Folder or oof.csv of a training run: each slice by the fold that did not see "
            "it; several are compared.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", show_default=False,
            help="Write report.html, metrics.json, figures/, worst.csv and card.md here.",
        ),
    ] = None,
    by: Annotated[
        Literal["slice", "study"], typer.Option("--by", help="What the printed table counts.")
    ] = "slice",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate", metavar="FOLDER", show_default=False,
            help="Prepared validation set: learn temperature, thresholds and rule for studies "
            "on it and write them into the bundle; shown on other patients only.",
        ),
    ] = None,
    sensitivity: Annotated[
        list[str] | None,
        typer.Option(
            "--sensitivity", metavar=_SHARE, show_default=False,
            help="With --calibrate: find at least this share; by default any=0.95, and the best "
            "F1 of what is not named.",
        ),
    ] = None,
    specificity: Annotated[
        list[str] | None,
        typer.Option(
            "--specificity", metavar=_SHARE, show_default=False,
            help="With --calibrate: leave at least this share of negatives alone.",
        ),
    ] = None,
    threshold: Threshold = None,
    names: Annotated[
        bool,
        typer.Option("--names", help="Name the worst slices as the data do; may tell of patients."),
    ] = False,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Draws for the intervals; 0: none.")
    ] = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    engine: Engine = "torch",
    batch_size: BatchSize = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Measure predictions against labels, bundles on prepared data, or the folds of a run.

    Example: ich evaluate --bundle runs/first/bundle --data prepared/other -o evaluation
    """
    from ich_cli.commands.evaluate.run import Request, run

    run(
        Request(
            bundles or [], data, predictions or [], labels, out_of_fold or [], calibrate,
            sensitivity or [], specificity or [], threshold, output, by, bootstrap, seed, device,
            engine, batch_size, names, quiet, json,
        )
    )  # fmt: skip
