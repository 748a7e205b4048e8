"""Read the data elements of a DICOM file, with bounds on memory.

pydicom finds the elements; their values are taken as raw bytes and parsed here. So no value, which
may be a patient's name, reaches a warning or an error message, and no length in the file allocates
more memory than the file is long.
"""

from __future__ import annotations

import io
import math
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, Final, cast

from ich_cli.core.dicom.files.inflate import Seekable, inflate
from ich_cli.core.dicom.files.sniffing import bare_syntax, sniff
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.dicom.transfer_syntax import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from ich_cli.core.errors import BrokenFileError, InputError, LimitError

_BINARY: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_PIXELS: Final = {0x7FE00010: "PixelData", 0x7FE00008: "Float", 0x7FE00009: "DoubleFloat"}
_LOCK: Final = threading.RLock()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Suppress pydicom's warnings, which may quote values.

    Warning filters are global to the process: the lock keeps threads from restoring them in the
    wrong order.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class BoundedReader(io.RawIOBase):
    """File for pydicom that never returns more bytes than the file has, nor than `max_bytes`.

    Parameters
    ----------
    raw
        The open file.
    size
        Its size in bytes; None where not known.
    name
        File name for errors.
    max_bytes
        Sum of the bytes returned, beyond which `read` raises LimitError.
    """

    def __init__(self, raw: Seekable, size: int | None, name: str, max_bytes: int) -> None:
        self._raw, self._size, self._file, self._max_bytes = raw, size, name, max_bytes
        self._given = 0
        self.short = False
        """True once a read or seek went past the end of the file."""

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, the rest of the file if negative."""
        if self._size is not None:
            left = max(0, self._size - self._raw.tell())
            self.short |= size > left and (size != 8 or left > 0)  # 8: probe for a next element
            size = left if size < 0 else min(size, left)
        if not 0 <= size <= self._max_bytes - self._given:
            raise LimitError(self._file, f"over {self._max_bytes >> 20} MiB of data elements")
        piece = self._raw.read(size)
        self._given += len(piece)
        self.short |= len(piece) < size and (size != 8 or bool(piece))
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, and return the new position."""
        at = self._raw.seek(offset, whence)
        self.short |= self._size is not None and at > self._size
        return at

    def tell(self) -> int:
        """Return the position."""
        return self._raw.tell()


class Elements:
    """Values of a data set by keyword, parsed from their raw bytes; a bad value never raises."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __contains__(self, keyword: str) -> bool:
        return self._raw(keyword) is not None

    def _raw(self, keyword: str) -> Any:
        tag = _tag(keyword)
        try:
            return None if tag is None else self._dataset.get_item(tag)
        except Exception:  # an invalid VR: pydicom may raise anything
            return None

    def element(self, keyword: str) -> Any:
        """Return pydicom's element with its text decoded; None where absent or undecodable."""
        tag = _tag(keyword)
        if tag is None or tag not in self._dataset:
            return None
        with without_warnings():
            try:
                return self._dataset[tag]
            except Exception:  # a malformed value: pydicom may raise anything
                return None

    def data(self, keyword: str) -> bytes:
        """Return the bytes of a value; empty where absent."""
        raw = self._raw(keyword)
        value = getattr(raw, "value", None)
        return bytes(value) if isinstance(value, bytes | bytearray) else b""

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a text element, without padding; empty where absent."""
        text = self.data(keyword).decode("latin-1").strip("\0 \t\r\n")
        return tuple(part.strip("\0 ") for part in text.split("\\")) if text else ()

    def text(self, keyword: str) -> str:
        """Return the first value of a text element, "" where absent."""
        return next(iter(self.texts(keyword)), "")

    def numbers(self, keyword: str, vr: str = "DS") -> tuple[float, ...] | None:
        """Return numbers, stored in binary or as text; None where absent, NaN where invalid.

        `vr` is the VR in implicit transfer syntaxes.
        """
        raw, data = self._raw(keyword), self.data(keyword)
        if not data.strip(b"\0 ") and (vr not in _BINARY or not data):
            return None
        code = _BINARY.get(raw.VR if raw.VR in (*_BINARY, "DS", "IS") else vr)
        if code is None:
            return tuple(_number(text) for text in self.texts(keyword))
        order = "<" if raw.is_little_endian else ">"
        count = len(data) // struct.calcsize(code)
        return struct.unpack_from(f"{order}{count}{code}", data) or (math.nan,)

    def number(self, keyword: str, vr: str = "DS") -> float | None:
        """Return the first number; None where absent, NaN where invalid."""
        values = self.numbers(keyword, vr)
        return values[0] if values else None

    def items(self, keyword: str) -> list[Elements]:
        """Return the items of a sequence; empty where absent."""
        from pydicom.sequence import Sequence

        element = self.element(keyword)
        value = None if element is None else element.value
        return [Elements(item) for item in value] if isinstance(value, Sequence) else []


@cache
def _tag(keyword: str) -> Any:
    """Return pydicom's tag; None for an unknown keyword."""
    from pydicom.datadict import tag_for_keyword
    from pydicom.tag import Tag

    tag = tag_for_keyword(keyword)
    return None if tag is None else Tag(tag)


