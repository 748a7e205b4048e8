"""``ich train``: prepared data to a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ich_cli.terminal import Device, Json, Quiet, Seed, console, typed_command

if TYPE_CHECKING:
    from ich_cli.core.data import PreparedDataset
    from ich_cli.core.train import Plan


def train(
    ctx: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Prepared data sets. The first is split and measured on; the others help to "
            "learn.",
            metavar="[DATA...]",
            show_default="./prepared",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="timm's name or an alias.")
    ] = "mobilenetv2",
    head: Annotated[
        Literal["linear", "cells"],
        typer.Option("--head", help="cells: tell where, then pool; best with --mask-weight."),
    ] = "linear",
    init: Annotated[
        str,
        typer.Option(
            "--init",
            help="none, imagenet (of the Hub), a safetensors FILE, a BUNDLE's folder or Hub id, or "
            "the folder of a RUN with the same folds: each fold goes on from its own.",
        ),
    ] = "imagenet",
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Short for --init imagenet, none.",
            show_default="pretrained",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the run.", show_default="runs/MODEL"),
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
    pseudo_labels: Annotated[
        Path | None,
        typer.Option(
            "--pseudo-labels",
            help="Answers of `ich predict` for the DATA without labels: what they learn from.",
            metavar="CSV",
            show_default=False,
        ),
    ] = None,
    pseudo: Annotated[
        Literal["soft", "hard"],
        typer.Option("--pseudo", help="Learn from probabilities, or from 0 and 1."),
    ] = "soft",
    pseudo_threshold: Annotated[
        str | None,
        typer.Option(
            "--pseudo-threshold",
            help="HIGH[,LOW]: a slice counts if each label is over HIGH or under LOW (1 - HIGH).",
            show_default="soft 0.5, hard 0.9",
        ),
    ] = None,
    sequence: Annotated[
        Literal["none", "smooth", "gru"],
        typer.Option(
            "--sequence",
            help="A second stage over the slices of a series: a kernel (smooth), or also a "
            "bidirectional GRU (gru). A finished run takes one by --resume --refit.",
        ),
    ] = "none",
    recipe: Annotated[
        Literal["none", "dlmi"],
        typer.Option("--recipe", help="Settings of the midterm project; those that are named win."),
    ] = "none",
    mix: Annotated[
        str | None,
        typer.Option(
            "--mix", help="Share of each data set that an epoch sees: 1,0.5", show_default=False
        ),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 10,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Slices a step.")] = 32,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, help="Parts of a step, to save memory.")
    ] = 1,
    lr: Annotated[float, typer.Option("--lr", help="Peak learning rate.")] = 5e-4,
    weight_decay: Annotated[float, typer.Option("--weight-decay")] = 0.02,
    warmup: Annotated[float, typer.Option("--warmup", help="Share of the steps.")] = 0.1,
    drop_rate: Annotated[
        float, typer.Option("--drop-rate", help="Dropout before the classifier.")
    ] = 0.2,
    label_weights: Annotated[
        str, typer.Option("--label-weights", help="Of each label in the loss.")
    ] = "2,1,1,1,1,1",
    pos_weight: Annotated[
        Literal["none", "sqrt", "full", "ratio"],
        typer.Option(
            "--pos-weight",
            help="Of positives in the loss: negatives / positives (ratio), at most 30 (full), its "
            "root (sqrt).",
        ),
    ] = "none",
    positives: Annotated[
        float, typer.Option("--positives", help="Share of an epoch with `any`; 0: as they come.")
    ] = 0.4,
    ema: Annotated[
        float, typer.Option("--ema", help="Decay of the averaged weights; 0: off.")
    ] = 0.99,
    mask_weight: Annotated[
        float,
        typer.Option("--mask-weight", help="Of the loss on where it bleeds, if known; 0: off."),
    ] = 0.0,
    transplants: Annotated[
        float,
        typer.Option(
            "--transplants", help="Share of slices without blood that get another's; 0: none."
        ),
    ] = 0.0,
    augmentation: Annotated[
        float, typer.Option("--augmentation", help="Strength; 0: left and right only.")
    ] = 1.0,
    flip_test: Annotated[
        bool, typer.Option("--flip-test/--no-flip-test", help="Validate on slice and mirror image.")
    ] = False,
    freeze_norms: Annotated[
        Literal["auto", "yes", "no"],
        typer.Option("--freeze-norms", help="Keep batch norms in eval mode; auto: if folded."),
    ] = "auto",
    grad_clip: Annotated[float, typer.Option("--grad-clip", help="0: off.")] = 1.0,
    precision: Annotated[
        Literal["auto", "no", "bf16", "fp16"], typer.Option("--precision", help="Of autocast.")
    ] = "auto",
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean",
            help="Of the input, one or one a window; by default ImageNet's.",
            show_default=False,
        ),
    ] = None,
    std: Annotated[str | None, typer.Option("--std", help="The same.", show_default=False)] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option("--checkpoint-minutes", help="Between checkpoints; 0: epochs only.")
    ] = 10.0,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from where a stopped run was.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a model on prepared data, by patient-level folds, and write a bundle.

    Example: ich train prepared --model resnet18 --folds 5 --refit
    """
    from ich_cli.core.system import is_main
    from ich_cli.core.train import RECIPES, CheckpointConfig, Plan, TrainConfig

    config = TrainConfig(
        model=model, head=head, init=_init(ctx, init, pretrained),
        epochs=epochs, batch_size=batch_size, accumulate=accumulate, lr=lr,
        weight_decay=weight_decay, warmup=warmup, drop_rate=drop_rate,
        label_weights=_numbers("--label-weights", label_weights), pos_weight=pos_weight,
        positives=positives, ema=ema, mask_weight=mask_weight, transplants=transplants,
        augmentation=augmentation, flip_test=flip_test, freeze_norms=freeze_norms,
        grad_clip=grad_clip, precision=precision, seed=seed,
    )  # fmt: skip
    of_recipe = RECIPES.get(recipe, {}).items()
    config = replace(config, **{k: v for k, v in of_recipe if not _is_given(ctx, k)})
    opened = _open(data)
    if pseudo_labels is not None:
        limits = _numbers("--pseudo-threshold", pseudo_threshold) if pseudo_threshold else ()
        opened = _with_pseudo_labels(opened, pseudo_labels, pseudo, limits, quiet=quiet)
    if recipe == "dlmi":
        _check_dlmi(opened[0], quiet=quiet)
    windows = len(opened[0].preprocess.windows)
    plan = Plan(
        config=config, data=tuple(opened), out=out or Path("runs") / Path(model).name,
        shares=_numbers("--mix", mix) if mix else (), folds=folds,
        mean=_per_window("--mean", mean, windows), std=_per_window("--std", std, windows),
        device=device, resume=resume, sequence=None if sequence == "none" else sequence,
        checkpoint=CheckpointConfig(checkpoint_minutes), command=typed_command(),
    )  # fmt: skip
    quiet = quiet or not is_main()
    _run(plan, fold, only_all=all_, with_refit=refit, quiet=quiet, as_json=json)


