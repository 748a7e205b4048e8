"""List and open the members of tars, plain or compressed with gzip, with bounds on their size."""

from __future__ import annotations

import os
import tarfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, Final, cast

from ich_cli.core.dicom.files.inflate import Seekable
from ich_cli.core.dicom.files.sources import Source, natural_key, open_regular, printable, stamp
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.errors import BrokenFileError, InputError, LimitError, NotApplicableError
from ich_cli.core.system import Names, as_named, run_with_deadline

_BLOCK: Final = 512
_CHECKPOINT: Final = 1 << 23  # unpacked bytes between the states that are kept to seek backwards
_PIECE: Final = 1 << 16


def is_tar(head: bytes) -> bool:
    """Return whether the first 512 bytes are the header of a tar's member, by its checksum."""
    if len(head) < _BLOCK or not head[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def holds_tar(raw: Seekable, name: str, limits: Limits, *, compressed: bool) -> bool:
    """Return whether an open file is a tar, or a gzip file of one."""
    raw.seek(0)
    try:
        return is_tar((GzipReader(raw, name, limits) if compressed else raw).read(_BLOCK))
    except InputError:  # a damaged gzip file
        return False


class GzipReader:
    """Seekable reader of a gzip file, which keeps states of the decoder to seek backwards.

    Raises `LimitError` beyond the size or ratio that `limits` allow, `BrokenFileError` where the
    file is damaged.
    """

    def __init__(self, raw: Seekable, name: str, limits: Limits) -> None:
        self._raw, self._name, self._limits = raw, name, limits
        self._states: list[tuple[int, int, Any]] = [(0, 0, zlib.decompressobj(31))]
        self._at = 0
        self._restore(0)

    def _restore(self, offset: int) -> None:
        """Go to the last state before an offset."""
        start, packed, engine = next(one for one in reversed(self._states) if one[0] <= offset)
        self._start, self._packed, self._engine = start, packed, engine.copy()
        self._piece = b""

    def _next(self) -> bool:
        """Unpack the next piece; return False at the end."""
        self._start += len(self._piece)
        if self._start >= self._states[-1][0] + _CHECKPOINT and not self._engine.unconsumed_tail:
            self._states.append((self._start, self._packed, self._engine.copy()))
        packed = self._engine.unconsumed_tail
        if self._engine.eof:  # a further gzip member, or padding
            packed = self._engine.unused_data.lstrip(b"\0")
            self._engine = zlib.decompressobj(31)
        if not packed:
            self._raw.seek(self._packed)
            packed = self._raw.read(_PIECE)
            self._packed += len(packed)
        if not packed.strip(b"\0") and self._start:
            self._piece = b""
            if not packed and not self._engine.eof and self._engine.copy().flush():
                raise BrokenFileError(self._name, "the gzip file ends early", "copy it again")
            return False
        try:
            self._piece = self._engine.decompress(packed, 1 << 20)
        except zlib.error:
            raise BrokenFileError(self._name, "damaged gzip data", "copy it again") from None
        end = self._start + len(self._piece)
        if end > self._limits.max_zip_bytes:
            size = self._limits.max_zip_bytes >> 30
            raise LimitError(self._name, f"unpacks to over {size} GiB")
        if end > max(1 << 20, self._limits.max_zip_ratio * self._packed):
            ratio = self._limits.max_zip_ratio
            raise LimitError(self._name, f"unpacks to over {ratio:g} times its size")
        return bool(packed)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; all sizes are bounded by what callers ask."""
        if self._at < self._start:
            self._restore(self._at)
        pieces = []
        left = size if size >= 0 else self._limits.max_zip_bytes
        while left > 0:
            begin = self._at - self._start
            part = self._piece[begin : begin + left] if begin < len(self._piece) else b""
            pieces.append(part)
            self._at += len(part)
            left -= len(part)
            if left and not self._next():
                break
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset from the start (0) or the current position (1)."""
        if whence == 2:
            raise OSError("the end of a gzip file is not known")
        self._at = max(0, offset + (self._at if whence else 0))
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


class Window:
    """Seekable part of an open file: a member of a tar."""

    def __init__(self, raw: Seekable, start: int, size: int) -> None:
        self._raw, self._first, self._size, self._at = raw, start, size, 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, the rest of the member if negative."""
        left = max(0, self._size - self._at)
        self._raw.seek(self._first + self._at)
        piece = self._raw.read(left if size < 0 else min(size, left))
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset from the start (0), the current position (1) or the end (2)."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


class _LastTar(threading.local):
    """Tar that a thread opened last, so that members are not unpacked again from the start."""

    key: tuple[object, ...] = ()
    file: BinaryIO | None = None
    stream: Seekable | None = None


_LAST: Final = _LastTar()


def _stream(source: Source, limits: Limits) -> Seekable:
    key = (os.getpid(), source.path, stamp(source), limits)
    if _LAST.stream is None or _LAST.key != key:
        if _LAST.file is not None and _LAST.key[:1] == key[:1]:
            _LAST.file.close()
        file = open_regular(source)
        compressed = file.read(2) == b"\x1f\x8b"
        _LAST.stream = GzipReader(file, source.name, limits) if compressed else file
        _LAST.file, _LAST.key = file, key
    return _LAST.stream


class _Header(tarfile.TarInfo):
    """Header of a member that refuses negative sizes (CVE-2025-8194) and giant extensions."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.InvalidHeaderError("negative size")  # type: ignore[attr-defined]
        return (count + _BLOCK - 1) // _BLOCK * _BLOCK


class _Bounded:
    """The headers of a tar: no single read is larger than those of DICOM files may be."""

    def __init__(self, raw: Seekable, name: str, most: int) -> None:
        self._raw, self._name, self._most = raw, name, most
        self.seek, self.tell = raw.seek, raw.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._most:
            raise LimitError(self._name, f"over {self._most >> 20} MiB of tar headers")
        return self._raw.read(size)


def tar_members(
    source: Source, limits: Limits, names: Names = as_named
) -> Iterator[Source | InputError]:
    """Yield the members of a tar in natural order, without unpacking them to disk.

    Links and devices are skipped. Where the tar is damaged, the members before are kept.
    """
    listing = partial(_list, source, limits)
    found, error = run_with_deadline(listing, limits.max_read_seconds, source.name)
    for at, info in sorted(enumerate(found), key=lambda one: (natural_key(one[1].name), one[0])):
        if info.isdir():
            continue
        real = f"{source.real or source.name}!{printable(info.name)}"
        name = names(real)
        if info.issparse():
            yield BrokenFileError(name, "a sparse member of a tar", "unpack the tar first")
        elif not info.isreg():
            yield NotApplicableError(name, "a link or device in a tar: not followed")
        elif info.size > limits.max_file_bytes:
            yield LimitError(name, f"unpacks to over {limits.max_file_bytes >> 20} MiB")
        else:
            yield Source(source.path, name, True, at, real, (info.offset_data, info.size))
    if error is not None:
        yield error


def _list(source: Source, limits: Limits) -> tuple[list[tarfile.TarInfo], InputError | None]:
    found: list[tarfile.TarInfo] = []
    try:
        stream = _stream(source, limits)
        stream.seek(0)
        bounded = cast(Any, _Bounded(stream, source.name, limits.max_header_bytes))
        with tarfile.open(fileobj=bounded, mode="r:", tarinfo=_Header) as archive:
            while (info := archive.next()) is not None:
                if found and info.offset <= found[-1].offset:
                    raise tarfile.ReadError("offsets decrease")
                found.append(info)
                if len(found) > limits.max_zip_entries:
                    raise LimitError(source.name, f"over {limits.max_zip_entries} members")
                if info.offset_data + info.size > limits.max_zip_bytes:
                    shown = limits.max_zip_bytes >> 30
                    raise LimitError(source.name, f"unpacks to over {shown} GiB")
            stream.seek(archive.offset)
            if stream.read(_BLOCK).strip(b"\0"):
                raise tarfile.ReadError("no header")
    except InputError as error:
        return found, error
    except Exception as error:  # a damaged tar raises much besides TarError
        kind = type(error).__name__
        return found, BrokenFileError(source.name, f"a damaged tar ({kind})", "pack it again")
    return found, None


@contextmanager
def open_tar_member(source: Source, limits: Limits) -> Iterator[Window]:
    """Open a member of a tar."""
    start, size = source.extent or (0, 0)
    yield Window(_stream(source, limits), start, size)
