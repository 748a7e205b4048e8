"""Replace the soft tissue of a slice by tissue without lesions.

To measure how a model's prediction depends on a region, the region must be replaced by plausible
tissue: models react to grey or black patches. The replacement is the mirror image of the other
side of the head, with its own sulci and noise. Where the other side is bone, air, or denser than
brain (as blood is), it is the mean of the surrounding tissue, with noise. Bone, air and fat are
unchanged.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.imaging.head import Mask, head_mask

SOFT_HU: Final = (-20.0, 120.0)
"""Range of soft tissue including blood: above fat, below bone."""
DENSER_HU: Final = 12.0
"""Smoothed tissue that exceeds the median by more than this may be blood."""

_BONE_HU: Final = 150.0
_COARSE: Final = 96  # side in pixels of the resized slice for the midline
_MAX_ANGLE: Final = 30  # of the midline, in degrees
_SMOOTH, _SURROUNDING, _FEATHER = 0.004, 0.05, 0.008  # sigmas of blurs, as shares of the side


class Midline(NamedTuple):
    """Axis of symmetry of a head."""

    x: float
    """Column of a point on the line."""
    y: float
    """Row of that point."""
    angle: float
    """Angle to the vertical in degrees; positive where the top leans to the left."""

    def reflection(self) -> NDArray[np.float64]:
        """Return the 2 x 3 matrix that maps x, y of a pixel to its mirror image."""
        turn = np.radians(self.angle)
        normal = np.array([np.cos(turn), -np.sin(turn)])
        linear = np.eye(2) - 2 * np.outer(normal, normal)
        point = np.array([self.x, self.y])
        return np.column_stack([linear, point - linear @ point])


def midline(hu: NDArray[np.float32], head: Mask) -> Midline:
    """Find the line about which the head is most similar to its mirror image.

    Parameters
    ----------
    hu
        float32 ``(H, W)`` in HU.
    head
        bool ``(H, W)``.

    Returns
    -------
    Midline
        Within 30 degrees of the vertical; vertical through the centre where there is no head.
    """
    if not head.any():
        return Midline((hu.shape[1] - 1) / 2, (hu.shape[0] - 1) / 2, 0.0)
    scale = _COARSE / max(hu.shape)
    clipped = np.clip(hu, -100, 200)
    resized = cv2.resize(clipped, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = np.asarray(resized, np.float32)
    rows, columns = np.nonzero(head)
    x, y = float(columns.mean() * scale), float(rows.mean() * scale)
    best = Midline(x, y, 0.0)
    for angles, shifts in ((np.arange(-_MAX_ANGLE, 31, 5), np.arange(-6, 7, 2)),
                           (np.arange(-4, 5, 1), np.arange(-1.5, 2, 0.5))):  # fmt: skip
        candidates = [Midline(best.x + s, y, best.angle + a) for a in angles for s in shifts]
        best = min(candidates, key=lambda line: _asymmetry(small, line))
    return Midline((best.x + 0.5) / scale - 0.5, (best.y + 0.5) / scale - 0.5, best.angle)


def _asymmetry(picture: NDArray[np.float32], line: Midline) -> float:
    mirrored = _warp(picture, line, -100.0)
    return float(np.abs(mirrored - picture).mean())


def _warp(values: NDArray[np.float32], line: Midline, outside: float) -> NDArray[np.float32]:
    size = (values.shape[1], values.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP  # a reflection is its own inverse
    warped = cv2.warpAffine(values, line.reflection(), size, flags=flags, borderValue=(outside,))
    return np.asarray(warped, np.float32)


def soft_tissue(hu: NDArray[np.float32], head: Mask) -> Mask:
    """Return the soft tissue of the head that does not touch bone, bool ``(H, W)``."""
    bone = cv2.dilate((hu > _BONE_HU).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return np.asarray(head & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1]) & ~bone, bool)


def inpaint_lesions(hu: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Return the slice with all its soft tissue replaced by tissue without lesions.

    Parameters
    ----------
    hu
        float32 ``(H, W)`` in HU.
    seed
        Seed of the noise.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)`` in HU; equal to `hu` in bone, air and fat.
    """
    head = head_mask(hu)
    soft = soft_tissue(hu, head)
    if not soft.any():
        return hu.copy()
    side = max(hu.shape)
    smooth = _mean_of(hu, soft, _SMOOTH * side)
    normal = soft & (smooth < float(np.median(hu[soft])) + DENSER_HU)
    if not normal.any():
        return hu.copy()
    line = midline(hu, head)
    mirrored = _warp(hu, line, 0.0)
    usable = soft & (_warp(normal.astype(np.float32), line, 0.0) > 0.99)
    rest = _mean_of(hu, normal, _SURROUNDING * side) + _noise(hu - smooth, normal, seed)
    return np.where(soft, np.where(usable, mirrored, rest), hu).astype(np.float32)


def replace_region(
    hu: NDArray[np.float32], inpainted: NDArray[np.float32], region: Mask
) -> NDArray[np.float32]:
    """Return the slice with a region taken from the inpainted one, feathered inward.

    Parameters
    ----------
    hu, inpainted
        float32 ``(H, W)`` in HU.
    region
        bool ``(H, W)``.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)`` in HU; equal to `hu` outside the region.
    """
    sigma = _FEATHER * max(hu.shape)
    blurred = cv2.GaussianBlur(region.astype(np.float32), (0, 0), sigma)
    share = np.clip(2 * blurred - 1, 0, 1) * region  # 0 at a straight border, 1 well inside
    return (hu + (inpainted - hu) * share).astype(np.float32)


def _mean_of(hu: NDArray[np.float32], where: Mask, sigma: float) -> NDArray[np.float32]:
    """Return the local mean of the pixels in `where`; far from them, their overall mean."""
    weight = where.astype(np.float32)
    sums = cv2.GaussianBlur(np.where(where, hu, 0).astype(np.float32), (0, 0), sigma)
    weights = cv2.GaussianBlur(weight, (0, 0), sigma)
    overall = float(hu[where].mean())
    return np.asarray((sums + 1e-3 * overall) / (weights + 1e-3), np.float32)


def _noise(residual: NDArray[np.float32], where: Mask, seed: int) -> NDArray[np.float32]:
    """Return noise with the standard deviation of `residual`, correlated over a pixel or two."""
    white = np.random.default_rng(seed).standard_normal(residual.shape).astype(np.float32)
    grain = cv2.GaussianBlur(white, (0, 0), 0.8)
    strength = 1.4826 * float(np.median(np.abs(residual[where])))  # of a normal distribution
    return np.asarray(grain / max(float(grain.std()), 1e-6) * strength, np.float32)
