"""Batches of slices from one or several prepared data sets, in a seeded order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ich_cli.core.data import UNKNOWN, PreparedDataset
from ich_cli.core.errors import DataError
from ich_cli.core.labels import ANY
from ich_cli.core.system import require

Batch = tuple[Tensor, Tensor]
"""uint8 ``(B, C, S, S)`` and float32 ``(B, 6)``."""


Loaded = tuple[Tensor, Tensor, Tensor | None]
"""The same and lesion masks, uint8 ``(B, S, S)``; None where they are not used."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Slices of a data set and how often an epoch samples them."""

    data: PreparedDataset
    rows: NDArray[np.int64]
    """Rows of the data set, in any order."""
    share: float = 1.0
    """1: each row once per epoch; 0.5: half of the rows, others each time; 2: each row twice."""

    def __post_init__(self) -> None:
        require(0 < self.share <= 100, "a sampling weight must be in (0, 100]")


class SliceDataset(Dataset[Batch]):
    """Concatenated rows of selections, read a batch at a time.

    The pixels are memory-mapped, so one prefetching thread is enough.
    """

    def __init__(self, selections: Sequence[Selection], *, with_masks: bool = False) -> None:
        self._with_masks = with_masks
        check_same_preprocessing([one.data for one in selections])
        self.selections = tuple(selections)
        sizes = [one.rows.size for one in selections]
        self._starts = np.cumsum([0, *sizes])
        self.labels = np.concatenate([one.data.labels[one.rows] for one in selections])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the slices at `indices` as one batch."""
        wanted = np.asarray(indices)
        part = np.searchsorted(self._starts, wanted, side="right") - 1
        first = self.selections[0].data.pixels
        pixels = np.empty((wanted.size, *first.shape[1:]), np.uint8)
        for number in np.unique(part):
            one = self.selections[number]
            here = np.flatnonzero(part == number)
            rows = one.rows[wanted[here] - self._starts[number]]
            for place, row in zip(here, rows, strict=True):
                pixels[place] = one.data.pixels[row]
        return torch.from_numpy(pixels), torch.from_numpy(self.labels[wanted])

    def read(self, indices: Sequence[int]) -> Loaded:
        """Return the slices at `indices` as one batch, with masks if they are used."""
        return *self.__getitems__(indices), self.masks(indices) if self._with_masks else None

    def masks(self, indices: Sequence[int]) -> Tensor:
        """Return lesion masks, uint8 ``(B, S, S)``; `UNKNOWN` where there is none."""
        side = self.selections[0].data.preprocess.size
        out = np.full((len(indices), side, side), UNKNOWN, np.uint8)
        for place, index in enumerate(indices):
            one = self.selections[part := int(np.searchsorted(self._starts, index, "right")) - 1]
            if one.data.masks is not None:
                out[place] = one.data.masks[one.rows[index - self._starts[part]]]
        return torch.from_numpy(out)

    def epoch(
        self, batch_size: int, seed: int, epoch: int, positive_fraction: float = 0.0
    ) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch as indices, reproducible from seed and epoch.

        With `positive_fraction` above 0, that fraction of each selection's sample has `any`, drawn
        with replacement and rare subtypes more often. A last, incomplete batch is dropped unless
        it is the only one.
        """
        rng = np.random.default_rng([seed, epoch])
        parts = []
        for number, one in enumerate(self.selections):
            wanted = max(1, round(one.share * one.rows.size))
            labels = one.data.labels[one.rows]
            drawn = _balanced(labels, wanted, positive_fraction, rng) if positive_fraction else None
            parts.append(
                self._starts[number]
                + (_cycle(len(labels), wanted, rng) if drawn is None else drawn)
            )
        order = rng.permutation(np.concatenate(parts)).astype(np.int64)
        full = max(1, order.size // batch_size)
        return [order[i * batch_size : (i + 1) * batch_size] for i in range(full)]


def _cycle(count: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows in random order; none repeats before all have been drawn."""
    return np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])[:wanted]


def _balanced(
    labels: NDArray[np.float32], wanted: int, positive_fraction: float, rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Draw rows so that a fraction has `any`; None where one of the two classes is missing."""
    positive = labels[:, ANY] >= 0.5
    with_any, without = np.flatnonzero(positive), np.flatnonzero(~positive)
    if not with_any.size or not without.size:
        return None
    subtypes = labels[with_any, ANY + 1 :] >= 0.5
    count = np.where(subtypes, subtypes.sum(axis=0), len(with_any)).min(axis=1)
    weight = 1 / np.sqrt(count)  # by the rarest subtype of a slice
    chosen = rng.choice(with_any, round(wanted * positive_fraction), p=weight / weight.sum())
    rest = without[_cycle(without.size, wanted - chosen.size, rng)]
    return np.concatenate([chosen, rest])


def in_order(count: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Return the indices 0 … count - 1 in batches."""
    return [np.arange(i, min(i + batch_size, count)) for i in range(0, count, batch_size)]


def check_same_preprocessing(data: Sequence[PreparedDataset]) -> None:
    """Raise DataError where data sets differ in preset, size, windows or context."""
    first = data[0]
    for other in data[1:]:
        for what in ("preset", "size", "windows", "context"):
            a, b = getattr(first.preprocess, what), getattr(other.preprocess, what)
            if a != b:
                raise DataError(
                    f"{first.name} and {other.name} differ in {what}: {a}, {b}; prepare one again"
                )
