"""Draw the ventricles into a thin section."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from ich_cli.core.phantom.anatomy.head import PhantomHead
from ich_cli.core.phantom.anatomy.skull import SIDES
from ich_cli.core.phantom.drawing import Array, Canvas, capsule, cover, ellipsoid

Point = tuple[float, float, float]

# Axis of a lateral ventricle as (x, y, z, radius), from the frontal tip to the occipital one …
HORN: Final = (
    (11.0, -37.0, 5.0, 2.2),
    (7.5, -27.0, 9.0, 4.0),
    (4.5, -12.0, 15.0, 3.8),
    (7.5, 6.0, 22.0, 4.4),
    (13.5, 23.0, 20.0, 5.2),
    (22.0, 35.0, 10.0, 6.3),
    (21.0, 57.0, 5.0, 1.6),
)
# … and of its temporal horn.
TEMPORAL: Final = ((23.0, 32.0, 6.0, 4.5), (31.0, 20.0, -9.0, 2.4), (29.0, -8.0, -21.0, 1.4))


@dataclass
class Effect:
    """Effects on the brain besides displacement."""

    sulci: tuple[float, float] = (1.0, 1.0)
    """Scale of the sulci's width right and left (x < 0, x > 0)."""
    ventricles: tuple[float, float] = (1.0, 1.0)
    infarcts: list[tuple[Point, Point, float]] = field(default_factory=list)
    """Center, radii, HU to subtract."""


def fill_ventricles(canvas: Canvas, head: PhantomHead, effect: Effect) -> Array:
    """Return the share of ventricle in each pixel, `(H, W)` in [0, 1]."""
    out = np.zeros_like(canvas.hu)
    for k, side in enumerate(SIDES):
        scale = head.ventricle[k] * effect.ventricles[k]
        for chain in (HORN, TEMPORAL):
            for first, last in pairwise(chain):
                _add_tube(canvas, out, first, last, side, scale)
    half = head.third * min(effect.ventricles)
    _add_ball(canvas, out, (0, -1, -1), (0.6 + half, 13, 10))
    _add_ball(canvas, out, (0, 33, -37), (7.5, 3.0 + 0.5 * half, 9.5))
    _add_ball(canvas, out, (0, 25, -14), (1.4, 1.4, 9))
    return out


def _add_tube(
    canvas: Canvas,
    out: Array,
    first: tuple[float, ...],
    last: tuple[float, ...],
    side: float,
    scale: float,
) -> None:
    spread = 1 + 0.12 * (scale - 1)
    a = np.array(first[:3]) * (side * spread, 1, 1)
    c = np.array(last[:3]) * (side * spread, 1, 1)
    ra, rc = first[3] * scale, last[3] * scale
    reach = float(np.linalg.norm(c - a)) / 2 + max(ra, rc) + 2 + canvas.margin
    box = canvas.plane.box((a + c) / 2, reach)
    if box is None:
        return
    b = canvas.b[(slice(None), *box)]
    distance = capsule(b, a, c, ra, rc) + 0.35 * canvas.noise[(*box, 1)]
    distance = np.maximum(distance, np.float32(1.0) - np.float32(side) * b[0])  # the septum
    np.maximum(out[box], cover(distance, canvas.soft), out=out[box])


def _add_ball(canvas: Canvas, out: Array, center: Point, radii: Point) -> None:
    box = canvas.plane.box(center, max(radii) + 2 + canvas.margin)
    if box is not None:
        distance = ellipsoid(canvas.b[(slice(None), *box)], center, radii)
        np.maximum(out[box], cover(distance, canvas.soft), out=out[box])
