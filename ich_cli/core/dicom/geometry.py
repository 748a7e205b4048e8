"""Read position and orientation of a slice from its data set (PS3.3 C.7.6.2)."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Final

from ich_cli.core.dicom.ct_slice import Geometry, Vector
from ich_cli.core.dicom.elements import Elements

_MAX_MM: Final = 1e5  # larger coordinates are implausible
_MIN_AXIAL_COSINE: Final = math.cos(math.radians(45.0))


def read_geometry(groups: Sequence[Elements]) -> tuple[Geometry, tuple[str, ...]]:
    """Read the geometry of a slice.

    Parameters
    ----------
    groups
        Data sets to search, in this order: the frame's functional groups, the shared ones, the top
        level.

    Returns
    -------
    Geometry, tuple of str
        Geometry without malformed values, and a note on each of those.
    """
    notes: list[str] = []
    position = _vector(groups, "ImagePositionPatient", 3, notes)
    directions = _directions(_vector(groups, "ImageOrientationPatient", 6, notes), notes)
    row, column = directions or (None, None)
    spacing = _vector(groups, "PixelSpacing", 2, notes)
    thickness = _first(groups, "SliceThickness")
    location = _first(groups, "SliceLocation")
    geometry = Geometry(
        position=None if position is None else (position[0], position[1], position[2]),
        row_direction=row,
        column_direction=column,
        spacing=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness=abs(thickness[0]) if thickness and _plausible(thickness[:1]) else None,
        tilt=_tilt(_first(groups, "GantryDetectorTilt"), row, column),
        location=location[0] if location and _plausible(location[:1]) else None,
    )
    return geometry, tuple(notes)


def is_axial(geometry: Geometry) -> bool:
    """Return whether the slice's normal is within 45 degrees of the body's axis, or unknown."""
    if geometry.row_direction is None or geometry.column_direction is None:
        return True
    return abs(_normal(geometry.row_direction, geometry.column_direction)[2]) >= _MIN_AXIAL_COSINE


def _first(groups: Sequence[Elements], keyword: str) -> tuple[float, ...] | None:
    for group in groups:
        if found := group.numbers(keyword):
            return found
    return None


def _plausible(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) and abs(value) < _MAX_MM for value in values)


def _vector(
    groups: Sequence[Elements], keyword: str, length: int, notes: list[str]
) -> tuple[float, ...] | None:
    values = _first(groups, keyword)
    if values is None or (len(values) == length and _plausible(values)):
        return values
    notes.append(f"{keyword} is malformed: ignored")
    return None


def _directions(values: tuple[float, ...] | None, notes: list[str]) -> tuple[Vector, Vector] | None:
    """Return the two directions as unit vectors; None unless they are perpendicular."""
    if values is None:
        return None
    row, column = _unit(values[:3]), _unit(values[3:])
    if row is None or column is None or abs(sum(map(operator.mul, row, column))) > 0.02:
        notes.append("ImageOrientationPatient is malformed: ignored")
        return None
    return row, column


def _unit(vector: Sequence[float]) -> Vector | None:
    """Return a vector scaled to length 1; None where its length is not near 1."""
    x, y, z = vector
    length = math.sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length) if 0.5 <= length <= 2.0 else None


def _normal(row: Vector, column: Vector) -> Vector:
    """Return the cross product."""
    (a, b, c), (d, e, f) = row, column
    return b * f - c * e, c * d - a * f, a * e - b * d


def _tilt(stated: tuple[float, ...] | None, row: Vector | None, column: Vector | None) -> float:
    """Return GantryDetectorTilt, else the rotation about the left-right axis, in degrees."""
    if stated and math.isfinite(stated[0]) and 0 < abs(stated[0]) <= 45:
        return stated[0]
    if row is None or column is None:
        return 0.0
    _, back, up = _normal(row, column)
    angle = math.degrees(math.atan2(back, up))
    return round(math.remainder(angle, 180.0), 3) + 0.0  # the same for a normal that points down
