"""Find the head in a slice."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

BODY_HU: Final = -300.0
"""Between air and fat: what is denser belongs to the body, the headrest or a tube."""
_COARSE: Final = 160  # the head is looked for in a picture of about this side: a millisecond


def head_box(hu: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Find the head: the bounding box of the largest connected part denser than air.

    A thin headrest or tube that touches the skin is opened away first. A slice without anything
    denser than air keeps its whole field.

    Parameters
    ----------
    hu
        float32 ``(H, W)`` in HU.

    Returns
    -------
    tuple of int
        Top, left, bottom, right, the last two exclusive.
    """
    rows, columns = hu.shape
    step = max(1, round(max(rows, columns) / _COARSE))
    top, left = min(step // 2, rows - 1), min(step // 2, columns - 1)
    body = (hu[top::step, left::step] > BODY_HU).astype(np.uint8)
    opened = cv2.morphologyEx(body, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    largest = largest_part(opened)
    if largest is None:
        return 0, 0, rows, columns
    left, top, width, height = cv2.boundingRect(largest)
    return (
        int(max(0, (top - 1) * step)),
        int(max(0, (left - 1) * step)),
        int(min(rows, (top + height + 1) * step)),
        int(min(columns, (left + width + 1) * step)),
    )


def largest_part(mask: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return the largest connected part of a mask; None where all of it is 0.

    Parameters
    ----------
    mask
        uint8 ``(H, W)``, 0 or 1; sides count as neighbours, corners do not.

    Returns
    -------
    numpy.ndarray or None
        uint8 ``(H, W)``, 0 or 1; of parts of one size, the first.
    """
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    if count < 2:
        return None  # counting here takes a third of what OpenCV's statistics of all parts do
    areas = np.bincount(labels.ravel(), minlength=count)
    return np.asarray(labels == 1 + int(np.argmax(areas[1:]))).view(np.uint8)


def head_mask(hu: NDArray[np.float32]) -> Mask:
    """Return the head, sinuses and all: the largest part denser than air, its holes filled.

    Parameters
    ----------
    hu
        float32 ``(H, W)`` in HU.

    Returns
    -------
    numpy.ndarray
        bool ``(H, W)``; empty where there is nothing but air.
    """
    body = (hu > BODY_HU).astype(np.uint8)
    opened = cv2.morphologyEx(body, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(hu.shape, np.uint8)
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled.astype(bool)
