"""Depthwise convolutions with a stride, in float32 while autocast computes in bf16 on a CPU.

oneDNN has fast backward kernels for them in float32 and none in bf16: a step of MobileNetV2 at
256 px spent 40 % of its time in four such layers, and is 1.45 times as fast without
(docs/training.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Float32Conv2d(nn.Conv2d):
    """A convolution that leaves autocast; its parameters are those of `nn.Conv2d`."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def strided_depthwise_in_float32(model: nn.Module) -> None:
    """Let the depthwise convolutions of `model` that have a stride compute in float32, in place."""
    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels > 1 < max(layer.stride):
            layer.__class__ = _Float32Conv2d
