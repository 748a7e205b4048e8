"""``ich preprocess``: labelled CT to a prepared data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ich_cli.core.errors import UsageError
from ich_cli.terminal import (
    AnonymousPaths,
    Json,
    Limit,
    PictureWindowOption,
    Quiet,
    Seed,
    Workers,
    console,
)

if TYPE_CHECKING:
    from ich_cli.core.preprocessing import PreprocessConfig

Source = Literal[
    "rsna", "ct-ich", "bhsd", "mbh", "seg-cq500", "instance", "cq500", "bhx", "hemseg",
    "headct200", "nifti", "dlmi", "folder", "unlabelled", "phantom",
]  # fmt: skip


def preprocess(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files and folders of the data; none for phantoms.",
            metavar="[PATHS...]",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        Source | None,
        typer.Option(
            "--source",
            "-s",
            help="Layout of the data; recognised where it is not given. folder: DICOM or NIfTI and "
            "any table of labels. unlabelled: images for --pseudo-labels. phantom: generated. "
            "The others: public data sets, see docs/datasets.md.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to create.", metavar="FOLDER")
    ] = Path("prepared"),
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Label table, where it is not beside the files.",
            metavar="CSV",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Folder of the images, for hemseg and bhx, which are masks and boxes only.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    window: PictureWindowOption = None,
    preset: Annotated[
        Literal["rsna", "dlmi"], typer.Option("--preset", help="Preprocessing preset.")
    ] = "rsna",
    size: Annotated[int, typer.Option("--size", help="Side of the input in pixels.")] = 256,
    context: Annotated[
        int, typer.Option("--context", help="Neighbours on each side, as channels.")
    ] = 0,
    studies: Annotated[int, typer.Option("--studies", help="Number of phantoms.", min=1)] = 100,
    seed: Seed = 0,
    workers: Workers = None,
    limit: Limit = None,
    anonymous_paths: AnonymousPaths = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Prepare labelled CT for training: windows, head crop, one array, splits by patient.

    Example: ich preprocess rsna/ -s rsna -o prepared --size 256
    """
    from ich_cli.core.data import open_source, preload_imports, prepare_dataset
    from ich_cli.core.system import worker_processes
    from ich_cli.terminal import parse_limits, parse_names, parse_window

    config = _config(preset, size, context)
    number = (os.cpu_count() or 1) if workers is None else workers
    with worker_processes(number, preload_imports) as pool:
        series, info = open_source(
            source, tuple(paths or ()), labels, images=images, studies=studies, seed=seed,
            window=parse_window(window), limits=parse_limits(limit),
            names=parse_names(anonymous_paths), pool=pool, remark=console.warn,
        )  # fmt: skip
        with console.progress("Preparing", len(series), unit="series", quiet=quiet) as advance:
            data = prepare_dataset(
                series, output, config, info,
                pool=pool, resume=resume, progress=lambda done, total: advance(1),
            )  # fmt: skip
    _print_summary(data.about, output, json)


def _config(preset: str, size: int, context: int) -> PreprocessConfig:
    from ich_cli.core.preprocessing import PreprocessConfig

    try:
        if preset == "dlmi":
            return PreprocessConfig.dlmi(size)
        return PreprocessConfig(size=size, context=context)
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def _print_summary(about: dict[str, object], output: Path, as_json: bool) -> None:
    import json

    from rich.table import Table

    if as_json:
        typer.echo(json.dumps({"folder": str(output), **about}, ensure_ascii=False))
        return
    title = (
        f"{output}: {about['slices']} slices of {about['patients']} patients, "
        f"{about['studies']} studies"
    )
    counts, source = about["labels"], about["source"]
    if about["labelled"] and isinstance(counts, dict):
        console.stdout().print(title, soft_wrap=True)
        table = Table()
        table.add_column("label")
        table.add_column("slices", justify="right")
        table.add_column("patients", justify="right")
        for label, count in counts.items():
            known = count["slices"] or not count.get("unknown")
            number, patients = (str(count[key]) if known else "-" for key in ("slices", "patients"))
            table.add_row(label, number, patients)
        console.stdout().print(table)
        if isinstance(source, dict) and source.get("label_level") == "study":
            console.note("labels are per study: for `ich evaluate`, not for training")
    else:
        console.stdout().print(f"{title}, without labels")
    if about["skipped"]:
        console.note(
            f"{about['skipped']} slices or files were skipped; see {output / 'skipped.csv'}"
        )
