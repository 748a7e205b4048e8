"""Whether a series can be judged at all: facts of each slice, and reasons why not.

Each rule and its numbers stand in docs/reports.md. What cannot be told honestly from an image
(streaks, blur, contrast that the header hides) is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
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
LARGEST_HEAD_MM: Final = 300.0
FEWEST_SLICES: Final = 10
SHORTEST_MM: Final = 90.0
THICKEST_MM: Final = 7.5
STEEPEST_DEGREES: Final = 35.0
WIDEST_GAP: Final = 2.5
"""In usual distances between slices, if it is over `WIDEST_GAP_MM` too."""
WIDEST_GAP_MM: Final = 12.0
METAL_CM2: Final = 0.2
JUMP_MM: Final = 6.0
"""Of the skull's centre between two slices, sideways, against its usual step."""
ROUND_SHARE: Final = 0.55
"""From here on a section is whole, and its centre that of the head."""

NOT_AXIAL: Final = "not axial (ImageOrientationPatient)"
CONTRAST: Final = "contrast agent given: iodine looks like blood"
"""Notes of a slice that the gate takes up."""

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


class Seen(NamedTuple):
    """A slice of a series, as the gate sees it."""

    facts: SliceFacts
    instance: int | None


@dataclass(frozen=True)
class Reason:
    """Why a series cannot be judged, or not well."""

    code: str
    """One of `CODES`."""
    text: str
    """For people, one clause; no patient data."""


CODES: Final = (
    "not-a-head", "not-axial", "contrast", "missing-slices", "unreadable", "thick-slices", "metal",
    "motion", "few-slices",
)  # fmt: skip


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


def judge(slices: Sequence[Seen], *, unreadable: int = 0, not_axial: int = 0) -> tuple[Reason, ...]:
    """Say why a series cannot be judged, or not well; nothing where it can.

    Parameters
    ----------
    slices
        Those with an answer, in anatomical order.
    unreadable
        Slices of it that are damaged.
    not_axial
        Slices of it that were left out since they are not axial.

    Returns
    -------
    tuple of Reason
        In the order of `CODES`.
    """
    facts = [one.facts for one in slices]
    found: list[Reason | None] = [
        _not_a_head(facts) if facts else None,
        _not_axial(facts, not_axial),
        _contrast(facts),
        _missing(slices),
        Reason("unreadable", f"{_slices(unreadable)} could not be read") if unreadable else None,
        _thick(facts),
        _metal(facts),
        _motion(facts),
        _few(facts) if facts else None,
    ]
    return tuple(one for one in found if one)


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


def _not_a_head(facts: Sequence[SliceFacts]) -> Reason | None:
    sizes = [one.body_mm for one in facts if one.body_mm is not None]
    if not any(map(has_skull, facts)):
        return Reason("not-a-head", "not a head: no slice shows brain inside a closed skull")
    if sizes and median(sizes) > LARGEST_HEAD_MM:
        size = f"{median(sizes) / 10:.0f} cm"
        return Reason("not-a-head", f"not only a head: the body's section measures {size}")
    return None


def _not_axial(facts: Sequence[SliceFacts], left_out: int) -> Reason | None:
    if left_out:
        return Reason("not-axial", f"{_slices(left_out)} not axial and left out")
    tilt = max((abs(one.tilt) for one in facts), default=0.0)
    if tilt > STEEPEST_DEGREES:
        return Reason("not-axial", f"slices are {tilt:.0f}° off axial")
    return None


def _contrast(facts: Sequence[SliceFacts]) -> Reason | None:
    if any(one.contrast for one in facts):
        return Reason("contrast", "contrast agent named in the header: iodine looks like blood")
    return None


def _missing(slices: Sequence[Seen]) -> Reason | None:
    """Find gaps that InstanceNumber jumps over too, and gaps wider than any protocol leaves."""
    placed = sorted((one for one in slices if one.facts.along is not None), key=_along)
    gaps = [_along(b) - _along(a) for a, b in pairwise(placed)]
    steps = [gap for gap in gaps if gap > 0.01]
    if len(steps) < 2:
        return None
    usual = median(steps)
    lost = sum(_lost(a, b, usual) for a, b in pairwise(placed)) if steps == gaps else 0
    if lost:
        return Reason("missing-slices", f"{_slices(lost)} missing")
    widest = max(steps)
    if widest > WIDEST_GAP * usual and widest > WIDEST_GAP_MM:
        return Reason("missing-slices", f"a gap of {widest:.0f} mm between slices")
    return None


def _along(one: Seen) -> float:
    return one.facts.along or 0.0


def _lost(a: Seen, b: Seen, usual: float) -> int:
    gap = _along(b) - _along(a)
    steps = round(gap / usual)
    if steps < 2 or abs(gap - steps * usual) > max(0.1 * usual, 0.3):
        return 0
    known = a.instance is not None and b.instance is not None
    return steps - 1 if known and abs((b.instance or 0) - (a.instance or 0)) == steps else 0


def _thick(facts: Sequence[SliceFacts]) -> Reason | None:
    known = [one.thickness for one in facts if one.thickness]
    if known and median(known) > THICKEST_MM:
        return Reason("thick-slices", f"slices of {median(known):g} mm hide thin bleeds")
    return None


def _metal(facts: Sequence[SliceFacts]) -> Reason | None:
    many = sum(has_skull(one) and (one.metal_cm2 or 0) >= METAL_CM2 for one in facts)
    return Reason("metal", f"metal at the level of the brain in {_slices(many)}") if many else None


def _motion(facts: Sequence[SliceFacts]) -> Reason | None:
    """Find a skull that jumps sideways between slices.

    A head is even from left to right, so its centre does not move sideways by anatomy alone, as it
    does to the back. Nodding, blur and streaks are not judged.
    """
    known = [one.skull_x for one in facts if one.skull_share >= ROUND_SHARE]
    centres = [x for x in known if x is not None]
    if len(centres) < 3 or len(centres) < len(known):
        return None
    steps = np.diff(centres)
    jump = float(np.abs(steps - np.median(steps)).max())
    if jump <= JUMP_MM:
        return None
    return Reason("motion", f"the head jumps sideways by {jump:.0f} mm between slices")


def _few(facts: Sequence[SliceFacts]) -> Reason | None:
    if len(facts) < FEWEST_SLICES:
        return Reason("few-slices", f"only {_slices(len(facts))}")
    places = [one.along for one in facts if one.along is not None]
    if len(places) == len(facts) and max(places) - min(places) < SHORTEST_MM:
        return Reason("few-slices", f"only {max(places) - min(places):.0f} mm of the head")
    return None


def _slices(number: int) -> str:
    return f"{number} slice{'' if number == 1 else 's'}"
