"""Slice to model input: THE one path for train, evaluate, predict, explain and the demo.

    CTSlice (H, W) HU ── head_box ── crop ── pad to a square with air ── windows ── resize ──▶
    uint8 (C, S, S)

`prepare` also returns the `Placement`, with which `uncrop` takes a map of the model's input back
to the pixels of the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.imaging import head_box, to_uint8
from ich_cli.core.preprocessing.config import PreprocessConfig


class Placement(NamedTuple):
    """Where the model's square input lies in the slice, in slice pixels."""

    top: int
    left: int
    side: int
    """Side of the square before it was resized; the square may reach over the slice's border."""
    size: int
    """Side after resizing: one input pixel is ``side / size`` slice pixels."""
    box: tuple[int, int, int, int]
    """Top, left, bottom, right (exclusive) of the crop that really holds image."""


class Prepared(NamedTuple):
    """A model's input and the way back to the slice."""

    pixels: NDArray[np.uint8]
    """``(C, S, S)``, 0 … 255; windows vary fastest, slices from -context to +context."""
    placement: Placement


def prepare(
    ct: CTSlice, config: PreprocessConfig, neighbours: Sequence[CTSlice | None] = ()
) -> Prepared:
    """Turn a slice into a model's input.

    Parameters
    ----------
    ct
        The slice in HU.
    config
        Preset, size, windows and context, as saved in the bundle.
    neighbours
        With ``context=n``, the n slices before and the n after it in anatomical order, None
        where the series ends. Where there is none, the slice itself stands in.

    Returns
    -------
    Prepared
        uint8 ``(C, S, S)`` and the placement.

    Raises
    ------
    ValueError
        If there are neighbours, but not ``2 * context`` of them.
    """
    if config.preset == "dlmi":
        return _prepare_dlmi(ct.hu, config.size)
    box = head_box(ct.hu)
    placement = _centred(box, config.size)
    stack = [ct if other is None else other for other in _around(ct, neighbours, config.context)]
    planes = np.empty((config.channels, config.size, config.size), np.uint8)
    unfilled = iter(planes)
    for one in stack:
        inside = _inside(one.hu, placement)
        square = np.zeros((placement.side, placement.side), np.uint8)
        for window in config.windows:
            _place(to_uint8(inside, window), placement, square)
            _resize(square, config.size, next(unfilled))
    return Prepared(planes, placement)


def prepare_mask(mask: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """Take a bit field over a slice to the model's input, as `prepare` took the slice.

    Parameters
    ----------
    mask
        uint8 ``(H, W)``; each bit is a mask of its own.
    placement
        As `prepare` gave it.

    Returns
    -------
    numpy.ndarray
        uint8 ``(S, S)``; a bit is set where it covers at least a quarter of the input's pixel.
    """
    square, size = _place(_inside(mask, placement), placement), placement.size
    out = np.zeros((size, size), np.uint8)
    for bit in range(8):
        plane = np.where(square & np.uint8(1 << bit), 255, 0).astype(np.uint8)
        if plane.any():
            out |= (_resize(plane, size) >= 64).astype(np.uint8) << np.uint8(bit)
    return out


def uncrop(
    values: NDArray[np.float32], placement: Placement, shape: tuple[int, int], fill: float = 0.0
) -> NDArray[np.float32]:
    """Take a map over the model's input back to the pixels of the slice.

    Parameters
    ----------
    values
        float32 ``(h, w)``, any resolution; it covers the whole square input.
    placement
        As `prepare` gave it.
    shape
        Rows and columns of the slice.
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
    out = np.full(shape, fill, dtype=np.float32)
    top, left = max(0, placement.top), max(0, placement.left)
    bottom = min(shape[0], placement.top + placement.side)
    right = min(shape[1], placement.left + placement.side)
    out[top:bottom, left:right] = square[
        top - placement.top : bottom - placement.top, left - placement.left : right - placement.left
    ]
    return out


def _around(
    ct: CTSlice, neighbours: Sequence[CTSlice | None], context: int
) -> list[CTSlice | None]:
    given = list(neighbours) or [None] * (2 * context)
    if len(given) != 2 * context:
        raise ValueError(f"context {context} takes {2 * context} neighbours, not {len(given)}")
    return [*given[:context], ct, *given[context:]]


def _centred(box: tuple[int, int, int, int], size: int) -> Placement:
    top, left, bottom, right = box
    side = max(bottom - top, right - left)
    return Placement(
        top=top - (side - (bottom - top)) // 2,
        left=left - (side - (right - left)) // 2,
        side=side,
        size=size,
        box=box,
    )


def _inside(plane: NDArray[Any], placement: Placement) -> NDArray[Any]:
    """Cut the box out of a slice; a neighbour may be smaller than the slice itself."""
    top, left, bottom, right = placement.box
    return plane[top:bottom, left:right]


def _place(
    cut: NDArray[np.uint8], placement: Placement, square: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Set what was cut out, windowed, into a square of air (black); what it lacks stays air."""
    top, left, _, _ = placement.box
    if square is None:
        square = np.zeros((placement.side, placement.side), np.uint8)
    row, column = top - placement.top, left - placement.left
    square[row : row + cut.shape[0], column : column + cut.shape[1]] = cut
    return square


def _resize(
    plane: NDArray[np.uint8], size: int, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Resize a square; averaging when it shrinks, so that thin bleeds are not skipped over."""
    how = cv2.INTER_AREA if plane.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (size, size), dst=out, interpolation=how), np.uint8)


# The midterm project's pipeline, kept to the pixel so that its published numbers can be redone.

_DLMI: Final = ((40, 80, 0), (80, 200, -20), (40, 380, -150))  # center, width, its own lower end


def _prepare_dlmi(hu: NDArray[np.float32], size: int) -> Prepared:
    planes = np.stack([_dlmi_window(hu, *window) for window in _DLMI])
    box = _nonzero_box(planes.max(axis=0))
    top, left, bottom, right = box
    side = max(bottom - top, right - left)
    placement = Placement(top, left, side, size, box)
    if not planes.any():  # the predecessor left such a picture as it was, and so not square
        return Prepared(np.zeros((len(_DLMI), size, size), np.uint8), placement)
    resized = [
        cv2.resize(_place(plane, placement), (size, size), interpolation=cv2.INTER_LINEAR)
        for plane in (_inside(whole, placement) for whole in planes)
    ]
    return Prepared(np.stack(resized).astype(np.uint8, copy=False), placement)


def _dlmi_window(hu: NDArray[np.float32], center: int, width: int, lower: int) -> NDArray[np.uint8]:
    clipped = np.clip(hu.astype(np.float64), center - width // 2, center + width // 2)
    scaled = (clipped - lower) / width
    return np.asarray((scaled - scaled.min()) * 255).astype(np.uint8)


def _nonzero_box(picture: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    if rows.size == 0:
        return 0, 0, picture.shape[0], picture.shape[1]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
