"""``ich train``: train a bundle on prepared data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ich_cli.core.train import TrainConfig
from ich_cli.terminal import (
    Device,
    Json,
    Quiet,
    Seed,
    console,
    deprecated_aliases,
    settings_options,
    typed_command,
)

if TYPE_CHECKING:
    from ich_cli.core.data import PreparedDataset
    from ich_cli.core.train import Plan

_DATA = "Data and pseudo-labels"
_LOSS = "Loss"
_RENAMED = {
    "--out": "--output",
    "--mix": "--sampling-weights",
    "--positives": "--positive-fraction",
    "--transplants": "--copy-paste",
    "--head=cells": "--head=patch",
}


@deprecated_aliases(_RENAMED)
@settings_options(TrainConfig, after="data", short={"model": "-m"})
def train(
    ctx: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DATA...]",
            show_default="./prepared",
            help="Prepared data sets. The first is split and evaluated, the others are only "
            "trained on.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run.", show_default="runs/MODEL"),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", help="Folds by patient.", min=2)] = 5,
    fold: Annotated[
        int | None, typer.Option("--fold", help="Train this fold only, from 0.", show_default=False)
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Train on all patients, without validation.")
    ] = False,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="After the folds, train on all patients and write the bundle."
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    init: Annotated[
        str,
        typer.Option(
            "--init",
            help="Initial weights: none, imagenet (from the Hub), a safetensors FILE, a BUNDLE's "
            "folder or Hub id, or the folder of a RUN with the same folds; each fold then starts "
            "from its own.",
        ),
    ] = "imagenet",
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            show_default="pretrained",
            help="Short for --init imagenet, --init none.",
        ),
    ] = None,
    sequence: Annotated[
        Literal["none", "smooth", "gru"],
        typer.Option(
            "--sequence",
            help="Sequence model over the slices of a series: a kernel (smooth), or also a "
            "bidirectional GRU (gru). Add it to a finished run with --resume --refit.",
        ),
    ] = "none",
    recipe: Annotated[
        Literal["none", "dlmi"],
        typer.Option(
            "--recipe", help="Settings of the predecessor project; other options override them."
        ),
    ] = "none",
    sampling_weights: Annotated[
        str | None,
        typer.Option(
            "--sampling-weights",
            metavar="W[,W…]",
            show_default=False,
            rich_help_panel=_DATA,
            help="Fraction of each data set that an epoch samples: 1,0.5.",
        ),
    ] = None,
    pseudo_labels: Annotated[
        Path | None,
        typer.Option(
            "--pseudo-labels",
            metavar="CSV",
            show_default=False,
            rich_help_panel=_DATA,
            help="Predictions of `ich predict` as labels for the DATA without labels.",
        ),
    ] = None,
    pseudo: Annotated[
        Literal["soft", "hard"],
        typer.Option(
            "--pseudo",
            rich_help_panel=_DATA,
            help="Use pseudo-labels as probabilities, or as 0 and 1.",
        ),
    ] = "soft",
    pseudo_threshold: Annotated[
        str | None,
        typer.Option(
            "--pseudo-threshold",
            show_default="soft 0.5, hard 0.9",
            rich_help_panel=_DATA,
            help="HIGH[,LOW]: use slices with each label at least HIGH or at most LOW (1 - HIGH).",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean",
            show_default=False,
            rich_help_panel=_DATA,
            help="Mean of the input, one value or one per window; default: ImageNet's.",
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            "--std",
            show_default=False,
            rich_help_panel=_DATA,
            help="Standard deviation of the input, likewise.",
        ),
    ] = None,
    label_weights: Annotated[
        str,
        typer.Option(
            "--label-weights", rich_help_panel=_LOSS, help="Weight of each label in the loss."
        ),
    ] = "2,1,1,1,1,1",
    checkpoint_minutes: Annotated[
        float,
        typer.Option(
            "--checkpoint-minutes", help="Interval between checkpoints; 0: after epochs only."
        ),
    ] = 10.0,
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap",
            help="Start from --init weights that were trained on validation slices.",
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
    json: Json = False,
    **settings: Any,
) -> None:
    """Train a model on prepared data, by patient-level folds, and write a bundle.

    Example: ich train prepared --model resnet18 --folds 5 --refit
    """  # fmt: skip
    from ich_cli.core.system import is_main
    from ich_cli.core.train import RECIPES, CheckpointConfig, Plan, PseudoLabels

    settings |= {"init": _initial_weights(ctx, init, pretrained), "seed": seed}
    settings["label_weights"] = _numbers("--label-weights", label_weights)
    config = TrainConfig(**settings)
    of_recipe = RECIPES.get(recipe, {}).items()
    config = replace(config, **{k: v for k, v in of_recipe if not _is_given(ctx, k)})
    opened = _open(data)
    if pseudo_labels is not None:
        limits = _numbers("--pseudo-threshold", pseudo_threshold) if pseudo_threshold else ()
        if len(limits) > 2:
            raise typer.BadParameter("--pseudo-threshold is HIGH or HIGH,LOW")
        source = PseudoLabels(pseudo_labels, pseudo, *limits)
        opened = _add_pseudo_labels(opened, source, quiet=quiet or not is_main())
    if recipe == "dlmi":
        _check_dlmi(opened[0], quiet=quiet)
    windows = len(opened[0].preprocess.windows)
    plan = Plan(
        config=config,
        data=tuple(opened),
        out=output or Path("runs") / Path(config.model).name,
        sampling_weights=_numbers("--sampling-weights", sampling_weights),
        folds=folds,
        mean=_per_window("--mean", mean, windows),
        std=_per_window("--std", std, windows),
        device=device,
        resume=resume,
        sequence=None if sequence == "none" else sequence,
        checkpoint=CheckpointConfig(checkpoint_minutes),
        command=typed_command(),
        allow_overlap=allow_overlap,
    )
    quiet = quiet or not is_main()
    _run(plan, fold, only_all=all_, with_refit=refit, quiet=quiet, as_json=json)


def _run(
    plan: Plan, fold: int | None, *, only_all: bool, with_refit: bool, quiet: bool, as_json: bool
) -> None:
    from ich_cli.core.errors import UsageError
    from ich_cli.core.system import is_main
    from ich_cli.core.train import (
        check_initial_weights,
        collect_out_of_fold,
        refit,
        start_run,
        train_fold,
    )
    from ich_cli.terminal import print_report, show_training

    if only_all and fold is not None:
        raise UsageError("--all and --fold exclude each other")
    epochs = plan.config.epochs
    folds = () if only_all else range(plan.folds) if fold is None else (fold,)
    warnings = [plan.overlap.describe()] if plan.overlap.describe() else []
    for one in folds:
        check_initial_weights(plan, one, warnings.append)
    start_run(plan)
    for warning in dict.fromkeys(warnings) if is_main() else ():
        console.warn(warning)
    for one in folds:
        with show_training(f"fold {one} of {plan.folds}", epochs, quiet=quiet) as callbacks:
            train_fold(plan, one, callbacks)
    found = None if only_all else collect_out_of_fold(plan)
    if found is not None and is_main():
        title = f"{plan.data[0].name}, out of fold ({plan.folds} folds by patient), per slice"
        print_report(title, found.reports["slice"].to_dict(), as_json=as_json)
    if only_all or (with_refit and found is not None):
        with show_training("all patients", epochs, quiet=quiet) as callbacks:
            bundle = refit(plan, found, callbacks)
        console.note(f"bundle: {bundle}", quiet=quiet)


def _open(folders: list[Path] | None) -> list[PreparedDataset]:
    from ich_cli.core.data import PreparedDataset
    from ich_cli.core.errors import DataError

    if not folders and not Path("prepared").exists():
        raise DataError(
            "no DATA given and no ./prepared; make it with `ich preprocess FOLDER --source rsna`, "
            "`… CT-ICH --source ct-ich`, or without data `ich preprocess --source phantom`"
        )
    return [PreparedDataset.open(folder) for folder in folders or [Path("prepared")]]


def _add_pseudo_labels(
    data: list[PreparedDataset], source: Any, *, quiet: bool
) -> list[PreparedDataset]:
    """Add pseudo-labels to the data sets without labels behind the first."""
    from ich_cli.core.errors import UsageError
    from ich_cli.core.train import apply_pseudo_labels, describe_pseudo_labels

    if all(one.labelled for one in data[1:]):
        raise UsageError(
            "--pseudo-labels needs DATA without labels; prepare the slices with "
            "`ich preprocess FOLDER -s unlabelled` and add that folder after the labelled one"
        )
    out = data[:1]
    for one in data[1:]:
        out.append(one if one.labelled else apply_pseudo_labels(one, data[0], source))
        if about := out[-1].about.get("pseudo_labels"):
            console.note(f"{one.name}: {describe_pseudo_labels(about)}", quiet=quiet)
    return out


def _initial_weights(ctx: typer.Context, init: str, pretrained: bool | None) -> str:
    if pretrained is None:
        return init
    short = "imagenet" if pretrained else "none"
    if _is_given(ctx, "init") and init != short:
        option = "--pretrained" if pretrained else "--no-pretrained"
        raise typer.BadParameter(f"{option} means --init {short}, but --init {init} is given too")
    return short


def _is_given(ctx: typer.Context, name: str) -> bool:
    """Return True where an option is on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_dlmi(data: PreparedDataset, *, quiet: bool) -> None:
    from ich_cli.core.errors import DataError

    if data.preprocess.preset != "dlmi":
        raise DataError(
            f"--recipe dlmi needs {data.name} prepared with that preset; run "
            "`ich preprocess … --preset dlmi --size 512`"
        )
    side = data.preprocess.size
    if side != 512:
        console.note(f"the recipe uses 512 pixels, {data.name} has {side}", quiet=quiet)


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: expected numbers separated by commas") from None


def _per_window(option: str, text: str | None, windows: int) -> tuple[float, ...] | None:
    numbers = _numbers(option, text)
    return (numbers * windows if len(numbers) == 1 else numbers) or None
