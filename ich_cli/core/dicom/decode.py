"""Decode the bytes of a frame to stored values (PS3.5 section 8.2, annex A).

The header of a codestream is read first, so that an image larger than Rows x Columns is never
decoded. Neither of pydicom's parsers does: `get_j2k_parameters` returns no dimensions, and the one
for JPEG is private and fails on fill bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom.codecs.pool import CODECS
from ich_cli.core.dicom.pixel_format import PixelFormat
from ich_cli.core.dicom.transfer_syntax import COMPRESSED, Family
from ich_cli.core.errors import BrokenFileError

_END_OF_IMAGE: Final = b"\xff\xd9"


class Words(NamedTuple):
    """Words of a frame, from which stored values are unpacked."""

    values: NDArray[Any]
    """Integers ``(rows, columns)``. May be read-only."""
    bits: int
    high_bit: int
    width: int
    """Number of bits that may hold values; `bits` of them do, as the header says."""


def decode_words(data: bytes, fmt: PixelFormat, name: str, file: Hashable = None) -> Words:
    """Decode the bytes of one frame to words.

    Parameters
    ----------
    data
        A native frame of ``fmt.frame_bytes``, or one whole compressed codestream.
    fmt
        The pixel format of its instance.
    name
        File name for errors.
    file
        Identifies the file: one that repeatedly crashes the decoder is given up. Default: `name`.

    Raises
    ------
    BrokenFileError
        If the frame is damaged, or contradicts Rows, Columns or BitsStored.
    LimitError, DecoderError
        If decoding takes too much memory, or cannot be started.
    """
    if fmt.native:
        dtype = np.dtype(f"{'>' if fmt.big_endian else '<'}u{fmt.bits_allocated // 8}")
        words = np.frombuffer(data, dtype, count=fmt.rows * fmt.columns)
        precision = fmt.bits_allocated
    else:
        words, precision = _decompress(data, fmt, name, name if file is None else file)
    words = words.reshape(fmt.rows, fmt.columns)
    if fmt.native or COMPRESSED[fmt.syntax].family == "rle":  # has the bit layout of native data
        return Words(words, fmt.bits_stored, fmt.high_bit, 8 * words.itemsize)
    bits = min(precision, fmt.bits_stored)
    return Words(words, bits, bits - 1, precision)


def unpack(
    words: NDArray[Any], bits: int, high_bit: int, *, signed: bool
) -> NDArray[np.integer[Any]]:
    """Extract the `bits` bits up to `high_bit` of each word (PS3.5 section 8.1.1).

    Returns integers as wide as the words, sign-extended if signed; may be read-only.

    A shift to the left drops the bits above, a shift to the right those below, and extends the
    sign of signed integers. Words that use all their bits are returned as they are.
    """
    width = max(8 * words.itemsize, 8 if high_bit < 8 else 16 if high_bit < 16 else 32)
    values = words.astype(f"{'i' if signed else 'u'}{width // 8}", copy=False)
    if high_bit + 1 < width:
        values = values << (width - 1 - high_bit)
    return values >> (width - bits) if bits < width else values


def _decompress(
    data: bytes, fmt: PixelFormat, name: str, file: Hashable
) -> tuple[NDArray[Any], int]:
    syntax = COMPRESSED[fmt.syntax]
    precision = fmt.bits_stored
    if syntax.family != "rle":
        precision = _check_stream(data, fmt, syntax.family, name)
    frame = syntax.family, data, fmt.bits_allocated, fmt.rows * fmt.columns
    return CODECS.decompress(*frame, name=name, syntax=syntax.name, file=file), precision


class _StreamHeader(NamedTuple):
    rows: int
    columns: int
    components: int
    precision: int


def _check_stream(data: bytes, fmt: PixelFormat, family: Family, name: str) -> int:
    """Compare a codestream's own header with the file's; return its precision in bits."""
    try:
        stream = _siz(data) if family in ("jpeg2k", "htj2k") else _sof(data)
    except (struct.error, ValueError, IndexError):
        raise BrokenFileError(name, "the compressed frame has no readable header") from None
    if (stream.rows, stream.columns) != (fmt.rows, fmt.columns):
        raise BrokenFileError(
            name,
            f"the compressed frame is {stream.rows} x {stream.columns}, "
            f"but Rows x Columns is {fmt.rows} x {fmt.columns}",
        )
    if stream.components != 1 or not 2 <= stream.precision <= 16:
        raise BrokenFileError(name, "the compressed frame is not one channel of 2 to 16 bits")
    if family == "jpeg" and stream.precision <= 8 < fmt.bits_stored:
        raise BrokenFileError(
            name,
            f"compressed to 8 bits, but BitsStored is {fmt.bits_stored}: its HU are lost",
            "export the original pixel data",
        )
    if _END_OF_IMAGE not in data.rstrip(b"\0")[-64:]:  # the codec would fill the rest with grey
        raise BrokenFileError(name, "the compressed frame ends before its end-of-image marker")
    return stream.precision


def _sof(data: bytes) -> _StreamHeader:
    """Find the start-of-frame marker of JPEG (ITU-T T.81 B.2.2) or JPEG-LS (T.87 C.2.2)."""
    if data[:2] != b"\xff\xd8":
        raise ValueError
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, at + 4)
            return _StreamHeader(rows, columns, components, precision)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise ValueError


def _siz(data: bytes) -> _StreamHeader:
    """Read the SIZ marker of JPEG 2000 (ITU-T T.800 A.5.1), also behind a JP2 file's boxes."""
    at = data[:4096].index(b"\xff\x4f\xff\x51")
    width, height, left, top = struct.unpack_from(">4I", data, at + 8)
    components, depth = struct.unpack_from(">HB", data, at + 40)
    return _StreamHeader(height - top, width - left, components, (depth & 0x7F) + 1)
