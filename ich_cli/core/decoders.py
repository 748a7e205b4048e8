"""One compressed frame to stored values: which transfer syntaxes are read, and by what.

Compressed are JPEG (8 and 12 bits, lossless), JPEG-LS, JPEG 2000, HTJ2K and RLE (PS3.5 section 8.2,
annex A). A codestream's own header is read first, so that a picture larger than Rows x Columns is
never decoded; then it goes to a process that may crash.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import BrokenFileError, DecoderError
from ich_cli.core.isolation import CODECS

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

Family = Literal["jpeg", "jpegls", "jpeg2k", "htj2k", "rle"]


class Syntax(NamedTuple):
    """A compressed transfer syntax (PS3.6 table A-1)."""

    name: str
    family: Family
    lossy: bool = False


COMPRESSED: Final[dict[str, Syntax]] = {
    "1.2.840.10008.1.2.4.50": Syntax("JPEG Baseline, 8 bits", "jpeg", lossy=True),
    "1.2.840.10008.1.2.4.51": Syntax("JPEG Extended, 12 bits", "jpeg", lossy=True),
    "1.2.840.10008.1.2.4.57": Syntax("JPEG Lossless", "jpeg"),
    "1.2.840.10008.1.2.4.70": Syntax("JPEG Lossless SV1", "jpeg"),
    "1.2.840.10008.1.2.4.80": Syntax("JPEG-LS Lossless", "jpegls"),
    "1.2.840.10008.1.2.4.81": Syntax("JPEG-LS Near-Lossless", "jpegls", lossy=True),
    "1.2.840.10008.1.2.4.90": Syntax("JPEG 2000 Lossless", "jpeg2k"),
    "1.2.840.10008.1.2.4.91": Syntax("JPEG 2000", "jpeg2k", lossy=True),
    "1.2.840.10008.1.2.4.201": Syntax("HTJ2K Lossless", "htj2k"),
    "1.2.840.10008.1.2.4.202": Syntax("HTJ2K Lossless RPCL", "htj2k"),
    "1.2.840.10008.1.2.4.203": Syntax("HTJ2K", "htj2k", lossy=True),
    "1.2.840.10008.1.2.5": Syntax("RLE Lossless", "rle"),
}
"""UIDs of the compressed transfer syntaxes that are read."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the stored values of an instance lie in its file (PS3.3 C.7.6.3, PS3.5 section 8)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    """PixelRepresentation 1: two's complement."""
    frames: int
    syntax: str
    """TransferSyntaxUID."""
    big_endian: bool
    inverted: bool
    """PhotometricInterpretation MONOCHROME1."""
    padding: tuple[int, int] | None
    """PixelPaddingValue and PixelPaddingRangeLimit, as stored values, lower one first."""
    offset: int
    """Where the value of Pixel Data begins, in the file (or in the inflated data set)."""
    length: int | None
    """Its length in bytes; None where undefined, which is so for compressed ones."""
    offsets: tuple[bytes, bytes] | None = None
    """ExtendedOffsetTable and ExtendedOffsetTableLengths."""
    deflated_at: int = 0
    """Where the data set begins in the file, of a deflated one."""

    @property
    def native(self) -> bool:
        """Whether the pixels are not compressed."""
        return self.syntax in NATIVE

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame that is not compressed."""
        return self.rows * self.columns * self.bits_allocated // 8


def require_decoder(syntax: str, name: str) -> None:
    """Raise DecoderError unless the transfer syntax is one that is read."""
    if syntax not in NATIVE and syntax not in COMPRESSED:
        raise DecoderError(
            name,
            f"no decoder for TransferSyntaxUID {_shown(syntax)}",
            "convert it to Explicit VR Little Endian, for example with gdcmconv --raw",
        )


def _shown(uid: str) -> str:
    plain = 0 < len(uid) <= 64 and all(c.isdigit() or c == "." for c in uid)
    return uid if plain else "that is malformed"


def decode_frame(
    data: bytes, fmt: PixelFormat, name: str, file: Hashable = None
) -> NDArray[np.integer[Any]]:
    """Turn the bytes of one frame into stored values.

    Parameters
    ----------
    data
        A native frame of ``fmt.frame_bytes``, or one whole compressed codestream.
    fmt
        The pixel format of its instance.
    name
        File name for errors.
    file
        What all frames of a file share, and no other file: one that keeps on ending the decoder is
        given up. None: `name`.

    Returns
    -------
    numpy.ndarray
        Integers ``(rows, columns)`` as wide as their words, sign-extended where PixelRepresentation
        says so; bits outside BitsStored are dropped (PS3.5 section 8.1.1). Maybe read-only.

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
        return unpack(words.reshape(fmt.rows, fmt.columns), fmt.bits_stored, fmt.high_bit, fmt)
    words, precision = _decompress(data, fmt, name, name if file is None else file)
    words = words.reshape(fmt.rows, fmt.columns)
    if COMPRESSED[fmt.syntax].family == "rle":  # keeps the layout of bits of native data
        return unpack(words, fmt.bits_stored, fmt.high_bit, fmt)
    bits = min(precision, fmt.bits_stored)
    return unpack(words, bits, bits - 1, fmt)


def unpack(
    words: NDArray[Any], bits: int, high_bit: int, fmt: PixelFormat
) -> NDArray[np.integer[Any]]:
    """Cut `bits` bits below and with `high_bit` out of each word; extend the sign if signed.

    Shifted up to the word's end, then down again: the second shift drops what lies below and, of a
    signed integer, extends the sign. Words that are whole numbers already are not touched.
    """
    width = max(8 * words.itemsize, 8 if high_bit < 8 else 16 if high_bit < 16 else 32)
    values = words.astype(f"{'i' if fmt.signed else 'u'}{width // 8}", copy=False)
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


class _Stream(NamedTuple):
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
    if b"\xff\xd9" not in data[-64:]:  # else the codec would fill up with grey, without a word
        raise BrokenFileError(name, "the compressed frame ends before its end-of-image marker")
    return stream.precision


def _sof(data: bytes) -> _Stream:
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
            return _Stream(rows, columns, components, precision)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise ValueError


def _siz(data: bytes) -> _Stream:
    """Read the SIZ marker of JPEG 2000 (ITU-T T.800 A.5.1), also behind a JP2 file's boxes."""
    at = data[:4096].index(b"\xff\x4f\xff\x51")
    width, height, left, top = struct.unpack_from(">4I", data, at + 8)
    components, depth = struct.unpack_from(">HB", data, at + 40)
    return _Stream(height - top, width - left, components, (depth & 0x7F) + 1)
