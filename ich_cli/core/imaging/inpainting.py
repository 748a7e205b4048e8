"""A slice's healthy twin: the same head with healthy-looking tissue wherever there is soft tissue.

To ask a model what it would say without a part of a picture, the part must be replaced by
something that could be there. Grey or black patches would be answered as patches. The twin's
tissue is the mirrored other side of the same head, with its own sulci and noise; where that is
bone, air, or denser than brain (blood is), the mean of the tissue around, with noise. Bone, air
and fat stay as they are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.imaging.head import Mask, head_mask

SOFT_HU: Final = (-20.0, 120.0)
"""Soft tissue, blood included: above fat, below bone."""
DENSER_HU: Final = 12.0
"""What is denser than the median soft tissue by more than this, smoothed, may be blood."""

_BONE_HU: Final = 150.0
_COARSE: Final = 96  # side of the picture in which the midline is looked for
_STEEPEST: Final = 30  # degrees that the midline may lean
_SMOOTH, _AROUND, _FEATHER = 0.004, 0.05, 0.008  # widths of blurs, as shares of the side


class Midline(NamedTuple):
    """The line about which a head is nearly symmetric."""

    x: float
    """Column of a point on it."""
    y: float
    """Row of that point."""
    angle: float
    """Degrees that it leans from the vertical, its top to the left positive."""

    def reflection(self) -> NDArray[np.float64]:
        """Return the 2 x 3 matrix that takes a pixel's x, y to its mirror's."""
        turn = np.radians(self.angle)
        normal = np.array([np.cos(turn), -np.sin(turn)])
        linear = np.eye(2) - 2 * np.outer(normal, normal)
        point = np.array([self.x, self.y])
        return np.column_stack([linear, point - linear @ point])


def midline(hu: NDArray[np.float32]) -> Midline:
    """Find the line about which the head looks most like its mirror image.

    It is taken to run from top to bottom, within 30 degrees, as in axial slices as they are stored.
    """
    head = head_mask(hu)
    if not head.any():
        return Midline((hu.shape[1] - 1) / 2, (hu.shape[0] - 1) / 2, 0.0)
    scale = _COARSE / max(hu.shape)
    clipped = np.clip(hu, -100, 200)
    resized = cv2.resize(clipped, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = np.asarray(resized, np.float32)
    rows, columns = np.nonzero(head)
    x, y = float(columns.mean() * scale), float(rows.mean() * scale)
    best = Midline(x, y, 0.0)
    for angles, shifts in ((np.arange(-_STEEPEST, 31, 5), np.arange(-6, 7, 2)),
                           (np.arange(-4, 5, 1), np.arange(-1.5, 2, 0.5))):  # fmt: skip
        tried = [Midline(best.x + s, y, best.angle + a) for a in angles for s in shifts]
        best = min(tried, key=lambda line: _unlike(small, line))
    return Midline((best.x + 0.5) / scale - 0.5, (best.y + 0.5) / scale - 0.5, best.angle)


def _unlike(picture: NDArray[np.float32], line: Midline) -> float:
    mirrored = _warp(picture, line, -100.0)
    return float(np.abs(mirrored - picture).mean())


def _warp(values: NDArray[np.float32], line: Midline, outside: float) -> NDArray[np.float32]:
    size = (values.shape[1], values.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP  # a reflection is its own inverse
    warped = cv2.warpAffine(values, line.reflection(), size, flags=flags, borderValue=(outside,))
    return np.asarray(warped, np.float32)


def soft_tissue(hu: NDArray[np.float32], head: Mask) -> Mask:
    """Return what may be replaced: soft tissue of the head, not touching bone."""
    bone = cv2.dilate((hu > _BONE_HU).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return np.asarray(head & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1]) & ~bone, bool)


def healthy_twin(hu: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Return the slice with healthy-looking tissue in place of all its soft tissue.

    Parameters
    ----------
    hu
        float32 ``(H, W)`` in HU.
    seed
        Of the noise.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)`` in HU; equal to `hu` in bone, air and fat.
    """
    soft = soft_tissue(hu, head_mask(hu))
    if not soft.any():
        return hu.copy()
    side = max(hu.shape)
    smooth = _mean_of(hu, soft, _SMOOTH * side)
    calm = soft & (smooth < float(np.median(hu[soft])) + DENSER_HU)
    if not calm.any():
        return hu.copy()
    line = midline(hu)
    mirrored = _warp(hu, line, 0.0)
    usable = soft & (_warp(calm.astype(np.float32), line, 0.0) > 0.99)
    rest = _mean_of(hu, calm, _AROUND * side) + _noise(hu - smooth, calm, seed)
    return np.where(soft, np.where(usable, mirrored, rest), hu).astype(np.float32)


def replace(
    hu: NDArray[np.float32], twin: NDArray[np.float32], region: Mask
) -> NDArray[np.float32]:
    """Return the slice with a region of its twin in it, feathered inward at the border."""
    sigma = _FEATHER * max(hu.shape)
    blurred = cv2.GaussianBlur(region.astype(np.float32), (0, 0), sigma)
    share = np.clip(2 * blurred - 1, 0, 1) * region  # 0 at a straight border, 1 well inside
    return (hu + (twin - hu) * share).astype(np.float32)


def _mean_of(hu: NDArray[np.float32], where: Mask, sigma: float) -> NDArray[np.float32]:
    """Return the mean around each pixel of those in `where`; their overall mean far from any."""
    weight = where.astype(np.float32)
    sums = cv2.GaussianBlur(np.where(where, hu, 0).astype(np.float32), (0, 0), sigma)
    weights = cv2.GaussianBlur(weight, (0, 0), sigma)
    overall = float(hu[where].mean())
    return np.asarray((sums + 1e-3 * overall) / (weights + 1e-3), np.float32)


def _noise(residual: NDArray[np.float32], where: Mask, seed: int) -> NDArray[np.float32]:
    """Return noise as strong as the slice's own and, like it, correlated over a pixel or two."""
    white = np.random.default_rng(seed).standard_normal(residual.shape).astype(np.float32)
    grain = cv2.GaussianBlur(white, (0, 0), 0.8)
    strength = 1.4826 * float(np.median(np.abs(residual[where])))  # of a normal distribution
    return np.asarray(grain / max(float(grain.std()), 1e-6) * strength, np.float32)
