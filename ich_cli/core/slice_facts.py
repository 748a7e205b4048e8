"""What the quality gate needs of each slice, taken from its pixels in a few milliseconds."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.ctslice import CTSlice, Geometry

BONE_HU: Final = 200.0
BODY_HU: Final = -300.0
METAL_HU: Final = 3000.0
"""Above enamel and petrous bone; where 12 bits end, 3071 is all that metal can reach."""
BRAIN_HU: Final = (-10.0, 90.0)
"""Median of what a skull encloses, from fluid to blood."""
SKULL_SHARE: Final = 0.3
"""Of the body's section, enclosed by bone; at the level of the brain it is near 0.7."""
SKULL_CM2: Final = 40.0
CONTRAST: Final = "contrast agent given: iodine looks like blood"
"""Note of a slice whose header names a contrast agent."""

_COARSE: Final = 128  # the skull is looked for in a picture of about this side


class SliceFacts(NamedTuple):
    """What the gate needs of a slice; None where the file does not say."""

    along: float | None = None
    """Place along the slice's normal, mm."""
    thickness: float | None = None
    """SliceThickness, mm."""
    tilt: float = 0.0
    """Gantry tilt, degrees."""
    contrast: bool = False
    """Whether the header names a contrast agent."""
    body_mm: float | None = None
    """Longer side of the body's box, mm."""
    skull_share: float = 0.0
    """Share of the body's section that a closed ring of bone encloses, if it is like brain."""
    skull_cm2: float | None = None
    """The same as an area."""
    skull_x: float | None = None
    """Centre of that area, mm to the patient's left."""
    metal_cm2: float | None = None
    """Area at or over `METAL_HU`."""


def measure(ct: CTSlice) -> SliceFacts:
    """Take the facts of a slice; a few milliseconds.

    Parameters
    ----------
    ct
        The slice in HU.
    """
    geometry = ct.geometry
    step = max(1, round(max(ct.shape) / _COARSE))
    body, box = _body(ct.hu, step)
    ring = _enclosed(ct.hu, step)
    inside = ct.hu[::step, ::step][ring]
    is_brain = inside.size > 0 and BRAIN_HU[0] <= float(np.median(inside)) <= BRAIN_HU[1]
    facts = SliceFacts(
        along=geometry.along_normal(),
        thickness=geometry.thickness,
        tilt=geometry.tilt,
        contrast=CONTRAST in ct.notes,
        skull_share=float(ring.sum() / max(1, body)) if is_brain else 0.0,
    )
    if geometry.spacing is None:
        return facts
    down, across = geometry.spacing
    pixel = down * across / 100.0  # cm²
    rows, columns = box
    facts = facts._replace(
        body_mm=max(rows * down, columns * across) * step,
        metal_cm2=float((ct.hu >= METAL_HU).sum()) * pixel,
    )
    if not is_brain:
        return facts
    x = _centre(ring, step, geometry, (down, across))
    return facts._replace(skull_cm2=float(ring.sum()) * step**2 * pixel, skull_x=x)


def has_skull(facts: SliceFacts) -> bool:
    """Say whether bone encloses brain in this slice."""
    large = facts.skull_cm2 is None or facts.skull_cm2 >= SKULL_CM2
    return facts.skull_share >= SKULL_SHARE and large


def _body(hu: NDArray[np.float32], step: int) -> tuple[int, tuple[int, int]]:
    """Return the pixels of the largest part denser than air with its holes, and its box's sides."""
    coarse = (hu[::step, ::step] > BODY_HU).astype(np.uint8)
    opened = cv2.morphologyEx(coarse, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return 0, (0, 0)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    whole = ~_outside(labels != largest)
    _, _, width, height, _ = stats[largest]
    return int(whole.sum()), (int(height), int(width))


def _enclosed(hu: NDArray[np.float32], step: int) -> NDArray[np.bool_]:
    """Return the largest part that bone encloses, on the coarse grid; bone wins a coarse pixel."""
    fill = ((0, -hu.shape[0] % step), (0, -hu.shape[1] % step))
    fine = np.pad(hu > BONE_HU, fill)
    blocks = fine.reshape(fine.shape[0] // step, step, fine.shape[1] // step, step)
    bone = blocks.any(axis=(1, 3))
    free = np.logical_not(bone)
    inner = (free & ~_outside(free)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inner, connectivity=4)
    if count < 2:
        return np.zeros_like(bone)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def _outside(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what of `free` is connected with the picture's border."""
    framed = np.pad(free, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(framed, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] == labels[0, 0])


def _centre(
    ring: NDArray[np.bool_], step: int, geometry: Geometry, spacing: tuple[float, float]
) -> float | None:
    """Return how far to the patient's left the centre of an area lies, in mm."""
    place, row, column = geometry.position, geometry.row_direction, geometry.column_direction
    if place is None or row is None or column is None:
        return None
    rows, columns = np.nonzero(ring)
    down = float(rows.mean()) * step * spacing[0]
    across = float(columns.mean()) * step * spacing[1]
    return round(place[0] + across * row[0] + down * column[0], 2)
