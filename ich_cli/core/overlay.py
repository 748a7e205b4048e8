"""Pictures of slices and of maps over them, and the letters at their edges: arrays only."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.config import BRAIN, Window
from ich_cli.core.ctslice import Geometry, Vector
from ich_cli.core.windowing import to_uint8

OPACITY: Final = 0.75
"""Of the strongest map value: the anatomy stays visible under it."""

_OBLIQUE: Final = 0.38  # sine of 22.5 degrees: a tilted gantry alone does not add a letter
_LETTERS: Final = (("L", "R"), ("P", "A"), ("H", "F"))  # + and - of x, y, z


class EdgeLetters(NamedTuple):
    """Directions of the body at the edges of a picture, as PS3.3 C.7.6.1.1.1 writes them."""

    left: str
    right: str
    top: str
    bottom: str


def edge_letters(geometry: Geometry) -> EdgeLetters | None:
    """Return the letters for the edges of a slice as stored, None where they are not known.

    A (front), P (back), L and R (the patient's left and right), H (head), F (feet), from
    ImageOrientationPatient (PS3.3 C.7.6.2.1.1). An oblique edge has two letters, the nearer first.
    """
    across, down = geometry.row_direction, geometry.column_direction
    if across is None or down is None:
        return None
    return EdgeLetters(
        left=_letters(across, flip=True),
        right=_letters(across),
        top=_letters(down, flip=True),
        bottom=_letters(down),
    )


def picture(hu: NDArray[np.float32], window: Window = BRAIN) -> NDArray[np.uint8]:
    """Return a slice in a window as RGB.

    Parameters
    ----------
    hu
        float32 ``(H, W)`` in HU.
    window
        Center and width in HU.

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W, 3)``, grey.
    """
    return np.repeat(to_uint8(hu, window)[:, :, None], 3, axis=2)


def blend(background: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a map over a picture: the higher its value, the brighter and the more opaque.

    Parameters
    ----------
    background
        uint8 ``(H, W, 3)``, RGB.
    values
        float32 ``(H, W)`` in [0, 1]; colour and opacity mean the same value in every picture.

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W, 3)``, RGB. Where the map is 0 the picture is unchanged.
    """
    clipped = np.clip(np.nan_to_num(values), 0, 1)
    opacity = opacity_of(clipped)[:, :, None]
    mixed = background * (1 - opacity) + colours(clipped) * opacity
    return np.rint(mixed).astype(np.uint8)


def opacity_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how opaque map values in [0, 1] are drawn, float32 of the same shape."""
    opacity: NDArray[np.float32] = (OPACITY * values**0.75).astype(np.float32)
    return opacity


def colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours of map values.

    The scale is inferno: it grows evenly in lightness, so it reads the same with any colour vision
    and in grey.

    Parameters
    ----------
    values
        float32 ``(H, W)`` in [0, 1].

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W, 3)``, RGB.
    """
    bgr = cv2.applyColorMap(np.rint(values * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)


def _letters(direction: Vector, *, flip: bool = False) -> str:
    signed = [-value if flip else value for value in direction]
    largest = sorted(range(3), key=lambda axis: -abs(signed[axis]))
    return "".join(
        _LETTERS[axis][signed[axis] < 0]
        for place, axis in enumerate(largest)
        if place == 0 or abs(signed[axis]) > _OBLIQUE
    )
