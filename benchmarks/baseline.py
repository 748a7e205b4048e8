"""Baseline: a plain script, written without regard to speed.

Read files with pydicom one by one, write three windows as PNG, read them in a DataLoader of batch
1, and run torch in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ich_cli.core.preprocessing import PreprocessConfig


def pictures(files: Sequence[Path], folder: Path, config: PreprocessConfig) -> int:
    """Write the windows of each file as the channels of a PNG."""
    for index, file in enumerate(files):
        found = pydicom.dcmread(file)
        slope, intercept = float(found.RescaleSlope), float(found.RescaleIntercept)
        hu = found.pixel_array.astype(np.float32) * slope + intercept
        channels = [
            np.clip((hu - center + width / 2) / width, 0, 1) for center, width in config.windows
        ]
        picture = cv2.resize(np.stack(channels, 2), (config.size, config.size))
        cv2.imwrite(str(folder / f"{index:05d}.png"), (picture * 255).astype(np.uint8))
    return len(files)


class _Pictures(Dataset[Tensor]):
    def __init__(self, folder: Path, config: PreprocessConfig) -> None:
        self._files, self._config = sorted(folder.glob("*.png")), config

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:
        picture: Any = cv2.imread(str(self._files[index]))
        mean, std = (np.array(one, np.float32) for one in (self._config.mean, self._config.std))
        return torch.from_numpy((picture.astype(np.float32) / 255 - mean) / std).permute(2, 0, 1)


def predict(
    files: Sequence[Path], folder: Path, models: Sequence[nn.Module], config: PreprocessConfig
) -> int:
    """Run the baseline from files to probabilities; return the number of slices."""
    pictures(files, folder, config)
    with torch.no_grad():
        for batch in DataLoader(_Pictures(folder, config), batch_size=1):
            x = batch.contiguous()
            torch.stack([torch.sigmoid(model(x)) for model in models]).mean(0)
    return len(files)
