"""The `dlmi` preset: the predecessor project's pipeline, so that its results can be reproduced.

1. RescaleSlope and RescaleIntercept were read as integers there; ours are floats, which is the
   same for the whole numbers that CT scanners write.
2. For each (center, width): clip HU to center ± width // 2, subtract a lower end, divide by the
   width. The lower ends are 0, -20 and -150.
3. Subtract from each channel its own minimum over the slice, multiply by 255, truncate to uint8.
   Channel 0 is brain, 1 subdural, 2 bone.
4. Crop to the bounding box of the pixels whose maximum over the channels is above 0; put it at the
   top left of a black square with the longer side. A slice with nothing above 0 stays black.
5. Resize to 512 pixels with OpenCV's default, bilinear interpolation.
6. Divide by 255, subtract (0.485, 0.456, 0.406), divide by (0.229, 0.224, 0.225).

The networks had five outputs (intraventricular, subarachnoid, subdural, intraparenchymal,
epidural); an ensemble was the mean of its members' sigmoids, with a threshold of 0.5.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.imaging import Box, Window
from ich_cli.core.preprocessing.placement import Placement, Prepared, crop, pad

DLMI_WINDOWS: Final = (Window(40, 80), Window(80, 200), Window(40, 380))
"""Brain, subdural and bone as (center, width) in HU."""
_LOWER_ENDS: Final = (0, -20, -150)


def prepare_dlmi(hu: NDArray[np.float32], size: int) -> Prepared:
    """Return the input of a `dlmi` network.

    Parameters
    ----------
    hu
        float32 ``(H, W)`` in HU.
    size
        Side of the input in pixels.

    Returns
    -------
    Prepared
        uint8 ``(3, size, size)`` and the placement.
    """
    planes = np.stack(
        [
            _channel(hu, *window, lower)
            for window, lower in zip(DLMI_WINDOWS, _LOWER_ENDS, strict=True)
        ]
    )
    box = _nonzero_box(planes.max(axis=0))
    top, left, bottom, right = box
    placement = Placement(top, left, max(bottom - top, right - left), size, box)
    if not planes.any():
        return Prepared(np.zeros((len(planes), size, size), np.uint8), placement)
    squares = [pad(crop(plane, placement), placement) for plane in planes]
    resized = [cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR) for one in squares]
    return Prepared(np.stack(resized).astype(np.uint8, copy=False), placement)


def _channel(hu: NDArray[np.float32], center: float, width: float, lower: int) -> NDArray[np.uint8]:
    clipped = np.clip(hu.astype(np.float64), center - width // 2, center + width // 2)
    scaled = (clipped - lower) / width
    return np.asarray((scaled - scaled.min()) * 255).astype(np.uint8)


def _nonzero_box(picture: NDArray[np.uint8]) -> Box:
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    if rows.size == 0:
        return 0, 0, picture.shape[0], picture.shape[1]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
