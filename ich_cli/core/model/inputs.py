"""Scale prepared pixels to a network's input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_input(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn prepared pixels into a network's input: divide by 255, subtract mean, divide by std.

    Parameters
    ----------
    pixels
        ``(N, C, S, S)``, 0 to 255; windows vary fastest along C, slices slowest.
    mean, std
        One value per window; repeated over the slices.

    Returns
    -------
    torch.Tensor
        float32 of the same shape, on the same device, channels last, which is the fastest layout.
    """
    slices = pixels.shape[1] // len(mean)
    shape = (1, pixels.shape[1], 1, 1)
    means = torch.tensor([*mean] * slices, device=pixels.device).view(shape)
    stds = torch.tensor([*std] * slices, device=pixels.device).view(shape)
    scaled = (pixels.float() / 255.0 - means) / stds
    return scaled.contiguous(memory_format=torch.channels_last)
