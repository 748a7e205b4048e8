"""Depthwise convolutions in float32 while autocast computes in bf16 on a CPU, where bf16 is slow.

oneDNN has fast backward kernels in float32, and none in bf16, for those with a stride and for those
larger than 3 x 3: a step of MobileNetV2 at 256 px spent 40 % of its time in four such layers, one
of EfficientNet-Lite0 66 % in nine, and they are 1.45 and 2.0 times as fast without
(docs/training.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _in_float32(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    """Return `kind`, timm's with TensorFlow's padding too, as one that leaves autocast."""

    def forward(self: nn.Conv2d, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return kind.forward(self, input.float())

    return type(f"Float32{kind.__name__}", (kind,), {"forward": forward})


def keep_slow_depthwise_in_float32(model: nn.Module) -> None:
    """Let the depthwise convolutions of `model` that are slow in bf16 compute in float32, in place.

    Parameters and their names stay as they are.
    """
    for layer in model.modules():
        if not isinstance(layer, nn.Conv2d) or not layer.groups == layer.in_channels > 1:
            continue
        if max(layer.stride) > 1 or max(layer.kernel_size) > 3:
            layer.__class__ = _in_float32(type(layer))
