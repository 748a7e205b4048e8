"""Depthwise convolutions in float32 under bf16 autocast on CPUs, where bf16 is slow.

For depthwise convolutions with a stride or a kernel larger than 3 x 3, oneDNN has fast backward
kernels in float32 but not in bf16. Excluding them from autocast makes a step of MobileNetV2 at
256 px 1.45 times as fast, and one of EfficientNet-Lite0 twice as fast (docs/results.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _in_float32(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    """Return a subclass of a convolution class that computes outside autocast."""

    def forward(self: nn.Conv2d, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return kind.forward(self, input.float())

    return type(f"Float32{kind.__name__}", (kind,), {"forward": forward})


def keep_slow_depthwise_in_float32(model: nn.Module) -> None:
    """Exclude the depthwise convolutions that are slow in bf16 from autocast, in place.

    Parameters and their names do not change.
    """
    for layer in model.modules():
        if not isinstance(layer, nn.Conv2d) or not layer.groups == layer.in_channels > 1:
            continue
        if max(layer.stride) > 1 or max(layer.kernel_size) > 3:
            layer.__class__ = _in_float32(type(layer))
