"""Conversion of prepared slices to model input, for training and for prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ich_cli.core.labels import LABELS
from ich_cli.core.model import to_input
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.train.augment import (
    AugmentConfig,
    Draws,
    augment,
    draw_dlmi_pose,
    draw_pose,
    move,
)
from ich_cli.core.train.config import TrainConfig
from ich_cli.core.train.copy_paste import paste_hemorrhages
from ich_cli.core.train.dataset import Loaded, Selection, SliceDataset, in_order
from ich_cli.core.train.losses import mask_planes

Logits = NDArray[np.float32]


def training_batch(
    loaded: Loaded, config: TrainConfig, preprocess: PreprocessConfig, draws: Draws
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Augment a batch on the device of `draws`.

    Returns
    -------
    tuple
        Input float32 ``(N, C, S, S)``, labels float32 ``(N, 6)``, and mask planes float32
        ``(N, 6, S, S)`` where the loss uses them.
    """
    device = draws.generator.device
    pixels, labels = loaded[0].to(device), loaded[1].to(device)
    amounts = AugmentConfig.of_strength(config.augmentation)
    widths = [window.width for window in preprocess.windows]
    mean, std = preprocess.mean, preprocess.std
    if config.augmentations == "dlmi":
        moved = move(pixels.float(), draw_dlmi_pose(len(pixels), draws), "border")
        return to_input(moved, mean, std), labels, None
    if loaded[2] is None:
        x = augment(pixels, amounts, widths, draws)
        return to_input(x, mean, std), labels, None
    masks = loaded[2].to(device)
    if config.copy_paste:
        batch = pixels, labels, masks
        pixels, labels, masks = paste_hemorrhages(
            batch, config.copy_paste, preprocess.windows, draws.generator
        )
    pose = draw_pose(len(pixels), amounts, draws)
    x = to_input(augment(pixels, amounts, widths, draws, pose), mean, std)
    planes = move(mask_planes(masks), pose) if config.mask_weight else None
    return x, labels, planes


def predict_logits(
    model: nn.Module,
    selection: Selection,
    preprocess: PreprocessConfig,
    *,
    batch_size: int = 32,
    flip: bool = False,
    autocast: Callable[[], Any] | None = None,
) -> Logits:
    """Return the logits of prepared slices, float32 ``(n, 6)``, in the order of the rows.

    Parameters
    ----------
    model
        In eval mode; the batches are moved to its device.
    selection
        Slices to predict.
    preprocess
        Settings whose mean and std normalize the pixels.
    batch_size
        Slices per batch.
    flip
        Average the logits of a slice and its mirror image.
    autocast
        Context manager factory for a lower precision; None computes in float32.
    """
    device = next(model.parameters()).device
    slices, out = SliceDataset([selection]), []
    for indices in in_order(len(slices), batch_size):
        x = slices.__getitems__(indices.tolist())[0].to(device)
        with torch.inference_mode(), (autocast or torch.inference_mode)():
            views = [x, x.flip(-1)] if flip else [x]
            inputs = [to_input(view, preprocess.mean, preprocess.std) for view in views]
            logits = torch.stack([model(view).float() for view in inputs]).mean(0)
        out.append(logits.cpu().numpy())
    return np.concatenate(out) if out else np.zeros((0, len(LABELS)), np.float32)
