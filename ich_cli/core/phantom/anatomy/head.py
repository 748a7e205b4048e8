"""Sample a normal head: its parameters, and its maps over directions from the brain's center."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from ich_cli.core.phantom.drawing import TEXTURE, Array, lambert_directions, ramp, smooth_noise

CENTER: Final = np.array([0.0, 5.0, 0.0], np.float32)
"""Origin of all direction maps (mm, left / posterior / superior)."""

MM_PER_TEXEL: Final = 4 * 72 / (TEXTURE - 1)
"""Length of a texel on the cortex; the Lambert projection is equal-area."""


@dataclass
class PhantomHead:
    """A normal head before pose and scan. Lengths in mm, densities in HU."""

    age: float
    """0 = young (tight sulci, slit ventricles) … 1 = old (wide ones)."""
    grey: float
    white: float
    csf: float
    bone: float
    fat: float
    sulcus: float
    """Half width of a sulcus at the surface."""
    ventricle: tuple[float, float]
    """Scale of the right and the left lateral ventricle's radii."""
    third: float
    sinus: float
    falx_hu: float
    surface: Array
    """`(T, T, 4)` radii: dura, outer table, muscle, skin."""
    cortex: Array
    """`(T, T, 4)`: CSF gap, distance to a deep sulcus, to a shallow one, depth of the deep one."""
    base: Array
    """`(T, T, 2)` over (x, y) at 0.5 mm: height of the skull base, its thickness."""
    tiles: Array
    """`(T, T, 4)` periodic noise at 1 mm: two smooth fields, two fine ones."""
    calcified: dict[str, float]
    wobble: Array
    """`(3, 3, 5)`: amplitude, three wave numbers, phase of the deformation of each axis."""


def make_head(rng: np.random.Generator) -> PhantomHead:
    """Sample a head; all parameters are in the range of adults."""
    age = float(rng.beta(1.2, 1.3))
    grey = float(rng.normal(37.0, 1.6))
    size = float((0.55 + 0.95 * age) * rng.lognormal(0, 0.18))
    side = float(rng.normal(1, 0.08))
    directions = lambert_directions()
    return PhantomHead(
        age=age,
        grey=grey,
        white=grey - float(rng.uniform(5.0, 9.5)),
        csf=float(rng.normal(7, 2)),
        bone=float(rng.uniform(1150, 1750)),
        fat=float(rng.normal(-98, 8)),
        sulcus=float((0.15 + 0.85 * age) * rng.lognormal(0, 0.25)),
        ventricle=(size * side, size / side),
        third=float((0.7 + 2.6 * age**1.3) * rng.lognormal(0, 0.2)),
        sinus=float(rng.uniform(0.2, 1.2)),
        falx_hu=float(rng.uniform(44, 62)),
        surface=_surface(rng, directions),
        cortex=_cortex(rng, directions, age),
        base=_base(rng),
        tiles=np.stack([smooth_noise(rng, TEXTURE, s) for s in (9.0, 5.0, 2.2, 1.2)], -1),
        calcified=_calcified(rng, age),
        wobble=_wobble(rng),
    )


def _calcified(rng: np.random.Generator, age: float) -> dict[str, float]:
    """Return the HU of physiological calcifications, 0 = none."""
    chance = {"plexus": 0.35 + 0.5 * age, "pineal": 0.6, "falx": 0.12 * age + 0.04, "basal": 0.07}
    top = {"plexus": 350.0, "pineal": 280.0, "falx": 400.0, "basal": 130.0}
    return {k: float(rng.uniform(60, top[k])) if rng.random() < chance[k] else 0.0 for k in chance}


def _wobble(rng: np.random.Generator) -> Array:
    out = np.empty((3, 3, 5), np.float32)
    out[..., 0] = rng.normal(0, 0.9, (3, 3))
    out[..., 1:4] = rng.normal(0, 0.045, (3, 3, 3))
    out[..., 4] = rng.uniform(0, 6.28, (3, 3))
    return out


def _vault(rng: np.random.Generator, d: Array) -> Array:
    """Return the inner radius of the skull for directions `d (3, T, T)`."""
    wide = rng.normal(5, 2) * d[1] - rng.uniform(3, 9) * np.square(np.minimum(d[1], 0))
    x = np.abs(d[0]) / (rng.normal(66, 1.5) + wide)
    y = np.abs(d[1]) / rng.normal(84, 2)
    z = np.abs(d[2]) / np.where(d[2] > 0, rng.normal(80, 2), np.float32(76))
    power = np.float32(rng.uniform(2.15, 2.5))
    radius = np.power(x**power + y**power + z**power, -1 / power)
    radius += smooth_noise(rng, TEXTURE, 50) * rng.uniform(0.4, 1.6)
    return np.asarray(radius, np.float32)


