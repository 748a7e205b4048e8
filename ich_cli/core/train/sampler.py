"""Slices of one or several prepared data sets, batch by batch, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ich_cli.core.data import UNKNOWN, PreparedDataset
from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.labels import ANY

Batch = tuple[Tensor, Tensor]
"""uint8 ``(B, C, S, S)`` and float32 ``(B, 6)``."""


Loaded = tuple[Tensor, Tensor, Tensor | None]
"""The same, and uint8 ``(B, S, S)`` of where they bleed, if that is asked for."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Some slices of a data set, and how much of them an epoch sees."""

    data: PreparedDataset
    rows: NDArray[np.int64]
    """Rows of the data set, any order."""
    share: float = 1.0
    """1: each row once an epoch; 0.5: half of them, others each time; 2: each row twice."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 100:
            raise UsageError("the share of a data set lies in 0 … 100, 0 excluded")


class SliceDataset(Dataset[Batch]):
    """All rows of some selections, one after the other; fetched a batch at a time.

    The pixels lie in a memory map, so a batch is one gather: one thread that reads ahead is
    enough.
    """

    def __init__(self, selections: Sequence[Selection], *, with_masks: bool = False) -> None:
        self._with_masks = with_masks
        check_alike([one.data for one in selections])
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
        """Return the slices at `indices` as one batch, with their masks if these are learned."""
        return *self.__getitems__(indices), self.masks(indices) if self._with_masks else None

    def masks(self, indices: Sequence[int]) -> Tensor:
        """Return where slices bleed, uint8 ``(B, S, S)``; `UNKNOWN` where nobody knows."""
        side = self.selections[0].data.preprocess.size
        out = np.full((len(indices), side, side), UNKNOWN, np.uint8)
        for place, index in enumerate(indices):
            one = self.selections[part := int(np.searchsorted(self._starts, index, "right")) - 1]
            if one.data.masks is not None:
                out[place] = one.data.masks[one.rows[index - self._starts[part]]]
        return torch.from_numpy(out)

    def epoch(
        self, batch_size: int, seed: int, epoch: int, positives: float = 0.0
    ) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch as indices; the same seed and epoch, the same batches.

        With `positives` above 0, that share of each selection's draw has `any`, drawn with
        replacement and rare subtypes more often. A last batch that is not full is left out,
        unless it is the only one.
        """
        rng = np.random.default_rng([seed, epoch])
        parts = []
        for number, one in enumerate(self.selections):
            wanted = max(1, round(one.share * one.rows.size))
            labels = one.data.labels[one.rows]
            drawn = _balanced(labels, wanted, positives, rng) if positives else None
            parts.append(
                self._starts[number] + (_deal(len(labels), wanted, rng) if drawn is None else drawn)
            )
        order = rng.permutation(np.concatenate(parts)).astype(np.int64)
        full = max(1, order.size // batch_size)
        return [order[i * batch_size : (i + 1) * batch_size] for i in range(full)]


def _deal(count: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal rows like cards: none comes a second time before all have come once."""
    return np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])[:wanted]


def _balanced(
    labels: NDArray[np.float32], wanted: int, positives: float, rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Draw rows so that a share has `any`; None where one of the two classes is missing."""
    bleeding = labels[:, ANY] >= 0.5
    with_blood, without = np.flatnonzero(bleeding), np.flatnonzero(~bleeding)
    if not with_blood.size or not without.size:
        return None
    subtypes = labels[with_blood, ANY + 1 :] >= 0.5
    count = np.where(subtypes, subtypes.sum(axis=0), len(with_blood)).min(axis=1)
    weight = 1 / np.sqrt(count)  # the rarest subtype of a slice decides how often it comes
    chosen = rng.choice(with_blood, round(wanted * positives), p=weight / weight.sum())
    rest = without[_deal(without.size, wanted - chosen.size, rng)]
    return np.concatenate([chosen, rest])


def in_order(count: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Return the indices 0 … count - 1 in batches."""
    return [np.arange(i, min(i + batch_size, count)) for i in range(0, count, batch_size)]


def check_alike(data: Sequence[PreparedDataset]) -> None:
    """Raise DataError where data sets were prepared in different ways."""
    first = data[0]
    for other in data[1:]:
        for what in ("preset", "size", "windows", "context"):
            a, b = getattr(first.preprocess, what), getattr(other.preprocess, what)
            if a != b:
                raise DataError(
                    f"{first.name} and {other.name} differ in {what}: {a}, {b}; prepare one again"
                )
