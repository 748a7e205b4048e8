"""Does the model need what a map points at? Take it away and ask again.

The hottest tenth of the head is replaced by healthy-looking tissue (`healthy.py`); so are regions
of the same size at random places. A faithful map's region costs the label more probability than
the random ones do. This asks about the model, not about the patient: a model that looks at the
wrong thing may have a faithful map of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace as changed
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.explain.maps import Explanation
from ich_cli.core.imaging import Mask, head_mask, inpaint_lesions, replace_region
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import Neighbours

SHARE: Final = 0.1
"""Of the head's pixels that are replaced."""
DRAWS: Final = 5
"""Random regions that the hottest one is compared with."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """A label's probability with and without the hottest region of its map."""

    before: float
    """Of the slice as it is."""
    without: float
    """With the map's hottest region replaced by healthy-looking tissue."""
    elsewhere: float
    """The mean with a random region of the same size replaced."""

    @property
    def drop(self) -> float:
        """What the hottest region is worth to the model; negative where it spoke against."""
        return self.before - self.without

    @property
    def drop_elsewhere(self) -> float:
        """What a random region of that size is worth."""
        return self.before - self.elsewhere

    def to_dict(self) -> dict[str, float]:
        """Return plain numbers, rounded to 6 digits."""
        return {
            "before": round(self.before, 6),
            "without_hottest": round(self.without, 6),
            "without_random": round(self.elsewhere, 6),
            "drop": round(self.drop, 6),
            "drop_random": round(self.drop_elsewhere, 6),
        }


def faithfulness(
    predictor: Predictor,
    explanation: Explanation,
    neighbours: Neighbours | None = None,
    *,
    share: float = SHARE,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Faithfulness]:
    """Measure how much of each explained label's probability hangs on its map's hottest region.

    Parameters
    ----------
    predictor
        The one that was explained.
    explanation
        Its maps.
    neighbours
        As they were for `explain`; they stay as they are.
    share
        Of the head's pixels to replace, in (0, 1).
    draws
        Random regions to compare with, at least 1.
    seed
        Of their places and of the noise.

    Returns
    -------
    dict
        Label → `Faithfulness`; labels with an empty map, which has no hottest region, are left
        out. Empty where the slice shows no head.
    """
    probe = Probe(predictor, explanation.ct, neighbours, share=share, draws=draws, seed=seed)
    return probe.measure(explanation.maps)


class Probe:
    """One slice to be asked again and again; its twin and random regions are made once.

    Parameters
    ----------
    predictor, neighbours, share, draws, seed
        As for `faithfulness`.
    ct
        The slice.
    """

    def __init__(
        self,
        predictor: Predictor,
        ct: CTSlice,
        neighbours: Neighbours | None = None,
        *,
        share: float = SHARE,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        if not 0 < share < 1 or draws < 1:
            raise ValueError(f"a share lies in 0 … 1 and draws are at least 1: {share}, {draws}")
        self._predictor, self._ct, self._around = predictor, ct, neighbours
        self._draws, self._seed = draws, seed
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self.head = head_mask(ct.hu)
        self.size = round(share * int(self.head.sum()))
        """Pixels of a region."""

    def measure(self, maps: dict[str, NDArray[np.float32]]) -> dict[str, Faithfulness]:
        """Return label → `Faithfulness` for the maps that are not empty."""
        told = [label for label, values in maps.items() if values.any()]
        if not told or not self.size:
            return {}
        without = self.ask([hottest(maps[label], self.head, self.size) for label in told])
        return {
            label: Faithfulness(
                before=float(self.before[LABELS.index(label)]),
                without=float(six[LABELS.index(label)]),
                elsewhere=float(self.elsewhere[LABELS.index(label)]),
            )
            for label, six in zip(told, without, strict=True)
        }

    def ask(self, regions: Sequence[Mask]) -> NDArray[np.float32]:
        """Return the probabilities ``(N, 6)`` with each of N regions replaced.

        The same region is asked about once, however many maps share it.
        """
        keys = [np.packbits(region).tobytes() for region in regions]
        new = {k: r for k, r in zip(keys, regions, strict=True) if k not in self._known}
        images = [replace_region(self._ct.hu, self._twin, region) for region in new.values()]
        self._known.update(zip(new, self._answer(images) if images else (), strict=True))
        return np.stack([self._known[key] for key in keys])

    @cached_property
    def before(self) -> NDArray[np.float32]:
        """The probabilities of the slice as it is, ``(6,)``."""
        row: NDArray[np.float32] = self._answer([self._ct.hu])[0]
        return row

    @cached_property
    def elsewhere(self) -> NDArray[np.float32]:
        """The mean probabilities with a random region replaced, ``(6,)``."""
        regions = random_regions(self.head, self.size, self._draws, self._seed)
        mean: NDArray[np.float32] = self.ask(regions).mean(axis=0)
        return mean

    @cached_property
    def _twin(self) -> NDArray[np.float32]:
        return inpaint_lesions(self._ct.hu, self._seed)

    def _answer(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        ready = [
            self._predictor.prepare(changed(self._ct, hu=image), self._around) for image in images
        ]
        stacks = [np.stack([one.pixels for one in same]) for same in zip(*ready, strict=True)]
        return self._predictor.probabilities(*stacks)


def hottest(values: NDArray[np.float32], head: Mask, size: int) -> Mask:
    """Return the `size` pixels of the head where a map is highest; of equals those near its peak.

    Parameters
    ----------
    values
        float32 ``(H, W)``.
    head
        bool ``(H, W)``.
    size
        Pixels, at most those of the head.
    """
    rows, columns = np.nonzero(head)
    inside = values[rows, columns]
    least = np.partition(inside, -size)[-size]
    sure, equal = np.flatnonzero(inside > least), np.flatnonzero(inside == least)
    peak = int(inside.argmax())
    place = (rows[peak], columns[peak])
    near = _nearest(rows[equal], columns[equal], place, size - len(sure))
    chosen = np.concatenate([sure, equal[near]])
    return _mask(head.shape, rows[chosen], columns[chosen])


def random_regions(head: Mask, size: int, draws: int, seed: int) -> list[Mask]:
    """Return round regions of `size` pixels at random places of the head, cut at its border."""
    rows, columns = np.nonzero(head)
    centres = np.random.default_rng(seed).integers(0, len(rows), draws)
    regions = []
    for centre in centres:
        chosen = _nearest(rows, columns, (rows[centre], columns[centre]), size)
        regions.append(_mask(head.shape, rows[chosen], columns[chosen]))
    return regions


def _nearest(
    rows: NDArray[np.intp], columns: NDArray[np.intp], peak: tuple[int, int], count: int
) -> NDArray[np.intp]:
    """Return the indices of the `count` pixels nearest to one."""
    if count >= len(rows):
        return np.arange(len(rows))
    far = (rows - peak[0]) ** 2 + (columns - peak[1]) ** 2
    return np.argpartition(far, count)[:count]


def _mask(shape: tuple[int, ...], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask
