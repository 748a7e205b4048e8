"""Where a training starts from: nothing, ImageNet, a file or another bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ich_cli.core.bundle_files import WEIGHTS
from ich_cli.core.errors import BundleError, UsageError
from ich_cli.core.model import build_model, load_initial, resolve_architecture
from ich_cli.core.training_config import TrainConfig


def initialize(
    config: TrainConfig, channels: int, note: Callable[[str], None] = lambda text: None
) -> tuple[nn.Module, bool]:
    """Build a model and give it its initial weights.

    Parameters
    ----------
    config
        Model, init, dropout.
    channels
        Of the input.
    note
        Told what was taken.

    Returns
    -------
    tuple
        The model, and whether its batch norms are folded into the convolutions.

    Raises
    ------
    UsageError
        If `init` is nothing known.
    IchError
        If ImageNet weights cannot be fetched, or a file or bundle does not fit the model.
    """
    args: dict[str, Any] = {
        "in_chans": channels,
        "drop_rate": config.drop_rate,
        **config.model_args,
    }
    if config.init in ("none", "imagenet"):
        return build_model(config.model, pretrained=config.init == "imagenet", **args), False
    model = build_model(config.model, **args)
    path = Path(config.init)
    if path.is_file():
        report = load_initial(model, path)
        note(f"started from {path.name}: {report.tensors} tensors, classifier {report.classifier}")
        return model, report.folded_batch_norms
    if (path / WEIGHTS).is_file():
        return model, _from_bundle(model, path, config, channels, note)
    raise UsageError(f"--init {config.init}: neither none, imagenet, a file nor a bundle's folder")


def _from_bundle(
    model: nn.Module,
    folder: Path,
    config: TrainConfig,
    channels: int,
    note: Callable[[str], None],
) -> bool:
    from ich_cli.core.bundle import load_bundle

    found = load_bundle(folder).config
    if found.architecture != resolve_architecture(config.model):
        raise BundleError(f"--init {folder}: a bundle of {found.architecture}, not {config.model}")
    if found.preprocess.channels != channels:
        raise BundleError(
            f"--init {folder}: its input has {found.preprocess.channels} channels, not {channels}"
        )
    report = load_initial(model, folder / WEIGHTS)
    note(f"started from the bundle {folder}: classifier {report.classifier}")
    return bool(found.training.get("frozen_norms", False))
