"""Objects that a training starts with: accelerator, initial model, mask supervision, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]
from torch import nn

from ich_cli.core.bundle import WEIGHTS, is_hub_id, load_bundle, resolve_weights
from ich_cli.core.errors import BundleError, DataError, UsageError
from ich_cli.core.model import (
    PatchClassifier,
    build_model,
    load_initial,
    resolve_architecture,
    resolve_device,
)
from ich_cli.core.train.config import TrainConfig
from ich_cli.core.train.dataset import Selection
from ich_cli.core.train.losses import MaskLearner, PatchMaskLearner


class InitialModel(NamedTuple):
    """A model before its first step."""

    model: nn.Module
    folded: bool
    """True where batch norms are folded into the convolutions and must stay in eval mode."""
    origin: str
    """Source of its weights; for the Hub, with the commit."""


def make_accelerator(device: str, precision: str) -> Any:
    """Return an Accelerator on a device; ``auto`` precision selects bf16 where it is fast."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    wanted = resolve_device(device)
    if wanted.type == "cuda" and wanted.index is not None:
        torch.cuda.set_device(wanted)
    if precision == "auto":
        precision = "bf16" if _has_fast_bf16(wanted) else "no"
    if precision == "fp16" and wanted.type == "cpu":
        raise UsageError("fp16 needs a GPU; on a CPU use --precision bf16 or no")
    AcceleratorState._reset_state(True)  # a singleton that would keep an earlier run's settings
    return Accelerator(mixed_precision=precision, cpu=wanted.type == "cpu")


def _has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def build_initial_model(
    config: TrainConfig, channels: int, note: Callable[[str], None] = lambda text: None
) -> InitialModel:
    """Build a model and load its initial weights.

    Parameters
    ----------
    config
        Settings; `model`, `head`, `init` and `drop_rate` are used.
    channels
        Number of input channels.
    note
        Called with a message about the loaded weights.

    Raises
    ------
    UsageError
        If `init` is not one of the known forms.
    HubError
        If a bundle cannot be downloaded from the Hub.
    IchError
        If ImageNet weights cannot be downloaded, or a file or bundle does not fit the model.
    """
    args: dict[str, Any] = {
        "in_chans": channels,
        "drop_rate": config.drop_rate,
        **config.model_args,
    }
    if config.init in ("none", "imagenet"):
        model = build_model(config.model, pretrained=config.init == "imagenet", **args)
        origin = _pretrained_name(model) if config.init == "imagenet" else "none"
        return InitialModel(model, False, origin)
    model = build_model(config.model, **args)
    path = Path(config.init).expanduser()
    if path.is_file():
        report = load_initial(model, path)
        note(f"started from {path.name}: {report.tensors} tensors, classifier {report.classifier}")
        return InitialModel(model, report.folded_batch_norms, path.name)
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


def _pretrained_name(model: nn.Module) -> str:
    """Return the name of the timm weights that a model was created with."""
    about = getattr(getattr(model, "backbone", model), "pretrained_cfg", {})
    return str(about.get("hf_hub_id") or about.get("architecture") or "imagenet")


def _from_bundle(
    model: nn.Module,
    folder: Path,
    origin: str,
    config: TrainConfig,
    channels: int,
    note: Callable[[str], None],
) -> InitialModel:
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
    return InitialModel(model, bool(found.training.get("frozen_norms", False)), origin)


def uses_masks(config: TrainConfig) -> bool:
    """Return True where a training reads lesion masks."""
    return config.mask_weight > 0 or config.copy_paste > 0


def add_mask_outputs(
    model: nn.Module, config: TrainConfig, selections: Sequence[Selection]
) -> nn.Module:
    """Return the model to train: with map outputs where the loss on masks is on.

    Raises
    ------
    DataError
        If masks are needed and no data set has them.
    """
    if uses_masks(config) and all(one.data.masks is None for one in selections):
        raise DataError(
            "no data set has lesion masks; remove --mask-weight and --copy-paste, or "
            "prepare phantoms, or CT-ICH with its boxes.csv"
        )
    if not config.mask_weight:
        return model
    return PatchMaskLearner(model) if isinstance(model, PatchClassifier) else MaskLearner(model)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a model's parameters."""
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), config.lr, weight_decay=config.weight_decay)
    groups = param_groups_weight_decay(model, config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr)
