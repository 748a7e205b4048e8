"""Square crop of a slice that is the model's input, and the mapping back to the slice's pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.imaging import Box
from ich_cli.core.preprocessing.orientation import Orientation


class Placement(NamedTuple):
    """Position of the model's square input in the upright slice, in its pixels."""

    top: int
    left: int
    side: int
    """Side of the square before resizing; the square may extend beyond the slice."""
    size: int
    """Side after resizing: one input pixel is ``side / size`` slice pixels."""
    box: Box
    """Top, left, bottom, right (exclusive) of the part of the slice that is in the square."""
    orientation: Orientation = Orientation()
    """Steps from the stored to the upright slice."""


class Prepared(NamedTuple):
    """Model input with its placement in the slice."""

    pixels: NDArray[np.uint8]
    """``(C, S, S)``, 0 … 255; windows vary fastest, slices from -context to +context."""
    placement: Placement


def centred(box: Box, size: int, orientation: Orientation) -> Placement:
    """Return the square around the centre of a box, to be resized to `size` pixels."""
    top, left, bottom, right = box
    side = max(bottom - top, right - left)
    return Placement(
        top=top - (side - (bottom - top)) // 2,
        left=left - (side - (right - left)) // 2,
        side=side,
        size=size,
        box=box,
        orientation=orientation,
    )


def crop(plane: NDArray[Any], placement: Placement) -> NDArray[Any]:
    """Cut the box out of a slice; the result is smaller where a neighbouring slice is."""
    top, left, bottom, right = placement.box
    return plane[top:bottom, left:right]


def pad(
    cropped: NDArray[np.uint8], placement: Placement, square: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Copy a windowed crop into a black square, `square` if given, and return the square."""
    top, left, _, _ = placement.box
    if square is None:
        square = np.zeros((placement.side, placement.side), np.uint8)
    row, column = top - placement.top, left - placement.left
    square[row : row + cropped.shape[0], column : column + cropped.shape[1]] = cropped
    return square


def resize(
    plane: NDArray[np.uint8], size: int, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Resize a square to `size` pixels; average when shrinking, so that thin bleeds remain."""
    how = cv2.INTER_AREA if plane.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (size, size), dst=out, interpolation=how), np.uint8)


def uncrop(
    values: NDArray[np.float32], placement: Placement, shape: tuple[int, int], fill: float = 0.0
) -> NDArray[np.float32]:
    """Resample a map over the model's input to the stored pixels of the slice.

    Parameters
    ----------
    values
        float32 ``(h, w)``, any resolution; covers the whole square input.
    placement
        As returned by `prepare`.
    shape
        Rows and columns of the slice as stored.
    fill
        Value outside the square.

    Returns
    -------
    numpy.ndarray
        float32 of `shape`.
    """
    square = cv2.resize(
        values.astype(np.float32), (placement.side, placement.side), interpolation=cv2.INTER_LINEAR
    )
    rows, columns = placement.orientation.upright_shape(shape)
    out = np.full((rows, columns), fill, dtype=np.float32)
    top, left = max(0, placement.top), max(0, placement.left)
    bottom = min(rows, placement.top + placement.side)
    right = min(columns, placement.left + placement.side)
    out[top:bottom, left:right] = square[
        top - placement.top : bottom - placement.top, left - placement.left : right - placement.left
    ]
    return placement.orientation.invert(out, shape)
