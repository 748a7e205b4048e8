"""Opening sources: plain files and members of zips, with bounds on what a zip may unpack to."""

from __future__ import annotations

import os
import stat
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final

from ich_cli.core.dicom.deflated import Inflating, Seekable
from ich_cli.core.dicom.files import Source, natural, printable, stamp
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.errors import BrokenFileError, InputError, LimitError
from ich_cli.core.system import Names, as_named

_ENTRY_BYTES: Final = 512  # of a zip's directory for one member; more is no honest one


@contextmanager
def opened(source: Source, limits: Limits) -> Iterator[tuple[Seekable, int | None]]:
    """Open a source for reading; a member of a zip is inflated as far as it is read.

    Yields the file and its size, None where only inflating it would tell. The last member that
    a thread opened is kept, so that the frames of one instance do not inflate it again and again.
    """
    try:
        if source.entry is not None:
            with _member(source, limits) as member:
                yield member, None
            return
        with _regular(source) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limits.max_file_bytes:
                raise LimitError(
                    source.name,
                    f"{size >> 20} MiB, the limit is {limits.max_file_bytes >> 20} MiB",
                )
            yield file, size
    except OSError as error:
        raise BrokenFileError(source.name, f"cannot be read: {error.strerror}") from None


def _regular(source: Source) -> BinaryIO:
    """Open a file that may have become a pipe since it was listed: opening that would wait."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(source.path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BrokenFileError(source.name, "not a regular file")
    return file


class _Kept(threading.local):
    """What a thread opened last. A forked child must not share a file's position: see `owner`."""

    owner: int = 0
    path: Path | None = None
    stamp: tuple[int, int] = (0, 0)
    archive: zipfile.ZipFile | None = None
    infos: tuple[zipfile.ZipInfo, ...] = ()
    source: Source | None = None
    member: Inflating | None = None


_KEPT: Final = _Kept()


def members(
    source: Source, limits: Limits, names: Names = as_named
) -> Iterator[Source | InputError]:
    """Yield the members of a zip in natural order, nothing unpacked.

    Raises
    ------
    InputError
        If the zip as a whole cannot be read, or is larger than the limits.
    """
    infos = _archive(source, limits)
    if len(infos) > limits.max_zip_entries:
        raise LimitError(source.name, f"over {limits.max_zip_entries} members in the zip")
    if sum(info.file_size for info in infos) > limits.max_zip_bytes:
        raise LimitError(source.name, f"unpacks to over {limits.max_zip_bytes >> 30} GiB")
    order = sorted(range(len(infos)), key=lambda at: (natural(infos[at].filename), at))
    for at in order:
        info = infos[at]
        if info.filename.endswith("/"):  # `is_dir` raises where the name is empty
            continue
        real = f"{source.real or source.name}!{printable(info.filename)}"
        name = names(real)
        if info.flag_bits & 1:
            yield BrokenFileError(name, "encrypted", "unpack the zip first")
        elif info.file_size > limits.max_file_bytes:
            yield LimitError(name, f"unpacks to over {limits.max_file_bytes >> 20} MiB")
        elif info.file_size > max(1 << 20, limits.max_zip_ratio * info.compress_size):
            yield LimitError(name, f"unpacks to over {limits.max_zip_ratio:g} times its size")
        else:
            yield Source(source.path, name, True, at, real)


def _archive(source: Source, limits: Limits) -> tuple[zipfile.ZipInfo, ...]:
    now = stamp(source)
    if (_KEPT.owner, _KEPT.path, _KEPT.stamp) != (os.getpid(), source.path, now):
        if _KEPT.archive is not None and _KEPT.owner == os.getpid():
            _KEPT.archive.close()
        _KEPT.archive = _KEPT.path = _KEPT.member = None
        try:
            _check_directory(source, limits)
            _KEPT.archive = zipfile.ZipFile(source.path)
        except InputError:
            raise
        except Exception as error:  # damaged ones raise much besides BadZipFile
            raise _bad_zip(source, error) from None
        _KEPT.infos = tuple(_KEPT.archive.infolist())
        _KEPT.owner, _KEPT.path, _KEPT.stamp = os.getpid(), source.path, now
    return _KEPT.infos


def _bad_zip(source: Source, error: Exception) -> InputError:
    return BrokenFileError(source.name, f"a damaged zip ({type(error).__name__})", "zip it again")


def _check_directory(source: Source, limits: Limits) -> None:
    """Refuse a directory that would fill the memory, before it is read (APPNOTE 4.3.14, 4.3.16)."""
    with _regular(source) as file:
        tail = _tail(file)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise BrokenFileError(
            source.name, "a damaged zip: its directory is missing", "zip it again"
        )
    size = struct.unpack_from("<I", tail, at + 12)[0]
    large = tail.rfind(b"PK\x06\x06", 0, at)
    if large >= 0 and at - large >= 56:
        size = max(size if size != 0xFFFFFFFF else 0, struct.unpack_from("<Q", tail, large + 40)[0])
    if size > limits.max_zip_entries * _ENTRY_BYTES:
        raise LimitError(source.name, f"over {limits.max_zip_entries} members in the zip")


def _tail(file: BinaryIO) -> bytes:
    end = file.seek(0, 2)
    file.seek(max(0, end - (1 << 16) - 128))
    return file.read()


@contextmanager
def _member(source: Source, limits: Limits) -> Iterator[Inflating]:
    infos = _archive(source, limits)
    if _KEPT.source == source and _KEPT.member is not None:
        yield _KEPT.member
        return
    archive, entry = _KEPT.archive, source.entry
    if archive is None or entry is None or entry >= len(infos):
        raise BrokenFileError(source.name, "the zip has changed since it was read", "run again")
    try:
        file = archive.open(infos[entry])
    except Exception as error:  # an unknown method, a header that does not fit the directory
        raise _bad_zip(source, error) from None
    packed, most = infos[entry].compress_size, limits.max_file_bytes
    with file:
        stream = Inflating(_puller(source, file), source.name, most, packed, limits.max_zip_ratio)
        yield stream
    if stream.ended:  # needs the file no more
        _KEPT.source, _KEPT.member = source, stream


def _puller(source: Source, file: IO[bytes]) -> Callable[[int], bytes]:
    def pull(size: int) -> bytes:
        try:
            return bytes(file.read(size))
        except Exception as error:  # zlib, bz2 and lzma each raise their own
            raise _bad_zip(source, error) from None

    return pull
