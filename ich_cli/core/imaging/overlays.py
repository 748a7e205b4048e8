"""Draw slices, maps over slices, and the orientation letters at their edges."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import Geometry, Vector
from ich_cli.core.imaging.windowing import to_uint8
from ich_cli.core.imaging.windows import BRAIN, Window

__all__ = [
    "LEVELS", "OPACITY", "STYLES", "EdgeLetters", "Style", "blend", "colours", "contours",
    "edge_letters", "line_colour", "opacity_of", "outline", "overlay", "picture",
]  # fmt: skip

Style = Literal["heat", "contour"]
STYLES: Final[tuple[Style, ...]] = ("heat", "contour")
"""``heat`` blends the map with the picture, ``contour`` draws lines of equal value."""
OPACITY: Final = 0.75
"""Opacity of the highest map value: the anatomy stays visible under it."""
LEVELS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Map values of the contours; each is twice the one outside it."""

_INFERNO_START: Final = 0.25  # lower colours of inferno are as dark as a CT
_SUBPIXELS: Final = 4  # fractional bits of the coordinates for OpenCV

_OBLIQUE: Final = 0.38  # sine of 22.5 degrees: a tilted gantry alone does not add a letter
_LETTERS: Final = (("L", "R"), ("P", "A"), ("H", "F"))  # + and - of x, y, z


class EdgeLetters(NamedTuple):
    """Directions of the body at the edges of a picture (PS3.3 C.7.6.1.1.1)."""

    left: str
    right: str
    top: str
    bottom: str


def edge_letters(geometry: Geometry) -> EdgeLetters | None:
    """Return the letters at the edges of a slice as stored; None where unknown.

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


def overlay(
    image: NDArray[np.float32] | NDArray[np.uint8],
    values: NDArray[np.float32],
    opacity: float = OPACITY,
    style: Style = "heat",
    window: Window = BRAIN,
) -> NDArray[np.uint8]:
    """Draw a map over a slice.

    Parameters
    ----------
    image
        float ``(H, W)`` in HU, to be windowed by `window`; or a picture, uint8 ``(H, W)`` grey or
        ``(H, W, 3)`` RGB.
    values
        float32 ``(H, W)`` in [0, 1].
    opacity
        Opacity of the highest value, in [0, 1].
    style
        One of `STYLES`.
    window
        Center and width in HU.

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W, 3)``, RGB.

    Raises
    ------
    ValueError
        For an opacity outside [0, 1], an unknown style, or a map of another size.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be between 0 and 1, not {opacity}")
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, not {style!r}")
    base = _as_rgb(image, window)
    if base.shape[:2] != values.shape:
        raise ValueError(f"the map has shape {values.shape}, but the picture {base.shape[:2]}")
    return outline(base, values, opacity) if style == "contour" else blend(base, values, opacity)


def blend(
    background: NDArray[np.uint8], values: NDArray[np.float32], opacity: float = OPACITY
) -> NDArray[np.uint8]:
    """Blend a map with a picture: higher values are brighter and more opaque.

    Parameters
    ----------
    background
        uint8 ``(H, W, 3)``, RGB.
    values
        float32 ``(H, W)`` in [0, 1]; colour and opacity are the same function of it everywhere.
    opacity
        Opacity of the value 1.

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W, 3)``, RGB. Where the map is 0 the picture is unchanged.
    """
    clipped = np.clip(np.nan_to_num(values), 0, 1)
    share = opacity_of(clipped, opacity)[:, :, None]
    mixed = background * (1 - share) + colours(clipped) * share
    return np.rint(mixed).astype(np.uint8)


def outline(
    background: NDArray[np.uint8], values: NDArray[np.float32], opacity: float = OPACITY
) -> NDArray[np.uint8]:
    """Draw lines of equal map value over a picture, at `LEVELS`.

    Parameters
    ----------
    background
        uint8 ``(H, W, 3)``, RGB.
    values
        float32 ``(H, W)`` in [0, 1]. A map below the lowest level has no line.
    opacity
        Opacity of the lines.

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W, 3)``, RGB. Between the lines the picture is unchanged.
    """
    drawn = background.copy()
    width = max(1, round(min(values.shape) / 300))
    for level, lines in contours(values):
        colour = line_colour(level)
        scaled = [np.rint(line * 2**_SUBPIXELS).astype(np.int32) for line in lines]
        for shade, thick in (([0, 0, 0], width + 1), (colour, width)):  # black rim: visible on bone
            cv2.polylines(drawn, scaled, False, shade, thick, cv2.LINE_AA, _SUBPIXELS)
    return cast("NDArray[np.uint8]", cv2.addWeighted(drawn, opacity, background, 1 - opacity, 0))


def contours(values: NDArray[np.float32]) -> list[tuple[float, list[NDArray[np.float64]]]]:
    """Return the contours of a map as pairs of level and lines, each ``(n, 2)``: x, y in pixels.

    Levels above the map's maximum are left out. The map is smoothed first, with a sigma of a
    hundredth of its side.
    """
    from contourpy import contour_generator

    smooth = cv2.GaussianBlur(np.nan_to_num(values), (0, 0), max(0.3, min(values.shape) / 100))
    found = contour_generator(z=smooth)
    lines = ((level, found.lines(level)) for level in LEVELS)
    return [(level, cast("list[NDArray[np.float64]]", those)) for level, those in lines if those]


def line_colour(level: float) -> tuple[int, int, int]:
    """Return the RGB of a contour; each level is lighter than the one before by the same step."""
    place = np.full((1, 1), 0.35 + 0.6 * LEVELS.index(level) / (len(LEVELS) - 1), np.float32)
    red, green, blue = colours(place)[0, 0].tolist()
    return red, green, blue


def opacity_of(values: NDArray[np.float32], opacity: float = OPACITY) -> NDArray[np.float32]:
    """Return the opacity of map values in [0, 1], float32 of the same shape."""
    return np.asarray(opacity * values**0.6, np.float32)


def colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours of map values.

    The colour map is inferno without its darkest quarter: perceptually uniform, readable with any
    colour vision and in grey, and never confused with the grey of the CT.

    Parameters
    ----------
    values
        float32 ``(H, W)`` in [0, 1].

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W, 3)``, RGB.
    """
    place = _INFERNO_START + (1 - _INFERNO_START) * values
    bgr = cv2.applyColorMap(np.rint(place * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)


def _as_rgb(image: NDArray[np.float32] | NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    if image.dtype != np.uint8:
        return picture(cast("NDArray[np.float32]", image), window)
    grey = cast("NDArray[np.uint8]", image)
    return np.repeat(grey[:, :, None], 3, axis=2) if grey.ndim == 2 else grey


def _letters(direction: Vector, *, flip: bool = False) -> str:
    signed = [-value if flip else value for value in direction]
    largest = sorted(range(3), key=lambda axis: -abs(signed[axis]))
    return "".join(
        _LETTERS[axis][signed[axis] < 0]
        for place, axis in enumerate(largest)
        if place == 0 or abs(signed[axis]) > _OBLIQUE
    )
