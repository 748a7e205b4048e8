"""Read PNG and JPEG pictures of CT slices to Hounsfield units.

A picture holds the gray levels of one window: HU beyond its ends are lost, and a picture does not
say which window it is. HU = value / 255 x width + center - width / 2. At the ends, black that is
connected with the border becomes air, and white becomes bone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import AIR_HU, Limits, Seekable
from ich_cli.core.errors import (
    BrokenFileError,
    InputError,
    LimitError,
    NotApplicableError,
)

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

BONE_HU: Final = 1000.0
"""HU of white pixels, where the window ends below it."""
ASSUMED: Final = "the window is unknown: 40/80 is assumed"
UNCHECKED: Final = "picture: size, thickness, gaps and contrast agent cannot be checked"
NO_WINDOW: Final = (
    "give the window of pictures: --window CENTER,WIDTH, as 40,80 of the brain, or unknown"
)

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_BITS: Final = {
    "L": 8, "LA": 8, "P": 8, "PA": 8, "RGB": 8, "RGBA": 8, "I;16": 16, "I;16B": 16, "I": 16,
}  # fmt: skip
"""Pillow's modes → bits per pixel and channel."""
_TINT: Final = 8  # gray levels by which the channels of a gray picture may differ
_NOISE: Final = 8 / 255  # JPEG makes black up to 8 gray levels brighter
_LEAST_SIDE: Final = 16


class PictureWindow(NamedTuple):
    """HU range ``center ± width / 2`` that a picture shows from black to white."""

    center: float = 40.0
    width: float = 80.0
    known: bool = True
    """False where it is assumed."""

    @property
    def lowest(self) -> float:
        """HU of black."""
        return self.center - self.width / 2


UNKNOWN_WINDOW: Final = PictureWindow(known=False)


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """Size and window of a picture, in place of the pixel format of a DICOM file."""

    rows: int
    columns: int
    bits: int
    """8 or 16 bits per pixel and channel."""
    window: PictureWindow

    @property
    def native(self) -> bool:
        """True: no codec of DICOM is needed."""
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the slice: how its HU were found, and what cannot be checked."""
        center, width, known = self.window
        note = f"{self.bits}-bit picture, HU from window {center:g}/{width:g}"
        return (note, UNCHECKED) if known else (note, ASSUMED, UNCHECKED)


def is_picture(head: bytes) -> bool:
    """Return whether a file is PNG or JPEG, from its first 8 bytes."""
    return head.startswith((_PNG, _JPEG))


def read_picture(raw: Seekable, name: str, limits: Limits, window: PictureWindow) -> PictureFormat:
    """Read the header of a PNG or JPEG file.

    Parameters
    ----------
    raw
        Open file, for which `is_picture` is true.
    name
        File name for errors.
    limits
        Bound rows and columns.
    window
        Window of the picture.

    Raises
    ------
    InputError
        If the picture is damaged, too large or too small, or has no gray levels.
    """
    image = _open(raw, name)
    columns, rows = image.size
    if max(rows, columns) > limits.max_side:
        raise LimitError(name, f"a picture of {columns} x {rows}, the limit is {limits.max_side}")
    if min(rows, columns) < _LEAST_SIDE:
        raise BrokenFileError(name, f"a picture of {columns} x {rows}: too small for a slice")
    if image.mode not in _BITS:
        raise NotApplicableError(name, f"a picture of mode {image.mode}, not gray levels")
    return PictureFormat(rows, columns, _BITS[image.mode], window)


def picture_hu(raw: Seekable, fmt: PictureFormat, name: str) -> NDArray[np.float32]:
    """Decode a picture and rebuild its HU.

    Parameters
    ----------
    raw
        Open file.
    fmt
        As `read_picture` returned it.
    name
        File name for errors.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)``, see `hu_from_gray`.

    Raises
    ------
    InputError
        If it is damaged, in colour, or all pixels are equal.
    """
    image = _open(raw, name)
    try:
        gray = _gray(image, name)
    except InputError:
        raise
    except MemoryError:
        raise LimitError(name, "not enough memory to decode the picture") from None
    except Exception as error:  # damaged codestreams
        raise BrokenFileError(
            name, f"the picture is damaged ({type(error).__name__})", "copy it again"
        ) from None
    if gray.shape != (fmt.rows, fmt.columns):
        raise BrokenFileError(name, "changed since its header was read", "run again")
    if gray.min() == gray.max():
        raise BrokenFileError(name, "all pixels of the picture are equal")
    return hu_from_gray(gray, fmt.window)


def hu_from_gray(gray: NDArray[np.float32], window: PictureWindow) -> NDArray[np.float32]:
    """Return HU of gray levels.

    Parameters
    ----------
    gray
        float32 ``(H, W)`` in [0, 1].
    window
        Window of the picture.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)``: linear in the window. Black that is connected with the border, up to 8
        of 255 gray levels, is `AIR_HU`; white is `BONE_HU` where the window ends below it.
    """
    hu = linear_hu(gray, window)
    hu[_outside(gray <= _NOISE)] = min(AIR_HU, window.lowest)
    white = gray >= 1
    hu[white] = np.maximum(hu[white], BONE_HU)
    return hu


def linear_hu(gray: NDArray[np.float32], window: PictureWindow) -> NDArray[np.float32]:
    """Return ``gray * width + center - width / 2``, float32, of gray levels in [0, 1]."""
    return np.asarray(gray * np.float32(window.width) + np.float32(window.lowest), np.float32)


def _outside(black: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the part of a mask that is connected with the border."""
    framed = np.pad(black, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(framed, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] == labels[0, 0])


def _open(raw: Seekable, name: str) -> ImageFile:
    """Read the header by the image classes, since `Image.open` warns about large sizes."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    raw.seek(0)
    head = raw.read(len(_PNG))
    raw.seek(0)
    file: Any = raw
    try:
        return PngImageFile(file) if head == _PNG else JpegImageFile(file)
    except MemoryError:
        raise LimitError(name, "not enough memory to read the picture") from None
    except Exception as error:  # damaged headers
        raise BrokenFileError(
            name, f"the picture's header is damaged ({type(error).__name__})", "copy it again"
        ) from None


def _gray(image: ImageFile, name: str) -> NDArray[np.float32]:
    """Return gray levels float32 ``(H, W)`` in [0, 1]; transparent pixels are black."""
    if _BITS[image.mode] == 16:
        return np.asarray(image, np.float32) / np.float32(65535)
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image, np.float32) / np.float32(255)
    pixels = np.asarray(image.convert("RGBA"), np.float32)
    colours = pixels[..., :3] * (pixels[..., 3:] / 255)
    if float(np.ptp(colours, axis=-1).max()) > _TINT:
        raise NotApplicableError(name, "a picture in colour, not Hounsfield units")
    return np.asarray(colours[..., 1] / np.float32(255), np.float32)
