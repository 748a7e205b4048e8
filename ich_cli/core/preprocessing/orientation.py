"""Turn slices upright and make their pixels square, and map back to the stored pixels.

Upright means: the patient's right is at the left edge of the picture and the front at the top, as
far as one of the eight flips and transpositions allows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice, Geometry, Vector

_MAX_STRETCH: Final = 4.0  # larger ratios of spacings are errors in the header
_MAX_SIDE: Final = 4096  # pixels of an upright slice
_CLEARLY: Final = (
    1e-3  # decimals of a direction, so that rounding errors do not decide between two orientations
)


class Orientation(NamedTuple):
    """Steps from stored to upright, square pixels: transpose, flip, stretch."""

    transposed: bool = False
    flipped_rows: bool = False
    """Top and bottom are exchanged, after transposition."""
    flipped_columns: bool = False
    """Left and right are exchanged, after transposition."""
    stretch: tuple[float, float] = (1.0, 1.0)
    """Upright pixels per turned pixel along a column and along a row; the smaller one is 1."""

    def turn(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Transpose and flip an array ``(H, W)``; returns the array itself if it is upright."""
        if not any(self[:3]):
            return stored
        turned = stored.T if self.transposed else stored
        return np.ascontiguousarray(self._flip(turned))

    def turn_back(self, turned: NDArray[Any]) -> NDArray[Any]:
        """Undo `turn`."""
        if not any(self[:3]):
            return turned
        flipped = self._flip(turned)
        return np.ascontiguousarray(flipped.T if self.transposed else flipped)

    def apply(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return HU ``(H, W)`` upright with square pixels; the array itself if nothing changes."""
        return _interpolated(self.turn(stored), self.upright_shape(stored.shape))

    def apply_to_mask(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a mask ``(H, W)`` upright, each pixel with the bits of the nearest stored one."""
        turned, shape = self.turn(stored), self.upright_shape(stored.shape)
        return np.asarray(_resized(turned, shape, cv2.INTER_NEAREST_EXACT), np.uint8)

    def invert(self, upright: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
        """Undo `apply` for an array of stored `shape`; stretched pixels are averaged."""
        turned = _resized(upright, self.turned_shape(shape), cv2.INTER_AREA)
        return self.turn_back(turned)

    def upright_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return rows and columns after `apply` to an array of stored `shape`."""
        rows, columns = self.turned_shape(shape)
        return round(rows * self.stretch[0]), round(columns * self.stretch[1])

    def turned_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return rows and columns after `turn` of an array of stored `shape`."""
        rows, columns = shape
        return (columns, rows) if self.transposed else (rows, columns)

    def stored_index(
        self, index: tuple[float, float], shape: tuple[int, ...]
    ) -> tuple[float, float]:
        """Return the stored row and column at an upright one; pixel centres are whole numbers."""
        turned, sides = self.turned_shape(shape), self.upright_shape(shape)
        row, column = (
            (at + 0.5) * before / after - 0.5
            for at, before, after in zip(index, turned, sides, strict=True)
        )
        row = turned[0] - 1 - row if self.flipped_rows else row
        column = turned[1] - 1 - column if self.flipped_columns else column
        return (column, row) if self.transposed else (row, column)

    def _flip(self, turned: NDArray[Any]) -> NDArray[Any]:
        return turned[:: -1 if self.flipped_rows else 1, :: -1 if self.flipped_columns else 1]


def orientation_of(ct: CTSlice) -> Orientation:
    """Return the steps that turn a slice upright, from its directions and spacing.

    Without directions, slices are taken as stored; without spacing, pixels are taken as square.
    """
    turned = _turn_of(ct.geometry)
    down, across = _turned_spacing(ct.geometry.spacing or (1.0, 1.0), turned)
    smaller = min(down, across)
    stretch = (down / smaller, across / smaller)
    if max(stretch) > _MAX_STRETCH:
        return turned
    stretched = turned._replace(stretch=stretch)
    return stretched if max(stretched.upright_shape(ct.shape)) <= _MAX_SIDE else turned


def upright(ct: CTSlice) -> CTSlice:
    """Return a slice with the patient's right at the left, the front at the top, square pixels.

    Parameters
    ----------
    ct
        Slice as stored.

    Returns
    -------
    CTSlice
        HU, interpolated along the longer side of pixels that are not square, with their
        geometry. `ct` itself where nothing changes.
    """
    orientation = orientation_of(ct)
    hu = orientation.apply(ct.hu)
    return ct if hu is ct.hu else replace(ct, hu=hu, geometry=_upright_geometry(ct, orientation))


def _turn_of(geometry: Geometry) -> Orientation:
    """Return the orientation whose rows run most to the left and columns most to the back."""
    row, column = geometry.row_direction, geometry.column_direction
    if row is None or column is None:
        return Orientation()
    transposed = abs(column[0]) + abs(row[1]) > abs(row[0]) + abs(column[1]) + _CLEARLY
    left, back = (column[0], row[1]) if transposed else (row[0], column[1])
    return Orientation(transposed, back < -_CLEARLY, left < -_CLEARLY)


def _turned_spacing(spacing: tuple[float, float], orientation: Orientation) -> tuple[float, float]:
    down, across = spacing
    return (across, down) if orientation.transposed else (down, across)


def _upright_geometry(ct: CTSlice, orientation: Orientation) -> Geometry:
    """Return the position, directions and spacing of the upright pixels."""
    stored, known = ct.geometry, ct.geometry.spacing
    turned = orientation.turned_shape(ct.shape)
    sides = orientation.upright_shape(ct.shape)
    down, across = _turned_spacing(known or (1.0, 1.0), orientation)
    spacing = (down * turned[0] / sides[0], across * turned[1] / sides[1]) if known else None
    if stored.row_direction is None or stored.column_direction is None:
        return replace(stored, spacing=spacing)
    first, second = stored.row_direction, stored.column_direction
    if orientation.transposed:
        first, second = second, first
    corner = orientation.stored_index((0, 0), ct.shape)
    return replace(
        stored,
        position=_point(stored, corner) if known else None,
        row_direction=_signed(first, flip=orientation.flipped_columns),
        column_direction=_signed(second, flip=orientation.flipped_rows),
        spacing=spacing,
    )


def _point(geometry: Geometry, index: tuple[float, float]) -> Vector | None:
    """Return the patient coordinates of a row and column in mm."""
    place, across, down = geometry.position, geometry.row_direction, geometry.column_direction
    if place is None or across is None or down is None or geometry.spacing is None:
        return None
    row, column = index[0] * geometry.spacing[0], index[1] * geometry.spacing[1]
    x, y, z = (
        start + row * below + column * beside
        for start, below, beside in zip(place, down, across, strict=True)
    )
    return x, y, z


def _signed(direction: Vector, *, flip: bool) -> Vector:
    x, y, z = direction
    return (-x, -y, -z) if flip else direction


def _interpolated(turned: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return HU by cubic interpolation within the range nearby: bone and air cast no rims."""
    if turned.shape == shape:
        return turned
    nearby = np.ones((3, 3), np.uint8)
    low = _resized(cv2.erode(turned, nearby), shape, cv2.INTER_NEAREST_EXACT)
    high = _resized(cv2.dilate(turned, nearby), shape, cv2.INTER_NEAREST_EXACT)
    return np.asarray(np.clip(_resized(turned, shape, cv2.INTER_CUBIC), low, high))


def _resized(plane: NDArray[Any], shape: tuple[int, int], interpolation: int) -> NDArray[Any]:
    if plane.shape == shape:
        return plane
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=interpolation))
