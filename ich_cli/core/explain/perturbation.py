"""Faithfulness of heat maps: replace the hottest region of a map and predict again.

The hottest tenth of the head is replaced by healthy-looking tissue (`inpaint_lesions`), and so are
random regions of the same size. With a faithful map, the hottest region lowers the probability of
the label more than random regions do. This measures the model, not the patient: the map of a model
that relies on the wrong region can be faithful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.explain.maps import Explanation
from ich_cli.core.imaging import Mask, head_mask, inpaint_lesions, replace_region
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import Neighbours, orientation_of

SHARE: Final = 0.1
"""Share of the head's pixels that are replaced."""
DRAWS: Final = 5
"""Number of random regions that the hottest one is compared with."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Probability of a label with and without the hottest region of its map."""

    before: float
    """Probability in the unchanged slice."""
    without: float
    """Probability with the hottest region of the map replaced by healthy-looking tissue."""
    random_region: float
    """Mean probability with a random region of the same size replaced."""

    @property
    def drop(self) -> float:
        """Drop of the probability without the hottest region; negative if it rises."""
        return self.before - self.without

    @property
    def drop_random(self) -> float:
        """Mean drop of the probability without a random region of that size."""
        return self.before - self.random_region

    def to_dict(self) -> dict[str, float]:
        """Return plain numbers, rounded to 6 digits."""
        return {
            "before": round(self.before, 6),
            "without_hottest": round(self.without, 6),
            "without_random": round(self.random_region, 6),
            "drop": round(self.drop, 6),
            "drop_random": round(self.drop_random, 6),
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
    """Measure how much each label's probability depends on the hottest region of its map.

    Parameters
    ----------
    predictor
        Predictor that was explained.
    explanation
        Maps of the slice.
    neighbours
        Neighbouring slices, as for `explain`; they are not changed.
    share
        Share of the head's pixels to replace, in (0, 1).
    draws
        Random regions to compare with, at least 1.
    seed
        Seed of their places and of the noise.

    Returns
    -------
    dict
        Label → `Faithfulness`, without labels with an empty map. Empty if the slice shows no head.
    """
    probe = Probe(predictor, explanation.ct, neighbours, share=share, draws=draws, seed=seed)
    return probe.measure(explanation.maps)


class Probe:
    """Repeated predictions of one slice with regions replaced; the inpainted slice is made once.

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
            raise ValueError(
                f"share must be between 0 and 1 and draws at least 1, not {share} and {draws}"
            )
        self._predictor, self._ct, self._around = predictor, ct, neighbours
        self._draws, self._seed = draws, seed
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self.head = head_mask(ct.hu)
        self.size = round(share * int(self.head.sum()))
        """Number of pixels of a region."""

    def measure(self, maps: dict[str, NDArray[np.float32]]) -> dict[str, Faithfulness]:
        """Return label → `Faithfulness`, without empty maps."""
        labels = [label for label, values in maps.items() if values.any()]
        if not labels or not self.size:
            return {}
        without = self.predict_without(
            [hottest(maps[label], self.head, self.size) for label in labels]
        )
        return {
            label: Faithfulness(
                before=float(self.before[LABELS.index(label)]),
                without=float(six[LABELS.index(label)]),
                random_region=float(self.random_region[LABELS.index(label)]),
            )
            for label, six in zip(labels, without, strict=True)
        }

    def predict_without(self, regions: Sequence[Mask]) -> NDArray[np.float32]:
        """Return the probabilities ``(N, 6)`` with each of N regions replaced.

        A region that several maps share is predicted once.
        """
        keys = [np.packbits(region).tobytes() for region in regions]
        new = {k: r for k, r in zip(keys, regions, strict=True) if k not in self._known}
        images = [replace_region(self._ct.hu, self._inpainted, region) for region in new.values()]
        self._known.update(zip(new, self._predict(images) if images else (), strict=True))
        return np.stack([self._known[key] for key in keys])

    @cached_property
    def before(self) -> NDArray[np.float32]:
        """Probabilities of the unchanged slice, ``(6,)``."""
        row: NDArray[np.float32] = self._predict([self._ct.hu])[0]
        return row

    @cached_property
    def random_region(self) -> NDArray[np.float32]:
        """Mean probabilities with a random region replaced, ``(6,)``."""
        regions = random_regions(self.head, self.size, self._draws, self._seed)
        mean: NDArray[np.float32] = self.predict_without(regions).mean(axis=0)
        return mean

    @cached_property
    def _inpainted(self) -> NDArray[np.float32]:
        """The slice without lesions; turned meanwhile, because the midline must be upright."""
        turning = orientation_of(self._ct)
        inpainted = inpaint_lesions(turning.turn(self._ct.hu), self._seed)
        return turning.turn_back(inpainted)

    def _predict(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        ready = [
            self._predictor.prepare(replace(self._ct, hu=image), self._around) for image in images
        ]
        stacks = [np.stack([one.pixels for one in same]) for same in zip(*ready, strict=True)]
        return self._predictor.probabilities(*stacks)


def hottest(values: NDArray[np.float32], head: Mask, size: int) -> Mask:
    """Return the `size` pixels of the head where a map is highest; ties go by nearness to its peak.

    Parameters
    ----------
    values
        float32 ``(H, W)``.
    head
        bool ``(H, W)``.
    size
        Number of pixels, at most those of the head.
    """
    rows, columns = np.nonzero(head)
    inside = values[rows, columns]
    least = np.partition(inside, -size)[-size]
    above, equal = np.flatnonzero(inside > least), np.flatnonzero(inside == least)
    peak = int(inside.argmax())
    place = (rows[peak], columns[peak])
    near = _nearest(rows[equal], columns[equal], place, size - len(above))
    chosen = np.concatenate([above, equal[near]])
    return _mask(head.shape, rows[chosen], columns[chosen])


def random_regions(head: Mask, size: int, draws: int, seed: int) -> list[Mask]:
    """Return regions of the `size` pixels of the head that are nearest to a random pixel of it."""
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
    """Return the indices of the `count` pixels nearest to `peak`."""
    if count >= len(rows):
        return np.arange(len(rows))
    far = (rows - peak[0]) ** 2 + (columns - peak[1]) ** 2
    return np.argpartition(far, count)[:count]


def _mask(shape: tuple[int, ...], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask
