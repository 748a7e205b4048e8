"""Where the blood lies, where that is known: bit fields beside the slices of a data set.

Bit k of a pixel says that `SUBTYPES[k]` bleeds there. Phantoms know it exactly; of CT-ICH people
drew boxes around it, in which the dense pixels between the bones are taken.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import DataError
from ich_cli.core.labels import SUBTYPES

BOXES: Final = "boxes.csv"
UNKNOWN: Final = 128
"""A pixel of which nobody knows whether it bleeds."""

_BLOOD_HU: Final = (48.0, 100.0)  # clotted blood: 50 to 90; grey matter seldom passes 45
_BONE_HU: Final = 150.0
_BONE_RIM: Final = 5  # pixels beside bone are as dense as blood by partial volume alone
_SPECK: Final = 25  # fewer pixels than this in one piece are noise
_LEAST_SHARE: Final = 0.08  # of its box; less dense than that, the blood is old: take the ellipse


class Box(NamedTuple):
    """A box around one hemorrhage, in fractions of the picture."""

    kind: int
    """Index into `SUBTYPES`."""
    x: float
    """Center."""
    y: float
    width: float
    height: float


def read_boxes(path: Path) -> dict[tuple[int, int], tuple[Box, ...]]:
    """Read a table of boxes: patient's and slice's number to the boxes of that slice.

    Parameters
    ----------
    path
        CSV with the columns PatientNumber, SliceNumber, subtype, cx, cy, w, h; the last four are
        center and size as fractions of the picture's width and height.

    Raises
    ------
    DataError
        If it does not parse.
    """
    found: dict[tuple[int, int], tuple[Box, ...]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            try:
                place = int(row["PatientNumber"]), int(row["SliceNumber"])
                box = Box(
                    SUBTYPES.index(row["subtype"]), *(float(row[k]) for k in ("cx", "cy", "w", "h"))
                )
            except (KeyError, TypeError, ValueError):
                raise DataError(
                    f"{path}: needs PatientNumber, SliceNumber, subtype, cx, cy, w, h in each row"
                ) from None
            found[place] = (*found.get(place, ()), box)
    return found


def blood_in_boxes(hu: NDArray[np.float32], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """Mark what is as dense as blood inside boxes.

    Parameters
    ----------
    hu
        float32 ``(H, W)``.
    boxes
        Of this slice. In a box without enough dense pixels its inscribed ellipse is marked.

    Returns
    -------
    numpy.ndarray
        uint8 ``(H, W)``, a bit field over `SUBTYPES`.
    """
    smooth = cv2.GaussianBlur(hu, (0, 0), 1.5)
    rim = np.ones((2 * _BONE_RIM + 1,) * 2, np.uint8)
    bone = cv2.dilate((hu > _BONE_HU).astype(np.uint8), rim)
    dense = ((smooth >= _BLOOD_HU[0]) & (smooth <= _BLOOD_HU[1]) & (bone == 0)).astype(np.uint8)
    mask = np.zeros(hu.shape, np.uint8)
    for box in boxes:
        ellipse, rectangle = _shapes(hu.shape, box)
        blood = _without_specks(dense & rectangle)
        if int(blood.sum()) < _LEAST_SHARE * int(rectangle.sum()):
            blood = ellipse
        mask |= blood << np.uint8(box.kind)
    return mask


def _shapes(shape: tuple[int, ...], box: Box) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rows, columns = shape
    ellipse, rectangle = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    center = round(box.x * columns), round(box.y * rows)
    half = max(1, round(box.width * columns / 2)), max(1, round(box.height * rows / 2))
    cv2.ellipse(ellipse, center, half, 0, 0, 360, 1, thickness=-1)
    top, left = max(0, center[1] - half[1]), max(0, center[0] - half[0])
    rectangle[top : center[1] + half[1] + 1, left : center[0] + half[0] + 1] = 1
    return ellipse, rectangle


def _without_specks(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    large = np.zeros(count, np.uint8)
    large[1:] = stats[1:, cv2.CC_STAT_AREA] >= _SPECK
    return np.asarray(large[parts], np.uint8)


Mask = NDArray[np.bool_]


def boxes_to_mask(boxes: Iterable[Box], shape: tuple[int, int]) -> Mask:
    """Return the pixels whose centres lie in any of the boxes, bool of `shape`."""
    rows, columns = shape
    y = (np.arange(rows) + 0.5) / rows
    x = (np.arange(columns) + 0.5) / columns
    mask = np.zeros(shape, bool)
    for box in boxes:
        down, across = abs(y - box.y) <= box.height / 2, abs(x - box.x) <= box.width / 2
        mask |= down[:, None] & across[None, :]
    return mask
