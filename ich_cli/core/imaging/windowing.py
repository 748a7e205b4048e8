"""CT windows: Hounsfield units to display or model intensity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core.imaging.windows import Window


def apply_window(hu: ArrayLike, window: Window) -> NDArray[np.float32]:
    """Map HU linearly onto [0, 1] and clip.

    The LINEAR_EXACT function of DICOM PS3.3 C.11.2.1.3.2: ``(hu - center) / width + 0.5``.

    Parameters
    ----------
    hu
        Hounsfield units, any shape and real dtype.
    window
        Center and width in HU; the width is positive.

    Returns
    -------
    numpy.ndarray
        Same shape, float32 in [0, 1].

    Raises
    ------
    ValueError
        If the width is not positive.
    """
    if not window.width > 0:
        raise ValueError(f"a window's width must be positive, not {window.width}")
    values = np.asarray(hu, dtype=np.float32)
    scaled = np.empty_like(values)  # in place: allocating memory would take most of the time
    np.subtract(values, window.center - window.width / 2, out=scaled)
    scaled /= window.width
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def to_uint8(hu: ArrayLike, window: Window) -> NDArray[np.uint8]:
    """Map HU through a window onto [0, 255], rounded to nearest (halves up).

    Parameters
    ----------
    hu
        Hounsfield units, any shape.
    window
        Center and width in HU.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8.
    """
    scaled = apply_window(hu, window)
    scaled *= 255.0
    scaled += 0.5
    return scaled.astype(np.uint8)
