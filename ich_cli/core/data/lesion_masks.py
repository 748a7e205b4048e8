"""Lesion masks as bit fields: bit k of a pixel marks a hemorrhage of `SUBTYPES[k]`.

Masks of phantoms are exact. Those of CT-ICH are the dense pixels inside boxes drawn by people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.label_table import LabelRow
from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError
from ich_cli.core.labels import ANY, SUBTYPES

BOXES: Final = "boxes.csv"
_COLUMNS: Final = ("patientnumber", "slicenumber", "subtype", "cx", "cy", "w", "h")
UNKNOWN: Final = 128
"""Value of a pixel without annotation."""
NO_SUBTYPE: Final = 64
"""Bit of a pixel with a hemorrhage of unknown subtype."""

_BLOOD_HU: Final = (48.0, 100.0)  # clotted blood: 50 to 90; grey matter is rarely above 45
_BONE_HU: Final = 150.0
_BONE_RIM: Final = 5  # pixels next to bone look as dense as blood by partial volume
_MIN_PIXELS: Final = 25  # smaller connected components are noise
_MIN_FRACTION: Final = 0.08  # of the box; below, the blood is no longer dense: use the ellipse


class Box(NamedTuple):
    """Box around one hemorrhage, in fractions of the image."""

    kind: int
    """Index into `SUBTYPES`."""
    x: float
    """Column of the center."""
    y: float
    """Row of the center."""
    width: float
    height: float


def read_boxes(path: Path) -> dict[tuple[int, int], tuple[Box, ...]]:
    """Read a table of boxes into a mapping from (patient, slice number) to boxes.

    Parameters
    ----------
    path
        CSV with the columns PatientNumber, SliceNumber, subtype, cx, cy, w, h; the last four are
        center and size as fractions of the image's width and height.

    Raises
    ------
    DataError
        If it cannot be read or does not parse.
    """
    found: dict[tuple[int, int], tuple[Box, ...]] = {}
    table = read_table(path, _COLUMNS)
    for line, *cells in table[[*_COLUMNS]].itertuples():
        try:
            key = int(cells[0]), int(cells[1])
            box = Box(SUBTYPES.index(cells[2]), *map(float, cells[3:]))
        except ValueError:
            raise DataError(
                f"{path}, line {line}: needs PatientNumber, SliceNumber, subtype, cx, cy, w, h"
            ) from None
        found[key] = (*found.get(key, ()), box)
    return found


def blood_in_boxes(hu: NDArray[np.float32], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """Mark pixels as dense as blood inside boxes.

    Parameters
    ----------
    hu
        float32 ``(H, W)``.
    boxes
        Boxes of this slice. The inscribed ellipse of a box without enough dense pixels is marked.

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
        blood = _remove_small(dense & rectangle)
        if int(blood.sum()) < _MIN_FRACTION * int(rectangle.sum()):
            blood = ellipse
        mask |= blood << np.uint8(box.kind)
    return mask


def labels_of_mask(mask: NDArray[np.uint8] | None) -> LabelRow | None:
    """Return the six labels of a slice by its mask, a bit field; None where there is none.

    Subtypes are NaN, unknown, where the mask has a hemorrhage of unknown subtype and not theirs.
    """
    if mask is None:
        return None
    found = int(np.bitwise_or.reduce(mask, axis=None))
    unknown = math.nan if found & NO_SUBTYPE else 0.0
    subtypes = (1.0 if found >> k & 1 else unknown for k in range(len(SUBTYPES)))
    return (float(found > 0), *subtypes)


def name_subtype(mask: NDArray[np.uint8], labels: LabelRow | None) -> NDArray[np.uint8] | None:
    """Return a mask whose unknown subtype is the slice's only one.

    Parameters
    ----------
    mask
        Bit field ``(H, W)``.
    labels
        Labels of the slice by people.

    Returns
    -------
    numpy.ndarray or None
        The mask as it is where the slice has several subtypes, or unknown ones; None, unknown,
        where it is empty and the labels are positive.
    """
    positive = [k for k, value in enumerate((labels or ())[ANY + 1 :]) if value >= 0.5]
    if not mask.any() and labels is not None and labels[ANY] > 0:
        return None
    if len(positive) != 1:
        return mask
    own = (mask & NO_SUBTYPE > 0).astype(np.uint8) << np.uint8(positive[0])
    return np.asarray((mask & ~np.uint8(NO_SUBTYPE)) | own, np.uint8)


def _shapes(shape: tuple[int, ...], box: Box) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rows, columns = shape
    ellipse, rectangle = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    center = round(box.x * columns), round(box.y * rows)
    half = max(1, round(box.width * columns / 2)), max(1, round(box.height * rows / 2))
    cv2.ellipse(ellipse, center, half, 0, 0, 360, 1, thickness=-1)
    top, left = max(0, center[1] - half[1]), max(0, center[0] - half[0])
    rectangle[top : center[1] + half[1] + 1, left : center[0] + half[0] + 1] = 1
    return ellipse, rectangle


def _remove_small(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    large = np.zeros(count, np.uint8)
    large[1:] = stats[1:, cv2.CC_STAT_AREA] >= _MIN_PIXELS
    return np.asarray(large[parts], np.uint8)


Mask = NDArray[np.bool_]


def boxes_to_mask(boxes: Iterable[Box], shape: tuple[int, int]) -> Mask:
    """Return a bool mask of the pixels with their center in any of the boxes."""
    rows, columns = shape
    y = (np.arange(rows) + 0.5) / rows
    x = (np.arange(columns) + 0.5) / columns
    mask = np.zeros(shape, bool)
    for box in boxes:
        down, across = abs(y - box.y) <= box.height / 2, abs(x - box.x) <= box.width / 2
        mask |= down[:, None] & across[None, :]
    return mask
