"""Probabilities along the slices, one lane a label, as numbers for an SVG."""

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
"""Where a faint line stands in each lane."""


@dataclass(frozen=True)
class Lane:
    """One label's probabilities along the slices; coordinates in a box of `WIDTH` x `HEIGHT`."""

    label: str
    line: str
    """Points of a polyline."""
    area: str
    """Points of the polygon under it."""
    threshold: float
    """Height of the threshold's line."""
    ticks: tuple[float, ...]
    over: tuple[tuple[float, float], ...]
    """Left edge and width of the runs of slices at or over the threshold."""
    peak: float
    at: int
    """Number of the slice with the highest probability, from 1."""


def lanes(probabilities: NDArray[np.float64], thresholds: Mapping[str, float]) -> list[Lane]:
    """Lay out six lanes.

    The scale is the square root of the probability: 0 and 1 stand at the edges, and thresholds of
    rare labels, which are low, stay apart from 0.

    Parameters
    ----------
    probabilities
        ``(N, 6)`` in [0, 1], slices in anatomical order, N > 0.
    thresholds
        Label → threshold.
    """
    return [_lane(label, probabilities[:, k], thresholds[label]) for k, label in enumerate(LABELS)]


def height_of(probability: float) -> float:
    """Return the place of a probability from the top of its lane."""
    return round(_PAD + (HEIGHT - 2 * _PAD) * (1 - float(np.sqrt(probability))), 2)


def _lane(label: str, values: NDArray[np.float64], threshold: float) -> Lane:
    step = WIDTH / len(values)
    xs = [round((k + 0.5) * step, 2) for k in range(len(values))]
    points = [f"{x:g},{height_of(v):g}" for x, v in zip(xs, values, strict=True)]
    floor = f"{HEIGHT - _PAD:g}"
    return Lane(
        label=label,
        line=" ".join(points),
        area=" ".join([f"{xs[0]:g},{floor}", *points, f"{xs[-1]:g},{floor}"]),
        threshold=height_of(threshold),
        ticks=tuple(height_of(tick) for tick in TICKS),
        over=_runs(values >= threshold, step),
        peak=float(values.max()),
        at=int(values.argmax()) + 1,
    )


def _runs(over: NDArray[np.bool_], step: float) -> tuple[tuple[float, float], ...]:
    """Return where runs of true begin and how wide they are, in units of the lane."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], over.astype(int), [0]])))
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return tuple((round(a * step, 2), round((b - a) * step, 2)) for a, b in pairs)
