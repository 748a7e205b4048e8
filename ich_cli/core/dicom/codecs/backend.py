"""Decode codestreams with imagecodecs, which has all codecs used for CT and no GPL code.

Called by `codecs.worker` only, in a process of its own.
"""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray


def decompress(family: str, data: bytes, bits_allocated: int) -> NDArray[Any]:
    """Decode one codestream.

    Parameters
    ----------
    family
        ``jpeg``, ``jpegls``, ``jpeg2k``, ``htj2k`` or ``rle``.
    data
        The whole codestream of a frame.
    bits_allocated
        BitsAllocated, which RLE codestreams do not contain.

    Returns
    -------
    numpy.ndarray
        Integers; shape and dtype as in the codestream.
    """
    if family == "rle":
        return _rle(data, np.dtype(f"<u{bits_allocated // 8}"))
    decode = {
        "jpeg": imagecodecs.jpeg8_decode,
        "jpegls": imagecodecs.jpegls_decode,
        "jpeg2k": imagecodecs.jpeg2k_decode,
        "htj2k": imagecodecs.htj2k_decode,
    }[family]
    return np.asarray(decode(data))


def _rle(data: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decode RLE (PS3.5 annex G): one segment per byte of the word."""
    if len(data) < 64 or struct.unpack("<I", data[:4])[0] != dtype.itemsize:
        raise ValueError
    return np.frombuffer(bytes(imagecodecs.dicomrle_decode(data, dtype)), dtype)
