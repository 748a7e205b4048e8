"""Slices and maps on their way to the browser: whole numbers, deflated, in base64.

The page windows, scales and colours them itself, so that moving through a study asks nobody.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.imaging import colours, edge_letters, opacity_of

_HU: Final = (-1024, 31743)  # what is beyond metal is a fault


def encode_slice(ct: CTSlice) -> dict[str, Any]:
    """Return a slice for the page.

    Returns
    -------
    dict
        ``rows``, ``columns``; ``aspect``: height over width of a pixel; ``letters``: left, right,
        top, bottom, or None; ``hu``: int16, each pixel less its left neighbour (the first of a
        row: less 0), little-endian, deflated, base64.
    """
    hu = np.rint(np.clip(ct.hu, *_HU)).astype("<i2")
    steps = np.diff(hu, axis=1, prepend=np.zeros((hu.shape[0], 1), "<i2"))
    rows, columns = hu.shape
    spacing = ct.geometry.spacing or (1.0, 1.0)
    letters = edge_letters(ct.geometry)
    return {
        "rows": rows,
        "columns": columns,
        "aspect": spacing[0] / spacing[1],
        "letters": list(letters) if letters else None,
        "hu": _packed(steps.astype("<i2").tobytes()),
    }


def encode_map(values: NDArray[np.uint8]) -> str:
    """Return a map of uint8 ``(H, W)`` for the page: each pixel less its left neighbour."""
    steps = np.diff(values, axis=1, prepend=np.zeros((values.shape[0], 1), np.uint8))
    return _packed(steps.tobytes())


def palette() -> list[list[int]]:
    """Return red, green, blue and opacity, each 0 … 255, for the 256 values of a map.

    The opacity is that of a map drawn in full; the page multiplies it by what the reader chose.
    """
    values = np.linspace(0, 1, 256, dtype=np.float32)[None]
    opacity = np.rint(opacity_of(values, 1.0)[0] * 255).astype(int)
    return [[*rgb, int(a)] for rgb, a in zip(colours(values)[0].tolist(), opacity, strict=True)]


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode("ascii")
