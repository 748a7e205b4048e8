"""``ich ensemble``: join several runs with the same folds into one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ich_cli.terminal import Json, Quiet, console, typed_command


def ensemble(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...",
            help="Runs of ich train --refit with the same folds.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FOLDER",
            show_default=False,
            help="Prepared data set of the runs, at the size of any of them.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder to create.", metavar="FOLDER", show_default=False
        ),
    ],
    sequence: Annotated[
        Literal["none", "smooth", "gru"],
        typer.Option(
            "--sequence",
            help="Sequence model over the slices of a series, fitted on mean out-of-fold logits: "
            "a kernel (smooth), or also a bidirectional GRU (gru).",
        ),
    ] = "none",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Join the bundles of several runs into an ensemble, measured out of fold.

    Example: ich ensemble runs/seresnet50 runs/resnext50 --data prepared -o runs/both
    """
    from ich_cli.core.data import PreparedDataset
    from ich_cli.core.train import ensemble_runs
    from ich_cli.terminal import print_report

    kind = None if sequence == "none" else sequence
    found = ensemble_runs(runs, PreparedDataset.open(data), output, typed_command(), kind)
    title = f"{data.name}, {found.split}, per slice"
    print_report(title, found.reports["slice"].to_dict(), as_json=json)
    console.note(f"bundle: {output / 'bundle'}", quiet=quiet)