def _run(
    plan: Plan, fold: int | None, *, only_all: bool, with_refit: bool, quiet: bool, as_json: bool
) -> None:
    from ich_cli.core.errors import UsageError
    from ich_cli.core.system import is_main
    from ich_cli.core.train import begin, gather, refit, train_fold
    from ich_cli.terminal import watching

    if only_all and fold is not None:
        raise UsageError("--all trains on everything, --fold on a part: choose one")
    begin(plan)
    for one in () if only_all else range(plan.folds) if fold is None else (fold,):
        with watching(f"fold {one} of {plan.folds}", plan.config.epochs, quiet=quiet) as watch:
            train_fold(plan, one, watch)
    found = None if only_all else gather(plan)
    if found is not None and is_main():
        _tell(plan, found.reports["slice"].to_dict(), as_json)
    if only_all or (with_refit and found is not None):
        with watching("all patients", plan.config.epochs, quiet=quiet) as watch:
            bundle = refit(plan, found, watch)
        console.note(f"bundle: {bundle}", quiet=quiet)


def _tell(plan: Plan, report: dict[str, object], as_json: bool) -> None:
    from ich_cli.terminal import print_report

    title = f"{plan.data[0].name}, out of fold ({plan.folds} folds by patient), a slice"
    print_report(title, report, as_json=as_json)


def _open(folders: list[Path] | None) -> list[PreparedDataset]:
    from ich_cli.core.data import PreparedDataset
    from ich_cli.core.errors import DataError

    if folders:
        return [PreparedDataset.open(folder) for folder in folders]
    if not Path("prepared").exists():
        raise DataError(
            "no data named and no ./prepared; make it with `ich preprocess FOLDER --source rsna`, "
            "`… CT-ICH --source ct-ich`, or without data `ich preprocess --source phantom`"
        )
    return [PreparedDataset.open(Path("prepared"))]


def _with_pseudo_labels(
    data: list[PreparedDataset],
    predictions: Path,
    kind: Literal["soft", "hard"],
    limits: tuple[float, ...],
    *,
    quiet: bool,
) -> list[PreparedDataset]:
    from ich_cli.core.errors import UsageError
    from ich_cli.core.system import is_main
    from ich_cli.core.train import PseudoLabels, pseudo_label, tell

    if len(limits) > 2:
        raise typer.BadParameter("--pseudo-threshold is HIGH or HIGH,LOW")
    how = PseudoLabels(predictions, kind, *limits)
    if all(one.labelled for one in data[1:]):
        raise UsageError(
            "--pseudo-labels: none of the further DATA lacks labels; prepare the slices by "
            "`ich preprocess FOLDER -s unlabelled` and name that folder behind the labelled one"
        )
    given = [one if one.labelled else pseudo_label(one, data[0], how) for one in data[1:]]
    for one in given:
        if "pseudo_labels" in one.about:
            about = one.about["pseudo_labels"]
            console.note(f"{one.name}: {tell(about)}", quiet=quiet or not is_main())
    return [data[0], *given]


def _init(ctx: typer.Context, init: str, pretrained: bool | None) -> str:
    if pretrained is None:
        return init
    short = "imagenet" if pretrained else "none"
    if _is_given(ctx, "init") and init != short:
        option = "--pretrained" if pretrained else "--no-pretrained"
        raise typer.BadParameter(f"{option} is short for --init {short}; --init {init} is another")
    return short


def _is_given(ctx: typer.Context, name: str) -> bool:
    """Tell whether the user has typed an option."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_dlmi(data: PreparedDataset, *, quiet: bool) -> None:
    from ich_cli.core.errors import DataError

    if data.preprocess.preset != "dlmi":
        raise DataError(
            f"--recipe dlmi wants {data.name} as that project made its input; prepare it by "
            "`ich preprocess … --preset dlmi --size 512`"
        )
    side = data.preprocess.size
    if side != 512:
        console.note(f"the recipe's pictures have 512 pixels, these {side}", quiet=quiet)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: numbers with commas between") from None


def _per_window(option: str, text: str | None, windows: int) -> tuple[float, ...] | None:
    if text is None:
        return None
    numbers = _numbers(option, text)
    return numbers * windows if len(numbers) == 1 else numbers
