"""Coordinates of the SVG chart of probabilities along the slices, one lane per label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.labels import LABELS

WIDTH: Final = 600.0
HEIGHT: Final = 48.0
_PAD: Final = 3.0

TICKS: Final = (0.1, 0.5)
"""Probabilities with a grid line in each lane."""


@dataclass(frozen=True)
class Lane:
    """Lane of one label, in coordinates of a `WIDTH` x `HEIGHT` box."""

    label: str
    line: str
    """Points of the curve (SVG polyline)."""
    area: str
    """Points of the area under the curve (SVG polygon)."""
    threshold: float
    """y coordinate of the threshold line."""
    ticks: tuple[float, ...]
    over: tuple[tuple[float, float], ...]
    """Left edge and width of runs of slices at or over the threshold."""
    peak: float
    at: int
    """Number of the slice with the highest probability, from 1."""


def lanes(probabilities: NDArray[np.float64], thresholds: Mapping[str, float]) -> list[Lane]:
    """Compute the six lanes.

    The y axis is the square root of the probability, so that the low thresholds of rare labels are
    distinguishable from 0.

    Parameters
    ----------
    probabilities
        ``(N, 6)`` in [0, 1], slices in anatomical order, N > 0.
    thresholds
        Label → threshold.
    """
    return [_lane(label, probabilities[:, k], thresholds[label]) for k, label in enumerate(LABELS)]


def y_of(probability: float) -> float:
    """Return the y coordinate of a probability."""
    return round(_PAD + (HEIGHT - 2 * _PAD) * (1 - float(np.sqrt(probability))), 2)


def _lane(label: str, values: NDArray[np.float64], threshold: float) -> Lane:
    step = WIDTH / len(values)
    xs = [round((k + 0.5) * step, 2) for k in range(len(values))]
    points = [f"{x:g},{y_of(v):g}" for x, v in zip(xs, values, strict=True)]
    floor = f"{HEIGHT - _PAD:g}"
    return Lane(
        label=label,
        line=" ".join(points),
        area=" ".join([f"{xs[0]:g},{floor}", *points, f"{xs[-1]:g},{floor}"]),
        threshold=y_of(threshold),
        ticks=tuple(y_of(tick) for tick in TICKS),
        over=_runs(values >= threshold, step),
        peak=float(values.max()),
        at=int(values.argmax()) + 1,
    )


def _runs(over: NDArray[np.bool_], step: float) -> tuple[tuple[float, float], ...]:
    """Return left edge and width of each run of true, in lane coordinates."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], over.astype(int), [0]])))
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return tuple((round(a * step, 2), round((b - a) * step, 2)) for a, b in pairs)