def _number(text: str) -> float:
    try:
        return float(text) if len(text) <= 64 and "_" not in text else math.nan
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Parsed:
    """A data set up to its pixel data."""

    elements: Elements
    syntax: str
    """TransferSyntaxUID; where missing, as recognised from the first bytes."""
    media_class: str
    """MediaStorageSOPClassUID."""
    pixels: str
    """Keyword of the pixel element, "" where absent."""
    big_endian: bool
    offset: int
    """Position of the value of the pixel element; in the inflated data set if deflated."""
    length: int | None
    """Length of that value in bytes; None where undefined."""
    short: bool
    """True where an element reaches past the end of the file."""
    deflated_at: int
    """Position of the data set in the file."""


def parse(raw: Seekable, size: int | None, name: str, limits: Limits, wanted: list[int]) -> Parsed:
    """Read a data set up to its pixel data.

    Parameters
    ----------
    raw
        The open file, at any position.
    size
        Its size in bytes, None where not known.
    name
        File name for errors.
    limits
        Bound the bytes that are read.
    wanted
        Tags to keep; all others are skipped.

    Returns
    -------
    Parsed
        Elements, and the position of the pixel data.

    Raises
    ------
    BrokenFileError, LimitError
        If the file is damaged or exceeds the limits; no other exception is raised.
    """
    try:
        with without_warnings():
            return _parse(raw, size, name, limits, wanted)
    except InputError:
        raise
    except MemoryError:
        raise LimitError(name, "not enough memory to read its header") from None
    except Exception as error:  # damaged elements: pydicom may raise anything
        raise BrokenFileError(
            name, f"its data elements cannot be read ({type(error).__name__})"
        ) from None


def _parse(raw: Seekable, size: int | None, name: str, limits: Limits, wanted: list[int]) -> Parsed:
    from pydicom.filereader import read_dataset

    raw.seek(0)
    head = raw.read(132)
    raw.seek(132 if sniff(head) == "dicom" else 0)
    file = BoundedReader(raw, size, name, limits.max_header_bytes)
    meta = Elements(
        read_dataset(
            cast(BinaryIO, file), False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2
        )
    )
    syntax = meta.text("TransferSyntaxUID")
    deflated_at = raw.tell()
    if syntax == DEFLATED:
        raw = inflate(raw, name, limits)
        file = BoundedReader(raw, None, name, limits.max_header_bytes)
    start = raw.tell()
    syntax = syntax or bare_syntax(raw.read(16)) or IMPLICIT_LITTLE
    raw.seek(start)
    big = syntax == EXPLICIT_BIG
    pixels = _PixelElement()
    dataset = read_dataset(
        cast(BinaryIO, file),
        syntax == IMPLICIT_LITTLE,
        not big,
        stop_when=pixels.found,
        specific_tags=cast("list[Any]", wanted),
    )
    return Parsed(
        Elements(dataset),
        syntax,
        meta.text("MediaStorageSOPClassUID"),
        pixels.keyword,
        big,
        raw.tell() + pixels.header_bytes,
        pixels.length,
        file.short,
        deflated_at,
    )


class _PixelElement:
    """The pixel element, before which pydicom stops reading."""

    keyword = ""
    header_bytes = 0
    length: int | None = 0

    def found(self, tag: int, vr: str | None, length: int) -> bool:
        """Keep the element's header and return True where it is the pixel element."""
        if tag not in _PIXELS:
            return False
        from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

        self.keyword = _PIXELS[tag]
        self.header_bytes = 12 if vr in EXPLICIT_VR_LENGTH_32 else 8  # PS3.5 section 7.1
        self.length = None if length == 0xFFFFFFFF else length
        return True
