"""Anatomical order of the slices of a series, and remarks on their positions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np

from ich_cli.core.dicom import Vector, natural_key
from ich_cli.core.series.types import SliceRef

_SAME: Final = 2  # decimals of a millimetre in which equal positions agree
_LEAST_TILT: Final = 0.5  # degrees


def in_order(refs: Sequence[SliceRef]) -> tuple[list[SliceRef], tuple[str, ...]]:
    """Sort the slices of a series from feet to head along their mean normal.

    Where positions are missing, SliceLocation orders the slices if all have one. InstanceNumber,
    file name and frame number decide where neither is there, or equal.

    Parameters
    ----------
    refs
        Slices of one series, in any order.

    Returns
    -------
    list of SliceRef, tuple of str
        Slices in order, and remarks on the series.
    """
    normal = mean_normal(refs)
    positions = [position(ref, normal) for ref in refs]
    missing = positions.count(None)
    locations = [ref.geometry.location for ref in refs]
    by_location = missing > 0 and None not in locations
    places = locations if by_location else positions
    placed = sorted(zip(places, refs, strict=True), key=_key)
    notes = series_notes([(at, ref) for at, ref in placed if at is not None])
    if missing and len(refs) > 1:
        order = "SliceLocation" if by_location else _other_order(refs)
        note = f"{missing} of {len(refs)} slices without a position: ordered by {order}"
        notes = (*notes, note)
    return [ref for _, ref in placed], notes


def _other_order(refs: Sequence[SliceRef]) -> str:
    numbers = {ref.id.instance for ref in refs}
    return "InstanceNumber" if None not in numbers and len(numbers) == len(refs) else "file name"


def mean_normal(refs: Sequence[SliceRef]) -> Vector:
    """Return the mean unit normal of the slices, turned to point to the head; +z if not known."""
    sums: list[list[float]] = [[], [], []]
    for ref in refs:
        row, column = ref.geometry.row_direction, ref.geometry.column_direction
        if row is None or column is None:
            continue
        normal = np.cross(row, column)
        for axis, value in enumerate((normal * (-1 if normal[2] < 0 else 1)).tolist()):
            sums[axis].append(value)
    x, y, z = (math.fsum(one) for one in sums)  # exact: the same for any order of the files
    length = math.hypot(x, y, z)
    return (x / length, y / length, z / length) if length > 0 else (0.0, 0.0, 1.0)


def position(ref: SliceRef, normal: Vector) -> float | None:
    """Return the position of a slice along a normal in mm, rounded to `_SAME` decimals."""
    place = ref.geometry.position
    if place is None:
        return None
    return round(math.fsum(a * b for a, b in zip(place, normal, strict=True)), _SAME) + 0.0


def _key(placed: tuple[float | None, SliceRef]) -> tuple[object, ...]:
    at, ref = placed
    number = ref.id.instance
    return (
        at is None,
        0.0 if at is None else at,
        number is None,
        number or 0,
        natural_key(ref.source.real or ref.id.path),
        ref.source.real,
        ref.id.path,
        ref.id.frame,
    )


def series_notes(placed: Sequence[tuple[float, SliceRef]]) -> tuple[str, ...]:
    """Say what is unusual in the places of a series: tilt, spacing, gaps, duplicates.

    Parameters
    ----------
    placed
        Position in mm and slice, in order.
    """
    notes = []
    tilts = [ref.geometry.tilt for _, ref in placed]
    if tilts and abs(tilt := median(tilts)) >= _LEAST_TILT:
        notes.append(f"gantry tilt {tilt:.1f} degrees")
    counts = Counter(at for at, _ in placed)
    doubled = sum(count > 1 for count in counts.values())
    if doubled:
        notes.append(f"positions with several slices: {doubled} (kernels or phases mixed?)")
    gaps = np.diff(sorted(counts)).tolist()
    if len(gaps) >= 2:
        notes.extend(_spacing_notes(gaps, placed, doubled == 0))
    return tuple(notes)


def _spacing_notes(
    gaps: list[float], placed: Sequence[tuple[float, SliceRef]], single: bool
) -> list[str]:
    """Tell missing slices (wide gaps where InstanceNumber jumps too) from uneven spacing."""
    usual = median(gaps)
    tolerance = max(0.1 * usual, 0.3)
    odd = [at for at, gap in enumerate(gaps) if abs(gap - usual) > tolerance]
    lost = {at: n for at in odd if single and (n := _lost(gaps[at], usual, placed[at : at + 2]))}
    notes = []
    if lost:
        notes.append(f"slices that seem to be missing from the series: {sum(lost.values())}")
    even = [gap for at, gap in enumerate(gaps) if at not in lost]
    if len(lost) < len(odd):
        notes.append(f"uneven slice spacing {min(even):.1f} to {max(even):.1f} mm")
    return notes


def _lost(gap: float, usual: float, pair: Sequence[tuple[float, SliceRef]]) -> int:
    """Return how many slices a gap lacks; 0 where InstanceNumber does not jump with it."""
    steps = round(gap / usual)
    if steps < 2 or abs(gap - steps * usual) > max(0.1 * usual, 0.3):
        return 0
    first, second = (ref.id.instance for _, ref in pair)
    jumps = first is not None and second is not None and abs(second - first) == steps
    return steps - 1 if jumps else 0
