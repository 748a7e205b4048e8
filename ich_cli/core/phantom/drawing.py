"""Drawing of thin sections: smooth noise, soft edges, simple shapes, and the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""float32 array; lengths are in millimetres of the standard head unless stated otherwise."""

TEXTURE: Final = 512
"""Side of the maps over directions and of the noise tiles, in texels."""


def smooth_noise(rng: np.random.Generator, size: int, sigma: float) -> Array:
    """Return Gaussian-filtered white noise, float32 `(size, size)`, mean 0, variance 1, periodic.

    Parameters
    ----------
    rng
        Source of randomness.
    size
        Side in texels.
    sigma
        Standard deviation of the filter in texels; large ones are computed on a coarse grid.
    """
    step = max(1, int(sigma / 3))
    coarse = -(-size // step)
    pad = int(4 * sigma / step) + 2
    noise: Array = rng.standard_normal((coarse, coarse), dtype=np.float32)
    noise = np.pad(noise, pad, mode="wrap")
    noise = cv2.GaussianBlur(noise, (0, 0), sigma / step)
    if step > 1:
        noise = cv2.resize(noise, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    noise = noise[pad * step : pad * step + size, pad * step : pad * step + size]
    return np.ascontiguousarray((noise - noise.mean()) / (noise.std() + 1e-6), np.float32)


def cover(distance: Array, soft: float) -> Array:
    """Return the share of a pixel inside a shape, in [0, 1], from a signed distance.

    `distance` is negative inside; `soft` is the width of the edge in its unit.
    """
    out: Array = distance * np.float32(-1.0 / soft)
    out += np.float32(0.5)
    return np.clip(out, 0, 1, out=out)


def ramp(value: Array, low: float, high: float) -> Array:
    """Return smoothstep of `value` between `low` (0) and `high` (1); falls if `low` > `high`."""
    t: Array = np.clip((value - np.float32(low)) * np.float32(1.0 / (high - low)), 0, 1)
    out: Array = t * t * (np.float32(3) - np.float32(2) * t)
    return out


def lambert(direction: Array) -> Array:
    """Map unit vectors `(3, …)` onto texel coordinates `(2, …)` of a direction map.

    Lambert's equal-area projection about the vertex (+z): continuous everywhere except straight
    below, where there is neither cortex nor vault.
    """
    factor = np.sqrt(np.float32(2) / np.maximum(1 + direction[2], np.float32(1e-4)))
    half = np.float32((TEXTURE - 1) / 2)
    scaled = factor * np.float32((TEXTURE - 1) / 4)
    return np.stack([direction[0] * scaled + half, direction[1] * scaled + half]).astype(np.float32)


def lambert_directions() -> Array:
    """Return the unit vector of every texel, float32 `(3, TEXTURE, TEXTURE)`."""
    axis = (np.arange(TEXTURE, dtype=np.float32) - (TEXTURE - 1) / 2) * (4 / (TEXTURE - 1))
    u, v = np.meshgrid(axis, axis)
    square = np.minimum(u * u + v * v, np.float32(3.98))
    factor = np.sqrt(1 - square / 4)
    out = np.stack([u * factor, v * factor, 1 - square / 2])
    return np.asarray(out / np.linalg.norm(out, axis=0), np.float32)


def ellipsoid(p: Array, center: npt.ArrayLike, radii: npt.ArrayLike) -> Array:
    """Return the approximate signed distance of points `p (3, …)` to an axis-aligned ellipsoid."""
    c, r = np.asarray(center, np.float32), np.asarray(radii, np.float32)
    q = np.square((p[0] - c[0]) / r[0])
    q += np.square((p[1] - c[1]) / r[1])
    q += np.square((p[2] - c[2]) / r[2])
    out: Array = (np.sqrt(q) - 1) * np.float32(r.min())
    return out


def capsule(p: Array, a: npt.ArrayLike, b: npt.ArrayLike, ra: float, rb: float) -> Array:
    """Return the signed distance of points `p (3, …)` to a tapered tube from `a` to `b`."""
    start = np.asarray(a, np.float32)
    axis = np.asarray(b, np.float32) - start
    d0, d1, d2 = p[0] - start[0], p[1] - start[1], p[2] - start[2]
    t = (d0 * axis[0] + d1 * axis[1] + d2 * axis[2]) / np.float32(axis @ axis)
    t = np.clip(t, 0, 1)
    square = np.square(d0 - t * axis[0])
    square += np.square(d1 - t * axis[1])
    square += np.square(d2 - t * axis[2])
    out: Array = np.sqrt(square) - (np.float32(ra) + t * np.float32(rb - ra))
    return out


@dataclass
class Plane:
    """Plane of a section in the standard head: `p = origin + row · down + col · right`."""

    origin: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    shape: tuple[int, int]

    def points(self, step: int = 1) -> Array:
        """Return the coordinates of all pixels, float32 `(3, H, W)` (every `step`-th one)."""
        rows = np.arange(0, self.shape[0], step, dtype=np.float32)[:, None]
        cols = np.arange(0, self.shape[1], step, dtype=np.float32)[None, :]
        return np.stack(
            [
                np.float32(self.origin[k])
                + rows * np.float32(self.down[k])
                + cols * np.float32(self.right[k])
                for k in range(3)
            ]
        )

    def crop(self, top: int, left: int, bottom: int, right: int) -> Plane:
        """Return the plane of the pixels `[top:bottom, left:right]`."""
        origin = self.origin + top * self.down + left * self.right
        return Plane(origin, self.right, self.down, (bottom - top, right - left))

    def box(self, center: npt.ArrayLike, reach: float) -> tuple[slice, slice] | None:
        """Return the pixels within `reach` of `center`, or None if the plane is farther away."""
        offset = np.asarray(center, np.float64) - self.origin
        basis = np.stack([self.down, self.right], 1)
        place = np.linalg.lstsq(basis, offset, rcond=None)[0]
        if np.linalg.norm(offset - basis @ place) > reach:
            return None
        half = reach / np.array([np.linalg.norm(self.down), np.linalg.norm(self.right)])
        low = np.maximum(np.floor(place - half), 0).astype(int)
        high = np.minimum(np.ceil(place + half) + 1, self.shape).astype(int)
        if (high <= low).any():
            return None
        return slice(low[0], high[0]), slice(low[1], high[1])


@dataclass
class Canvas:
    """A thin section being drawn.

    `p` holds the coordinates in the skull, `b` those in the undisturbed brain (they differ by the
    mass effect), both float32 `(3, H, W)`; `noise` four noise fields `(H, W, 4)`; `hu` the picture.
    """

    plane: Plane
    p: Array
    b: Array
    noise: Array
    hu: Array
    soft: float
    margin: float

    def near(self, center: npt.ArrayLike, reach: float) -> Canvas | None:
        """Return the part of the canvas within `reach` of `center` (views), or None."""
        box = self.plane.box(center, reach + self.margin)
        if box is None:
            return None
        rows, cols = box
        plane = self.plane.crop(rows.start, cols.start, rows.stop, cols.stop)
        return Canvas(
            plane,
            self.p[:, rows, cols],
            self.b[:, rows, cols],
            self.noise[rows, cols],
            self.hu[rows, cols],
            self.soft,
            self.margin,
        )

    def mix(self, alpha: Array, value: float | Array) -> None:
        """Blend `value` HU over the picture with the opacity `alpha`."""
        self.hu += alpha * (value - self.hu)

    def paint(self, distance: Array, value: float | Array, soft: float | None = None) -> Array:
        """Blend `value` HU inside a signed distance; return the opacity used."""
        alpha = cover(distance, self.soft if soft is None else soft)
        self.mix(alpha, value)
        return alpha
