"""Measure the properties of a slice that the quality gate needs."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice, Geometry, Note
from ich_cli.core.imaging import body_part, filled, largest_part

BONE_HU: Final = 200.0
METAL_HU: Final = 3000.0
"""Above enamel and petrous bone; 12-bit data end at 3071 HU."""
BRAIN_HU: Final = (-10.0, 90.0)
"""Range of the median inside the skull, from fluid to blood."""
SKULL_SHARE: Final = 0.3
"""Smallest share of the body's section enclosed by bone; near 0.7 at the level of the brain."""
SKULL_CM2: Final = 40.0

_COARSE: Final = 128  # side in pixels of the subsampled slice for the skull


class SliceFacts(NamedTuple):
    """Measurements of a slice; None where unknown."""

    along: float | None = None
    """Position along the slice's normal, mm."""
    thickness: float | None = None
    """SliceThickness, mm."""
    tilt: float = 0.0
    """Gantry tilt, degrees."""
    contrast: bool = False
    """True if the header names a contrast agent."""
    body_mm: float | None = None
    """Longer side of the body's bounding box, mm."""
    skull_share: float = 0.0
    """Share of the body's section inside a closed ring of bone, if it has the HU of brain."""
    skull_cm2: float | None = None
    """Area inside that ring, cm²."""
    skull_x: float | None = None
    """Centre of that area, mm to the patient's left."""
    metal_cm2: float | None = None
    """Area at or above `METAL_HU`, cm²."""


def measure(ct: CTSlice) -> SliceFacts:
    """Measure a slice; takes a few milliseconds.

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
        contrast=Note.CONTRAST in ct.notes,
        skull_share=float(ring.sum() / max(1, body)) if is_brain else 0.0,
    )
    if geometry.spacing is None:
        return facts
    down, across = geometry.spacing
    pixel = down * across / 100.0  # cm²
    rows, columns = box
    facts = facts._replace(
        body_mm=max(rows * down, columns * across) * step,
        metal_cm2=float(np.count_nonzero(ct.hu >= METAL_HU)) * pixel,
    )
    if not is_brain:
        return facts
    x = _centre(ring, step, geometry, (down, across))
    return facts._replace(skull_cm2=float(ring.sum()) * step**2 * pixel, skull_x=x)


def has_skull(facts: SliceFacts) -> bool:
    """Return whether bone encloses brain in the slice."""
    large = facts.skull_cm2 is None or facts.skull_cm2 >= SKULL_CM2
    return facts.skull_share >= SKULL_SHARE and large


def _body(hu: NDArray[np.float32], step: int) -> tuple[int, tuple[int, int]]:
    """Return the area of the body with its cavities and the sides of its box, in coarse pixels."""
    body = body_part(hu[::step, ::step])
    if body is None:
        return 0, (0, 0)
    _, _, width, height = cv2.boundingRect(body)
    return int(np.count_nonzero(filled(body))), (height, width)


def _enclosed(hu: NDArray[np.float32], step: int) -> NDArray[np.bool_]:
    """Return the largest part enclosed by bone; a coarse pixel with any bone is bone."""
    fine = (hu > BONE_HU).view(np.uint8)
    block = np.ones((step, step), np.uint8)  # anchored at its top left: covers one coarse pixel
    bone = cv2.dilate(fine, block, anchor=(0, 0))[::step, ::step]
    free = bone == 0
    largest = largest_part((free & ~_outside(free)).view(np.uint8))
    return np.zeros_like(free) if largest is None else largest.view(np.bool_)


def _outside(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the part of `free` that is connected with the picture's border."""
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
