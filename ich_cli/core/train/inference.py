"""Prepared slices through a model: shared by training, validation and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import resolve_device, to_input
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.train.sampler import Selection, SliceDataset, in_order

Logits = NDArray[np.float32]


def predict_logits(
    model: nn.Module,
    selection: Selection,
    preprocess: PreprocessConfig,
    *,
    batch_size: int = 32,
    flip: bool = False,
    autocast: Callable[[], Any] | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> Logits:
    """Return the logits of prepared slices, float32 ``(n, 6)``, in the order of the rows.

    Parameters
    ----------
    model
        In eval mode; its device is used.
    selection
        Which slices.
    preprocess
        For mean and std.
    batch_size
        Slices at once.
    flip
        Mean of the logits of a slice and its mirror image.
    autocast
        Makes the context for a lower precision.
    advance
        Told the number of slices after each batch.
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
        advance(len(indices))
    return np.concatenate(out) if out else np.zeros((0, len(LABELS)), np.float32)


def make_accelerator(device: str, precision: str) -> Any:
    """Return an Accelerator on a device; ``auto`` precision takes bf16 where it is fast."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    wanted = resolve_device(device)
    if wanted.type == "cuda" and wanted.index is not None:
        torch.cuda.set_device(wanted)
    if precision == "auto":
        precision = "bf16" if _has_fast_bf16(wanted) else "no"
    if precision == "fp16" and wanted.type == "cpu":
        raise UsageError("fp16 wants a GPU; on a CPU take --precision bf16 or no")
    AcceleratorState._reset_state(True)  # it is one a process, and would keep an earlier run's
    return Accelerator(mixed_precision=precision, cpu=wanted.type == "cpu")


def _has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())
