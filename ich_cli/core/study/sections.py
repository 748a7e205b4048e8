"""Sections: a series resampled to slices of a nominal distance.

The study rule and the sequence stage work on sections of 5 mm, so that their results do not depend
on the slice distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOMINAL_MM: Final = 5.0
"""Distance between sections: that of most slices that the default bundle was trained on."""
AS_IT_IS_MM: Final = (4.0, 6.0)
"""Range of mean and median slice distance in which slices are used as they are."""

_WIDEST_MM: Final = 20.0  # wider gaps are not filled by the slices beside them
_NARROWEST_MM: Final = 1e-3  # for slices at the same position


@dataclass(frozen=True, eq=False)
class Sections:
    """Edges of slices and of sections on one axis, in mm.

    A value is constant within a slice, which reaches halfway to its neighbours.
    """

    slices: Floats
    """``(N + 1,)``, ascending from 0."""
    sections: Floats
    """``(M + 1,)``, evenly spaced from 0 to the same end."""

    @classmethod
    def from_positions(cls, along: Sequence[float | None]) -> Self | None:
        """Return the sections of a series.

        Parameters
        ----------
        along
            Position of each slice along the slice normal in mm, in anatomical order.

        Returns
        -------
        Sections or None
            None where the slices are to be used as they are: mean and median distance are within
            `AS_IT_IS_MM`, or a position is unknown.
        """
        known = [at for at in along if at is not None]
        if len(known) < max(2, len(along)):
            return None
        gaps = np.minimum(np.abs(np.diff(known)), _WIDEST_MM)
        low, high = AS_IT_IS_MM
        if all(low <= round(float(f(gaps)), 3) <= high for f in (np.mean, np.median)):
            return None
        halves = np.maximum(np.concatenate([gaps[:1], gaps, gaps[-1:]]), _NARROWEST_MM) / 2
        slices = np.concatenate([[0.0], np.cumsum(halves[:-1] + halves[1:])])
        number = max(2, round(float(slices[-1]) / NOMINAL_MM))
        return cls(slices, np.linspace(0.0, slices[-1], number + 1))

    def average(self, values: Floats) -> Floats:
        """Return the mean of ``(N, L)`` values of slices in each section, ``(M, L)``."""
        return _resample(values, self.slices, self.sections)

    def spread(self, values: Floats) -> Floats:
        """Return the mean of ``(M, L)`` values of sections in each slice, ``(N, L)``."""
        return _resample(values, self.sections, self.slices)


def _resample(values: Floats, edges: Floats, to: Floats) -> Floats:
    """Return the means between the edges `to` of values that are constant between `edges`."""
    steps = np.asarray(values, np.float64) * np.diff(edges)[:, None]
    integral = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0)])
    at = np.stack([np.interp(to, edges, column) for column in integral.T], axis=1)
    return np.asarray(np.diff(at, axis=0) / np.diff(to)[:, None])