def _surface(rng: np.random.Generator, d: Array) -> Array:
    inner = _vault(rng, d)
    side = ramp(np.abs(d[0]), 0.7, 0.95) * ramp(np.abs(d[2]), 0.45, 0.1)
    thick = rng.uniform(4.2, 8.5) * (1 + 0.13 * smooth_noise(rng, TEXTURE, 25))
    thick -= side * rng.uniform(0.25, 0.5) * thick
    midline = np.exp(-np.square(d[0] / 0.16))
    thick += midline * ramp(-d[1], 0.55, 0.95) * rng.uniform(1, 5)
    thick += (
        np.exp(-np.square(d[0] / 0.25) - np.square((d[2] + 0.3) / 0.2)) * ramp(d[1], 0.6, 0.9) * 5
    )
    thick += rng.uniform(3, 8) * _brow(d)
    outer = inner + np.maximum(thick, 2.2)
    temple = np.exp(-np.square((d[1] + 0.42) / 0.33) - np.square((d[2] + 0.12) / 0.33))
    muscle = outer + 1.4 + temple * np.abs(d[0]) * rng.uniform(5, 11)
    muscle += ramp(-d[2], 0.25, 0.6) * ramp(d[1], 0.2, 0.6) * rng.uniform(6, 14)
    scalp = muscle + rng.uniform(3.5, 9.0) * (1 + 0.15 * smooth_noise(rng, TEXTURE, 40))
    scalp = np.maximum(scalp, _face(rng, d))
    return np.stack([inner, outer, np.minimum(muscle, scalp - 1.5), scalp], -1).astype(np.float32)


def _brow(d: Array) -> Array:
    """Return the region of the frontal sinus, in [0, 1]."""
    return np.asarray(
        np.exp(-np.square(d[0] / 0.22) - np.square((d[2] + 0.10) / 0.14)) * (d[1] < 0), np.float32
    )


def _face(rng: np.random.Generator, d: Array) -> Array:
    """Return the radius of the face in directions forward and down, 0 elsewhere."""
    level = np.sqrt(np.maximum(1 - d[2] ** 2, 1e-3))
    cx, cy = d[0] / level, d[1] / level
    half, front = rng.normal(71, 2.5), rng.normal(92, 3)
    outline = np.power(np.abs(cx / half) ** 2.6 + np.abs(cy / front) ** 2.6, -1 / 2.6)
    nose = np.exp(-np.square(cx / 0.10)) * ramp(-d[2], 0.16, 0.4) * (cy < 0)
    radius = (outline + nose * rng.uniform(12, 26)) / level
    return np.asarray(radius * ramp(-d[2], 0.02, 0.15) * (cy < 0.3), np.float32)


def _cortex(rng: np.random.Generator, d: Array, age: float) -> Array:
    gap = 0.7 + 2.4 * age**1.5 * rng.uniform(0.4, 1.4)
    gap = (
        gap
        * np.exp(0.35 * smooth_noise(rng, TEXTURE, 40))
        * (1 + 0.5 * age * ramp(-d[1], 0.2, 0.9))
    )
    deep = _sulci(rng, rng.uniform(5.0, 7.0))
    shallow = _sulci(rng, rng.uniform(3.2, 4.5))
    depth = np.clip(15 + 6 * smooth_noise(rng, TEXTURE, 11), 3, 28)
    return np.stack([gap, deep, shallow, depth], -1).astype(np.float32)


def _sulci(rng: np.random.Generator, sigma: float) -> Array:
    """Return the distance in mm to the nearest sulcus: the zero lines of band-pass noise."""
    field = smooth_noise(rng, TEXTURE, sigma) - 0.8 * smooth_noise(rng, TEXTURE, 2.5 * sigma)
    field = field - cv2.GaussianBlur(field, (0, 0), 2 * sigma)
    inside = (field > 0).astype(np.uint8)
    far: Array = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    far += cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    open_ = np.exp(0.7 * np.maximum(smooth_noise(rng, TEXTURE, 20) - 0.4, 0))  # sulci that end
    return np.asarray((far - 0.5) * MM_PER_TEXEL * open_, np.float32)


def _base(rng: np.random.Generator) -> Array:
    """Return height and thickness of the skull base over (x, y), 0.5 mm a texel, center (0, 0)."""
    axis = (np.arange(TEXTURE, dtype=np.float32) - TEXTURE / 2) * 0.5
    x, y = np.meshgrid(axis + np.float32(rng.normal(0, 1)), axis + np.float32(rng.normal(0, 1)))
    ax = np.abs(x)
    wing = -37 + 0.020 * np.square(ax - 38)
    front = ramp(y - wing, 6, -6)
    back = ramp(y - (0.55 * ax - 1), -5, 5)
    dome = np.exp(-np.square((ax - 27) / 15) - np.square((y + 60) / 20))
    roof = -25 + rng.uniform(9, 15) * dome
    middle = -42 + 14 * ramp(ax, 16, 9) + 10 * np.square((ax - 36) / 24) * (ax > 36)
    rear = np.maximum(-68.0, -28 - 44 * ramp(y, 0, 30) * ramp(ax, 60, 5))
    height = front * roof + (1 - front) * ((1 - back) * middle + back * rear)
    ridge = np.abs(y - (0.55 * ax - 1)) / 6
    height = np.maximum(height, -24 - 24 * np.square(ridge) - 26 * ramp(ax, 12, 4))
    height = np.where(np.hypot(x / 15, (y - 42) / 19) < 1, -200, height)
    height += smooth_noise(rng, TEXTURE, 12) * 1.6
    thick = 3.0 + 3 * back + 18 * np.exp(-np.square(ridge / 2.2)) + 9 * ramp(ax, 16, 8)
    thick = np.where(front > 0.5, 3.0 + 2 * ramp(ax, 14, 6), thick)
    thick = thick + 11 * np.exp(-np.square((y - wing) / 5)) * ramp(ax, 8, 14)
    return np.stack([height, thick], -1).astype(np.float32)
