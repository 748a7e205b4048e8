"""Slices as scanners and converters store them: turned, mirrored, with oblong pixels.

Headers stay true: every pixel keeps its place in the patient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ich_cli.core.dicom import CTSlice, Geometry, SliceId, Vector

ORIENTATIONS = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""Quarter turns counterclockwise, then left and right exchanged or not."""
UPRIGHT = Geometry(
    position=(-20.0, -30.0, 7.0),
    row_direction=(1.0, 0.0, 0.0),
    column_direction=(0.0, 1.0, 0.0),
    spacing=(0.5, 0.5),
)


def rearranged(plane: NDArray[Any], turns: int, mirrored: bool) -> NDArray[Any]:
    """Return an array turned and mirrored."""
    turned = np.rot90(plane, turns)
    return np.ascontiguousarray(np.fliplr(turned) if mirrored else turned)


def reoriented(ct: CTSlice, turns: int, mirrored: bool) -> CTSlice:
    """Return a slice with square or oblong pixels stored in another orientation."""
    rows, columns = (rearranged(one, turns, mirrored) for one in np.indices(ct.shape))

    def at(row: int, column: int) -> NDArray[np.float64]:
        return place(ct.geometry, rows[row, column], columns[row, column])

    corner, across, down = at(0, 0), at(0, 1) - at(0, 0), at(1, 0) - at(0, 0)
    geometry = replace(
        ct.geometry,
        position=_vector(corner),
        row_direction=_vector(across / np.linalg.norm(across)),
        column_direction=_vector(down / np.linalg.norm(down)),
        spacing=(float(np.linalg.norm(down)), float(np.linalg.norm(across))),
    )
    return replace(ct, hu=rearranged(ct.hu, turns, mirrored), geometry=geometry)


def oblong(ct: CTSlice, axis: int) -> CTSlice:
    """Return a slice whose pixels are the means of pairs along an axis: 1 means twice as wide."""
    geometry = ct.geometry
    assert geometry.spacing is not None
    pairs = np.moveaxis(ct.hu, axis, -1)
    means = pairs.reshape(*pairs.shape[:-1], -1, 2).mean(axis=-1)
    spacing = [*geometry.spacing]
    spacing[axis] *= 2
    corner = place(geometry, 0.5, 0) if axis == 0 else place(geometry, 0, 0.5)
    placed = replace(geometry, position=_vector(corner), spacing=(spacing[0], spacing[1]))
    return replace(ct, hu=np.ascontiguousarray(np.moveaxis(means, -1, axis)), geometry=placed)


def place(geometry: Geometry, row: float, column: float) -> NDArray[np.float64]:
    """Return the patient coordinates of a pixel in mm (PS3.3 C.7.6.2.1.1)."""
    assert geometry.position
    assert geometry.row_direction
    assert geometry.column_direction
    assert geometry.spacing
    down = np.multiply(geometry.column_direction, geometry.spacing[0] * row)
    across = np.multiply(geometry.row_direction, geometry.spacing[1] * column)
    return np.asarray(geometry.position + down + across)


def restored(ds: Dataset, change: Callable[[CTSlice], CTSlice]) -> Dataset:
    """Change pixels and geometry of an uncompressed CT slice in place and return it."""
    directions = [float(value) for value in ds.ImageOrientationPatient]
    geometry = Geometry(
        position=_vector(ds.ImagePositionPatient),
        row_direction=_vector(directions[:3]),
        column_direction=_vector(directions[3:]),
        spacing=(float(ds.PixelSpacing[0]), float(ds.PixelSpacing[1])),
    )
    stored = ds.pixel_array
    changed = change(CTSlice(stored.astype(np.float32), SliceId("made by a test"), geometry))
    now = changed.geometry
    assert now.position
    assert now.row_direction
    assert now.column_direction
    assert now.spacing
    ds.PixelData = np.rint(changed.hu).astype(stored.dtype).tobytes()
    ds.Rows, ds.Columns = changed.shape
    ds.ImagePositionPatient = [round(value, 6) for value in now.position]
    ds.ImageOrientationPatient = [
        round(value, 7) for value in (*now.row_direction, *now.column_direction)
    ]
    ds.PixelSpacing = [round(value, 7) for value in now.spacing]
    return ds


def _vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
