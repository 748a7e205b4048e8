"""The data elements of a DICOM file, read with bounds: what hostile bytes ask for is not believed.

pydicom finds the elements; their values are taken as raw bytes and parsed here. So no value, which
may be a patient's name, reaches a warning or an error text, and no length in the file makes more
memory be asked for than the file is long.
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

from ich_cli.core.dicom.deflated import Seekable, inflate
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.dicom.sniffing import VRS, bare_syntax, sniff
from ich_cli.core.dicom.transfer_syntax import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from ich_cli.core.errors import BrokenFileError, InputError, LimitError

_LONG: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # 4 bytes of length
_BINARY: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_PIXELS: Final = {0x7FE00010: "PixelData", 0x7FE00008: "Float", 0x7FE00009: "DoubleFloat"}
_LOCK: Final = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings, which may quote values, from the terminal.

    Filters of warnings belong to the process: the lock keeps our own threads from restoring them
    in the wrong order.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Bounded(io.RawIOBase):
    """A file for pydicom that gives no more than there is, and all in all no more than `most`."""

    def __init__(self, raw: Seekable, size: int | None, name: str, most: int) -> None:
        self._raw, self._size, self._file, self._most = raw, size, name, most
        self._given = 0
        self.short = False
        """Whether something was asked for that lies past the end of the file."""

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that is left if negative."""
        if self._size is not None:
            there = max(0, self._size - self._raw.tell())
            self.short |= size > there and (size != 8 or there > 0)  # 8: is there a next element?
            size = there if size < 0 else min(size, there)
        if not 0 <= size <= self._most - self._given:
            raise LimitError(self._file, f"over {self._most >> 20} MiB of data elements")
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
    """Values of a data set by keyword, parsed from their raw bytes; never raises on a bad one."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __contains__(self, keyword: str) -> bool:
        return self._raw(keyword) is not None

    def _raw(self, keyword: str) -> Any:
        tag = _tag(keyword)
        try:
            return None if tag is None else self._dataset.get_item(tag)
        except Exception:  # a VR that is none: pydicom raises what it likes
            return None

    def element(self, keyword: str) -> Any:
        """Return pydicom's element with its text decoded; None where absent or beyond decoding."""
        tag = _tag(keyword)
        if tag is None or tag not in self._dataset:
            return None
        with quiet():
            try:
                return self._dataset[tag]
            except Exception:  # pydicom raises what it likes on a malformed value
                return None

    def data(self, keyword: str) -> bytes:
        """Return the bytes of a value; empty where there is none."""
        raw = self._raw(keyword)
        value = getattr(raw, "value", None)
        return bytes(value) if isinstance(value, bytes | bytearray) else b""

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a text element, without padding; empty where there is none."""
        text = self.data(keyword).decode("latin-1").strip("\0 \t\r\n")
        return tuple(part.strip("\0 ") for part in text.split("\\")) if text else ()

    def text(self, keyword: str) -> str:
        """Return the first value of a text element, "" where there is none."""
        return next(iter(self.texts(keyword)), "")

    def numbers(self, keyword: str, vr: str = "DS") -> tuple[float, ...] | None:
        """Return numbers, in binary or as text; None where absent, NaN for one that is none.

        `vr` says how implicit ones lie in the file.
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
        """Return the first number; None where absent, NaN where it is none."""
        values = self.numbers(keyword, vr)
        return values[0] if values else None

    def items(self, keyword: str) -> list[Elements]:
        """Return the items of a sequence; empty where there is none."""
        from pydicom.sequence import Sequence

        element = self.element(keyword)
        value = None if element is None else element.value
        return [Elements(item) for item in value] if isinstance(value, Sequence) else []


@cache
def _tag(keyword: str) -> Any:
    """Return pydicom's tag, ready made; None for a keyword that is none."""
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
    """TransferSyntaxUID, or the one that the bytes show where it is missing."""
    media_class: str
    """MediaStorageSOPClassUID."""
    pixels: str
    """Keyword of the pixel element, "" where there is none."""
    big_endian: bool
    offset: int
    length: int | None
    short: bool
    """Whether an element reached past the end of the file."""
    deflated_at: int
    """Where the data set begins in the file, which a deflated one's `offset` does not count."""


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
        Bounds the bytes that are read.
    wanted
        Tags to keep; all others are skipped.

    Returns
    -------
    Parsed
        Elements and where the pixel data lie.

    Raises
    ------
    BrokenFileError, LimitError
        Never anything else, whatever the bytes are.
    """
    try:
        with quiet():
            return _parse(raw, size, name, limits, wanted)
    except InputError:
        raise
    except MemoryError:
        raise LimitError(name, "not enough memory to read its header") from None
    except Exception as error:  # pydicom raises what it likes on hostile bytes
        raise BrokenFileError(
            name, f"its data elements cannot be read ({type(error).__name__})"
        ) from None


def _parse(raw: Seekable, size: int | None, name: str, limits: Limits, wanted: list[int]) -> Parsed:
    from pydicom.filereader import read_dataset

    raw.seek(0)
    head = raw.read(132)
    raw.seek(132 if sniff(head) == "dicom" else 0)
    file = Bounded(raw, size, name, limits.max_header_bytes)
    meta = Elements(
        read_dataset(
            cast(BinaryIO, file), False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2
        )
    )
    syntax = meta.text("TransferSyntaxUID")
    deflated_at = raw.tell()
    if syntax == DEFLATED:
        raw = inflate(raw, name, limits)
        file = Bounded(raw, None, name, limits.max_header_bytes)
    start = raw.tell()
    syntax = syntax or bare_syntax(raw.read(16)) or IMPLICIT_LITTLE
    raw.seek(start)
    big = syntax == EXPLICIT_BIG
    dataset = read_dataset(
        cast(BinaryIO, file),
        syntax == IMPLICIT_LITTLE,
        not big,
        stop_when=lambda tag, vr, length: tag in _PIXELS,
        specific_tags=cast("list[Any]", wanted),
    )
    keyword, offset, length = _pixel_element(raw, big)
    return Parsed(
        Elements(dataset),
        syntax,
        meta.text("MediaStorageSOPClassUID"),
        keyword,
        big,
        offset,
        length,
        file.short,
        deflated_at,
    )


def _pixel_element(raw: Seekable, big: bool) -> tuple[str, int, int | None]:
    """Read tag, VR and length of the pixel element that reading stopped before."""
    start, order = raw.tell(), ">" if big else "<"
    head = raw.read(12)
    if len(head) < 8:
        return "", start, 0
    group, element = struct.unpack_from(f"{order}HH", head)
    keyword = _PIXELS.get(group << 16 | element, "")
    if head[4:6] not in VRS:
        (length,) = struct.unpack_from(f"{order}I", head, 4)
        return keyword, start + 8, None if length == 0xFFFFFFFF else length
    if head[4:6] not in _LONG:
        return keyword, start + 8, struct.unpack_from(f"{order}H", head, 6)[0]
    if len(head) < 12:
        return "", start, 0
    (length,) = struct.unpack_from(f"{order}I", head, 8)
    return keyword, start + 12, None if length == 0xFFFFFFFF else length
