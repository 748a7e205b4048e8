from __future__ import annotations

import copy

import torch
from torch import nn

from ich_cli.core.depthwise import strided_depthwise_in_float32


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, stride=2, groups=2),
    )


def test_only_depthwise_layers_with_a_stride_leave_autocast() -> None:
    model = network()
    strided_depthwise_in_float32(model)
    kinds: list[torch.dtype] = []
    for layer in model:
        layer.register_forward_hook(lambda layer, inputs, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        copy.deepcopy(model)(torch.rand(2, 3, 16, 16))
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16, torch.bfloat16]


def test_names_answers_and_gradients_stay() -> None:
    plain, changed = network(), network()
    strided_depthwise_in_float32(changed)
    x = torch.rand(2, 3, 16, 16)
    for model in (plain, changed):
        model(x).square().sum().backward()
    theirs = dict(plain.named_parameters())
    assert list(changed.state_dict()) == list(plain.state_dict())
    for name, ours in changed.named_parameters():
        assert torch.equal(ours, theirs[name])
        assert ours.grad is not None
        assert torch.equal(ours.grad, theirs[name].grad)  # type: ignore[arg-type]
