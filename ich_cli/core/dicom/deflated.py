"""Bytes before they are DICOM: what a file is by its first bytes, and inflating with a bound."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

from ich_cli.core.dicom.limits import Limits
from ich_cli.core.errors import BrokenFileError, LimitError


class Seekable(Protocol):
    """What is needed of an open file: a regular one, or one that is inflated as it is read."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left if negative."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move, and return the new position."""

    def tell(self) -> int:
        """Return the position."""


class Inflating:
    """A seekable face over a stream that can only go forward; holds what was read so far."""

    def __init__(
        self, pull: Callable[[int], bytes], name: str, most: int, packed: int, ratio: float
    ) -> None:
        self._pull, self._name, self._most, self._packed = pull, name, most, packed
        self._held = bytearray()
        self._at = 0
        self.ended = False
        """Whether all of it is held, so that the stream beneath is needed no more."""
        self._ratio = ratio

    def _fill(self, upto: int) -> None:
        while not self.ended and len(self._held) < upto:
            piece = self._pull(min(1 << 18, max(1 << 13, upto - len(self._held))))
            self.ended = not piece
            self._held += piece
            if len(self._held) > self._most:
                raise LimitError(self._name, f"unpacks to more than {self._most >> 20} MiB")
            if len(self._held) > max(1 << 20, self._ratio * self._packed):
                raise LimitError(self._name, f"unpacks to over {self._ratio:g} times its size")

    def hold(self) -> None:
        """Read up to the present position, so that the stream beneath may be closed."""
        self._fill(self._at)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left if negative."""
        self._fill(self._most + 1 if size < 0 else self._at + size)
        piece = bytes(self._held[self._at : None if size < 0 else self._at + size])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset from the start (0), from here (1) or from the end (2)."""
        if whence == 2:
            self._fill(self._most + 1)
        self._at = max(0, offset + (0, self._at, len(self._held))[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


def inflate(raw: Seekable, name: str, limits: Limits) -> Inflating:
    """Open a deflated data set (PS3.5 section A.5), from the present position of `raw`."""
    start = raw.tell()
    packed = raw.seek(0, 2) - start
    raw.seek(start)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)

    def pull(size: int) -> bytes:
        piece = b""
        while not piece and not engine.eof:
            fed = engine.unconsumed_tail or raw.read(1 << 14)
            piece = engine.decompress(fed, size)
            if not fed and not piece:
                raise BrokenFileError(name, "the deflated data set ends early")
        return piece

    return Inflating(pull, name, limits.max_file_bytes, packed, limits.max_zip_ratio)
