"""Encoding of slices and maps for the browser: integers, deflated, base64.

The page applies window, scale and colours itself, so that scrolling needs no request.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.imaging import colours, edge_letters, opacity_of

_HU: Final = (-1024, 31743)  # larger than metal: a fault


def encode_slice(ct: CTSlice) -> dict[str, Any]:
    """Encode a slice.

    Returns
    -------
    dict
        ``rows``, ``columns``; ``aspect``: pixel height divided by width; ``letters``: orientation
        at the left, right, top and bottom, or None; ``hu``: differences to the left neighbour
        (to 0 in the first column), int16, little-endian, deflated, base64.
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
        "hu": _pack(steps.astype("<i2").tobytes()),
    }


def encode_map(values: NDArray[np.uint8]) -> str:
    """Encode a map, uint8 ``(H, W)``, as differences to the left neighbour."""
    steps = np.diff(values, axis=1, prepend=np.zeros((values.shape[0], 1), np.uint8))
    return _pack(steps.tobytes())


def palette() -> list[list[int]]:
    """Return red, green, blue and opacity, each 0 to 255, for the 256 values of a map.

    The page multiplies the opacity by the one that its user chose.
    """
    values = np.linspace(0, 1, 256, dtype=np.float32)[None]
    opacity = np.rint(opacity_of(values, 1.0)[0] * 255).astype(int)
    return [[*rgb, int(a)] for rgb, a in zip(colours(values)[0].tolist(), opacity, strict=True)]


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode("ascii")
