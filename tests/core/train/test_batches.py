"""Prepared slices through a model: order, mirror images, nothing to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ich_cli.core.data import PreparedDataset
from ich_cli.core.train import Selection
from ich_cli.core.train.batches import predict_logits
from tests.support.prepared import blobs


class Left(nn.Module):
    """Six times the mean of the left half: another answer for a mirror image."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : x.shape[-1] // 2].mean((1, 2, 3))[:, None].expand(-1, 6)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return blobs(tmp_path_factory.mktemp("data") / "blobs", 3)


def half(data: PreparedDataset, row: int, *, right: bool = False) -> float:
    """What `Left` says of a slice, by hand."""
    config = data.preprocess
    pixels = data.pixels[row].astype(np.float64) / 255
    mean, std = (np.reshape(one, (-1, 1, 1)) for one in (config.mean, config.std))
    whole = (pixels - mean) / std
    side = whole[..., 16:] if right else whole[..., :16]
    return float(side.mean())


def test_rows_are_predicted_in_their_order(data: PreparedDataset, tmp_path: Path) -> None:
    rows = np.array([7, 0, 16, 3], np.int64)
    found = predict_logits(Left().eval(), Selection(data, rows), data.preprocess, batch_size=3)
    assert found.shape == (4, 6)
    np.testing.assert_allclose(found[:, 0], [half(data, row) for row in rows], atol=1e-4)


def test_with_its_mirror_image_a_slice_gets_the_mean_of_both(data: PreparedDataset) -> None:
    rows = np.array([1, 2], np.int64)
    found = predict_logits(Left().eval(), Selection(data, rows), data.preprocess, flip=True)
    means = [(half(data, row) + half(data, row, right=True)) / 2 for row in rows]
    np.testing.assert_allclose(found[:, 5], means, atol=1e-4)


def test_no_slices_have_no_logits(data: PreparedDataset) -> None:
    none = Selection(data, np.zeros(0, np.int64))
    assert predict_logits(Left().eval(), none, data.preprocess).shape == (0, 6)
