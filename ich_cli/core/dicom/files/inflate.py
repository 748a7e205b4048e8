"""Seekable reading of compressed streams, with bounds on size and compression ratio."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

from ich_cli.core.dicom.limits import Limits
from ich_cli.core.errors import BrokenFileError, LimitError


class Seekable(Protocol):
    """Methods needed of an open file."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, the rest of the file if negative."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move, and return the new position."""

    def tell(self) -> int:
        """Return the position."""


class InflatingReader:
    """Seekable reader of a forward-only stream, which keeps in memory what was read.

    Parameters
    ----------
    pull
        Returns up to a number of further bytes; empty at the end.
    name
        File name for errors.
    max_bytes
        Largest inflated size.
    packed_bytes
        Compressed size.
    max_ratio
        Largest inflated size in multiples of the compressed one; a mebibyte is always allowed.

    Raises
    ------
    LimitError
        From `read` and `seek`, where the stream exceeds the limits.
    """

    def __init__(
        self,
        pull: Callable[[int], bytes],
        name: str,
        max_bytes: int,
        packed_bytes: int,
        max_ratio: float,
    ) -> None:
        self._pull, self._name, self._max_bytes = pull, name, max_bytes
        self._packed_bytes, self._max_ratio = packed_bytes, max_ratio
        self._data = bytearray()
        self._at = 0
        self.ended = False
        """True once all of the stream is in memory, so that it may be closed."""

    def _fill(self, upto: int) -> None:
        while not self.ended and len(self._data) < upto:
            piece = self._pull(min(1 << 18, max(1 << 13, upto - len(self._data))))
            self.ended = not piece
            self._data += piece
            if len(self._data) > self._max_bytes:
                raise LimitError(self._name, f"unpacks to more than {self._max_bytes >> 20} MiB")
            if len(self._data) > max(1 << 20, self._max_ratio * self._packed_bytes):
                raise LimitError(self._name, f"unpacks to over {self._max_ratio:g} times its size")

    def load(self, size: int) -> None:
        """Read the first `size` bytes into memory, so that the stream may be closed."""
        self._fill(size)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, the rest of the stream if negative."""
        self._fill(self._max_bytes + 1 if size < 0 else self._at + size)
        piece = bytes(self._data[self._at : None if size < 0 else self._at + size])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset from the start (0), the current position (1) or the end (2)."""
        if whence == 2:
            self._fill(self._max_bytes + 1)
        self._at = max(0, offset + (0, self._at, len(self._data))[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


def inflate(raw: Seekable, name: str, limits: Limits) -> InflatingReader:
    """Open a deflated data set (PS3.5 section A.5) at the current position of `raw`."""
    start = raw.tell()
    packed_bytes = raw.seek(0, 2) - start
    raw.seek(start)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)

    def pull(size: int) -> bytes:
        piece = b""
        while not piece and not engine.eof:
            packed = engine.unconsumed_tail or raw.read(1 << 14)
            piece = engine.decompress(packed, size)
            if not packed and not piece:
                raise BrokenFileError(name, "the deflated data set ends early")
        return piece

    return InflatingReader(pull, name, limits.max_file_bytes, packed_bytes, limits.max_zip_ratio)
