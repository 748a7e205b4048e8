"""Scale prepared pixels to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn prepared pixels into a model's input: divide by 255, subtract mean, divide by std.

    Parameters
    ----------
    pixels
        uint8 ``(N, C, S, S)``; windows vary fastest along C, slices slowest.
    mean, std
        One value a window; repeated over the slices.

    Returns
    -------
    torch.Tensor
        float32 of the same shape, on the same device.
    """
    slices = pixels.shape[1] // len(mean)
    shape = (1, pixels.shape[1], 1, 1)
    means = torch.tensor([*mean] * slices, device=pixels.device).view(shape)
    stds = torch.tensor([*std] * slices, device=pixels.device).view(shape)
    return (pixels.float() / 255.0 - means) / stds
