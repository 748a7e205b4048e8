"""Model that sees bright spots and nothing else, and slices for it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ich_cli.core.bundle import BundleConfig, LoadedBundle
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.imaging import Window
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import PreprocessConfig

TRAINING = {"real_ct": True, "data": "x"}


def noise(seed: int = 0, shape: tuple[int, int] = (90, 70)) -> CTSlice:
    hu = np.full(shape, -1000, np.float32)
    hu[10:80, 12:60] = np.random.default_rng(seed).integers(0, 90, (70, 48))
    return CTSlice(hu, SliceId("made by a test"))


class Bright(nn.Module):
    """Model of a bright spot and nothing else: a feature map of means over 4 by 4 pixels.

    `any` grows with the spot, `epidural` shrinks with it, the rest does not know of it.
    """

    num_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 6)
        with torch.no_grad():
            self.fc.weight.zero_()
            self.fc.weight[0, 0], self.fc.weight[1, 0] = 8.0, -8.0
            self.fc.bias.zero_()

    def forward_features(self, x: Tensor) -> Tensor:
        cells = nn.functional.avg_pool2d((x[:, :1] - 0.6).clamp(min=0), 4)
        return torch.cat([cells, torch.full_like(cells, 0.3)], 1)

    def forward_head(self, x: Tensor) -> Tensor:
        # in place on purpose: many of timm's heads go on like this
        return cast(Tensor, self.fc(100 * nn.functional.relu(x, inplace=True).mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def bright(size: int = 128) -> Predictor:
    prep = PreprocessConfig(size=size, windows=(Window(40, 80),), mean=(0,), std=(1,))
    config = BundleConfig("bright", TRAINING, prep)
    bundle = LoadedBundle(config, (Bright().eval(),), (config,), "", Path())
    return Predictor(bundle, "cpu")


def head_with_spot(
    shape: tuple[int, int], box: tuple[int, int, int, int], spot: tuple[int, int], width: int
) -> CTSlice:
    hu = np.full(shape, -1000, np.float32)
    hu[box[0] : box[2], box[1] : box[3]] = 30
    hu[spot[0] - width : spot[0] + width + 1, spot[1] - width : spot[1] + width + 1] = 80
    return CTSlice(hu, SliceId("made by a test"))
