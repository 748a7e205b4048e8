"""Read the pixel format of an instance and check it before pixels are decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ich_cli.core.dicom.elements import Elements, Parsed
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.dicom.transfer_syntax import COMPRESSED, DEFLATED, NATIVE
from ich_cli.core.errors import BrokenFileError, DecoderError, LimitError, NotApplicableError


def read_format(parsed: Parsed, size: int | None, name: str, limits: Limits) -> PixelFormat:
    """Read and check the pixel format of an instance.

    Parameters
    ----------
    parsed
        The data set.
    size
        Size of the file in bytes, None where not known.
    name
        File name for errors.
    limits
        Bound Rows, Columns and NumberOfFrames.

    Returns
    -------
    PixelFormat
        Consistent with itself and with the length of native pixel data.

    Raises
    ------
    InputError
        NotApplicableError for colour, LimitError for excessive sizes, DecoderError for an
        unsupported syntax, BrokenFileError for missing or contradictory values.
    """
    elements = parsed.elements
    samples = elements.number("SamplesPerPixel", "US")
    photometric = elements.text("PhotometricInterpretation").upper()
    if samples not in (None, 1) or photometric not in ("", "MONOCHROME1", "MONOCHROME2"):
        raise NotApplicableError(name, "a picture in colour (PhotometricInterpretation), not HU")
    require_decoder(parsed.syntax, name)
    allocated = _whole(elements, "BitsAllocated", name)
    stored = _whole(elements, "BitsStored", name, allocated)
    if allocated not in (8, 16, 32) or not 2 <= stored <= allocated:
        raise BrokenFileError(name, f"BitsAllocated {allocated} with BitsStored {stored}")
    high = _whole(elements, "HighBit", name, stored - 1)
    signed = _whole(elements, "PixelRepresentation", name, 0) == 1
    fmt = PixelFormat(
        rows=_side(elements, "Rows", name, limits),
        columns=_side(elements, "Columns", name, limits),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high if stored - 1 <= high < allocated else stored - 1,
        signed=signed,
        frames=_frame_count(elements, name, limits),
        syntax=parsed.syntax,
        big_endian=parsed.big_endian,
        inverted=photometric == "MONOCHROME1",
        padding=_padding(elements, signed, stored),
        offset=parsed.offset,
        length=parsed.length,
        offsets=_offsets(elements),
        deflated_at=parsed.deflated_at,
    )
    _check_length(fmt, size, name)
    return fmt


def _whole(elements: Elements, keyword: str, name: str, default: int | None = None) -> int:
    value = elements.number(keyword, "US")
    if value is None and default is not None:
        return default
    if value is None:
        raise BrokenFileError(name, f"{keyword} is missing")
    if not math.isfinite(value) or value != int(value):
        raise BrokenFileError(name, f"{keyword} is not a whole number")
    return int(value)


def _side(elements: Elements, keyword: str, name: str, limits: Limits) -> int:
    side = _whole(elements, keyword, name)
    if side > limits.max_side:
        raise LimitError(name, f"{keyword} is {side}, the limit is {limits.max_side}")
    if side < 16:
        raise BrokenFileError(name, f"{keyword} is {side}: too small for a slice")
    return side


def _frame_count(elements: Elements, name: str, limits: Limits) -> int:
    value = elements.number("NumberOfFrames", "IS")
    if value is None:
        return 1
    if not math.isfinite(value) or value != int(value) or value < 1:
        shown = f"{value:g}" if math.isfinite(value) else "not a number"
        raise BrokenFileError(name, f"NumberOfFrames is {shown}")
    if value > limits.max_frames:
        raise LimitError(name, f"NumberOfFrames is {value:g}, the limit is {limits.max_frames}")
    return int(value)


def _padding(elements: Elements, signed: bool, bits: int) -> tuple[int, int] | None:
    """Return padding value and limit in the range of the stored values (PS3.3 C.7.5.1.1.2)."""
    first = elements.number("PixelPaddingValue", "US")
    if first is None or not math.isfinite(first):
        return None
    last = elements.number("PixelPaddingRangeLimit", "US")
    ends = (int(first), int(first if last is None or not math.isfinite(last) else last))
    low, high = sorted(_wrap(end, signed, bits) for end in ends)
    return low, high


def _wrap(value: int, signed: bool, bits: int) -> int:
    """Read a value with the sign of the pixels: files often write US where it should be SS."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _offsets(elements: Elements) -> tuple[bytes, bytes] | None:
    tables = elements.data("ExtendedOffsetTable"), elements.data("ExtendedOffsetTableLengths")
    return tables if all(tables) else None


def _check_length(fmt: PixelFormat, size: int | None, name: str) -> None:
    """Compare the length of native pixel data with what Rows x Columns x NumberOfFrames needs."""
    if not fmt.native:
        if fmt.length is not None:
            raise BrokenFileError(name, "PixelData is not encapsulated, as TransferSyntaxUID says")
        return
    if fmt.length is None:
        raise BrokenFileError(name, "PixelData is encapsulated, but TransferSyntaxUID says native")
    needed = fmt.frame_bytes * fmt.frames
    if fmt.length < needed:
        raise BrokenFileError(name, f"PixelData holds {fmt.length} of {needed} bytes")
    if size is not None and fmt.syntax != DEFLATED and size - fmt.offset < needed:
        raise BrokenFileError(
            name, f"truncated: {max(0, size - fmt.offset)} of {needed} bytes of PixelData are there"
        )


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """Layout of an instance's stored values in its file (PS3.3 C.7.6.3, PS3.5 section 8)."""

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
    """Position of the value of PixelData in the file; in the inflated data set if deflated."""
    length: int | None
    """Length of that value in bytes; None where undefined, as of compressed pixels."""
    offsets: tuple[bytes, bytes] | None = None
    """ExtendedOffsetTable and ExtendedOffsetTableLengths."""
    deflated_at: int = 0
    """Position of the data set in the file."""

    @property
    def native(self) -> bool:
        """True if the pixels are not compressed."""
        return self.syntax in NATIVE

    @property
    def frame_bytes(self) -> int:
        """Size of an uncompressed frame in bytes."""
        return self.rows * self.columns * self.bits_allocated // 8


def require_decoder(syntax: str, name: str) -> None:
    """Raise DecoderError unless the transfer syntax is supported."""
    if syntax not in NATIVE and syntax not in COMPRESSED:
        raise DecoderError(
            name,
            f"no decoder for TransferSyntaxUID {_shown(syntax)}",
            "convert it to Explicit VR Little Endian, for example with gdcmconv --raw",
        )


def _shown(uid: str) -> str:
    plain = 0 < len(uid) <= 64 and all(c.isdigit() or c == "." for c in uid)
    return uid if plain else "that is malformed"
