from __future__ import annotations

import copy

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from ich_cli.core.model import keep_slow_depthwise_in_float32


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 5, padding=2, groups=4),
        nn.Conv2d(4, 4, 3, stride=2, groups=2),
        Conv2dSame(4, 4, 3, stride=2, groups=4),
        Conv2dSame(4, 4, 5, stride=2, groups=2),
    )


def test_only_depthwise_layers_with_a_stride_or_a_large_kernel_leave_autocast() -> None:
    model = network()
    keep_slow_depthwise_in_float32(model)
    kinds: list[torch.dtype] = []
    for layer in model:
        layer.register_forward_hook(lambda layer, inputs, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        copy.deepcopy(model)(torch.rand(2, 3, 16, 16))
    low, full = torch.bfloat16, torch.float32
    assert kinds == [low, full, low, full, low, full, low]


def test_names_outputs_and_gradients_are_unchanged() -> None:
    plain, changed = network(), network()
    keep_slow_depthwise_in_float32(changed)
    x = torch.rand(2, 3, 16, 16)
    for model in (plain, changed):
        model(x).square().sum().backward()
    theirs = dict(plain.named_parameters())
    assert list(changed.state_dict()) == list(plain.state_dict())
    for name, ours in changed.named_parameters():
        assert torch.equal(ours, theirs[name])
        assert ours.grad is not None
        assert torch.equal(ours.grad, theirs[name].grad)  # type: ignore[arg-type]
