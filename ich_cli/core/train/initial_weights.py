"""Where a training starts from: nothing, ImageNet, a file, or another bundle, of the Hub too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from ich_cli.core.bundle import WEIGHTS, is_hub_id, resolve_weights
from ich_cli.core.errors import BundleError, UsageError
from ich_cli.core.model import build_model, load_initial, resolve_architecture
from ich_cli.core.train.config import TrainConfig


class Start(NamedTuple):
    """A model before its first step."""

    model: nn.Module
    folded: bool
    """Its batch norms are folded into the convolutions: they must stay in eval mode."""
    origin: str
    """Where its weights come from; of the Hub, with the commit."""


def initialize(
    config: TrainConfig, channels: int, note: Callable[[str], None] = lambda text: None
) -> Start:
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
    Start
        The model and where it comes from.

    Raises
    ------
    UsageError
        If `init` is nothing known.
    HubError
        If the Hub does not give a bundle.
    IchError
        If ImageNet weights cannot be fetched, or a file or bundle does not fit the model.
    """
    args: dict[str, Any] = {
        "in_chans": channels,
        "drop_rate": config.drop_rate,
        **config.model_args,
    }
    if config.init in ("none", "imagenet"):
        model = build_model(config.model, pretrained=config.init == "imagenet", **args)
        return Start(model, False, _published(model) if config.init == "imagenet" else "none")
    model = build_model(config.model, **args)
    path = Path(config.init).expanduser()
    if path.is_file():
        report = load_initial(model, path)
        note(f"started from {path.name}: {report.tensors} tensors, classifier {report.classifier}")
        return Start(model, report.folded_batch_norms, path.name)
    if (path / WEIGHTS).is_file():
        return _from_bundle(model, path, path.as_posix(), config, channels, note)
    if not path.exists() and is_hub_id(config.init):
        folder = resolve_weights(config.init)
        origin = f"{config.init.partition('@')[0]}@{folder.name}"
        return _from_bundle(model, folder, origin, config, channels, note)
    raise UsageError(
        f"--init {config.init}: neither none, imagenet, a file, a bundle's folder nor "
        "owner/name[@revision] on the Hub"
    )


def _published(model: nn.Module) -> str:
    """Return which of timm's published weights a model has."""
    about = getattr(getattr(model, "backbone", model), "pretrained_cfg", {})
    return str(about.get("hf_hub_id") or about.get("architecture") or "imagenet")


def _from_bundle(
    model: nn.Module,
    folder: Path,
    origin: str,
    config: TrainConfig,
    channels: int,
    note: Callable[[str], None],
) -> Start:
    from ich_cli.core.bundle import load_bundle

    found = load_bundle(folder).config
    if found.members:
        raise BundleError(f"--init {origin}: an ensemble; start from one of its members")
    if found.architecture != resolve_architecture(config.model).partition(".")[0]:
        raise BundleError(f"--init {origin}: a bundle of {found.architecture}, not {config.model}")
    if found.preprocess.channels != channels:
        raise BundleError(
            f"--init {origin}: its input has {found.preprocess.channels} channels, not {channels}"
        )
    report = load_initial(model, folder / WEIGHTS)
    note(f"started from the bundle {origin}: classifier {report.classifier}")
    return Start(model, bool(found.training.get("frozen_norms", False)), origin)
