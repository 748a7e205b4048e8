"""Encoders of lossless transfer syntaxes, independent of the decoders that are tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

Encoder = Callable[[NDArray[Any]], bytes]


def rle(image: NDArray[Any]) -> bytes:
    """Literal runs only: high bytes, then low bytes (PS3.5 annex G)."""
    segments = []
    for shift in (8, 0):
        plane = ((image >> shift) & 0xFF).astype(np.uint8).tobytes()
        runs = [plane[at : at + 128] for at in range(0, len(plane), 128)]
        segments.append(b"".join(bytes([len(run) - 1]) + run for run in runs))
    header = [2, 64, 64 + len(segments[0])] + [0] * 13
    return np.array(header, "<u4").tobytes() + b"".join(segments)


LOSSLESS: dict[str, Encoder] = {
    "1.2.840.10008.1.2.4.70": lambda image: imagecodecs.jpeg8_encode(
        image.astype(np.uint16), lossless=True, bitspersample=16
    ),
    "1.2.840.10008.1.2.4.80": lambda image: imagecodecs.jpegls_encode(image.astype(np.uint16)),
    "1.2.840.10008.1.2.4.90": lambda image: imagecodecs.jpeg2k_encode(
        image.astype(np.uint16), reversible=True, codecformat="J2K"
    ),
    "1.2.840.10008.1.2.4.201": lambda image: imagecodecs.htj2k_encode(
        image.astype(np.uint16), reversible=True
    ),
    "1.2.840.10008.1.2.5": rle,
}
