"""List and open the members of zips, with bounds on the unpacked size."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Final

from ich_cli.core.dicom.files.inflate import InflatingReader
from ich_cli.core.dicom.files.sources import Source, natural_key, open_regular, printable, stamp
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.errors import BrokenFileError, InputError, LimitError
from ich_cli.core.system import Names, as_named, run_with_deadline

_MAX_ENTRY_BYTES: Final = 512  # of the central directory per member; valid entries are smaller


class _LastArchive(threading.local):
    """Archive and member that a thread opened last, so that frames do not inflate them again.

    `owner` is the process: a forked child must not share a file's position.
    """

    owner: int = 0
    path: Path | None = None
    stamp: tuple[int, int] = (0, 0)
    archive: zipfile.ZipFile | None = None
    infos: tuple[zipfile.ZipInfo, ...] = ()
    source: Source | None = None
    member: InflatingReader | None = None


_LAST: Final = _LastArchive()


def zip_members(
    source: Source, limits: Limits, names: Names = as_named
) -> Iterator[Source | InputError]:
    """Yield the members of a zip in natural order, without unpacking them.

    Raises
    ------
    InputError
        If the zip as a whole cannot be read, or exceeds the limits.
    """
    list_entries = partial(_entries, source, limits)
    infos = run_with_deadline(list_entries, limits.max_read_seconds, source.name)
    if len(infos) > limits.max_zip_entries:
        raise LimitError(source.name, f"over {limits.max_zip_entries} members in the zip")
    if sum(info.file_size for info in infos) > limits.max_zip_bytes:
        raise LimitError(source.name, f"unpacks to over {limits.max_zip_bytes >> 30} GiB")
    order = sorted(range(len(infos)), key=lambda at: (natural_key(infos[at].filename), at))
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


def _entries(source: Source, limits: Limits) -> tuple[zipfile.ZipInfo, ...]:
    """Open the archive, unless it is the last one that this thread opened."""
    now = stamp(source)
    if (_LAST.owner, _LAST.path, _LAST.stamp) != (os.getpid(), source.path, now):
        if _LAST.archive is not None and _LAST.owner == os.getpid():
            _LAST.archive.close()
        _LAST.archive = _LAST.path = _LAST.member = None
        try:
            _check_directory(source, limits)
            _LAST.archive = zipfile.ZipFile(source.path)
        except InputError:
            raise
        except Exception as error:  # a damaged zip raises much besides BadZipFile
            raise _bad_zip(source, error) from None
        _LAST.infos = tuple(_LAST.archive.infolist())
        _LAST.owner, _LAST.path, _LAST.stamp = os.getpid(), source.path, now
    return _LAST.infos


def _bad_zip(source: Source, error: Exception) -> InputError:
    return BrokenFileError(source.name, f"a damaged zip ({type(error).__name__})", "zip it again")


def _check_directory(source: Source, limits: Limits) -> None:
    """Refuse a directory that would fill the memory, before it is read (APPNOTE 4.3.14, 4.3.16)."""
    with open_regular(source) as file:
        tail = _tail(file)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise BrokenFileError(
            source.name, "a damaged zip: its directory is missing", "zip it again"
        )
    size = struct.unpack_from("<I", tail, at + 12)[0]
    zip64 = tail.rfind(b"PK\x06\x06", 0, at)
    if zip64 >= 0 and at - zip64 >= 56:
        size = max(size if size != 0xFFFFFFFF else 0, struct.unpack_from("<Q", tail, zip64 + 40)[0])
    if size > limits.max_zip_entries * _MAX_ENTRY_BYTES:
        raise LimitError(source.name, f"over {limits.max_zip_entries} members in the zip")


def _tail(file: BinaryIO) -> bytes:
    end = file.seek(0, 2)
    file.seek(max(0, end - (1 << 16) - 128))
    return file.read()


@contextmanager
def open_member(source: Source, limits: Limits) -> Iterator[InflatingReader]:
    """Open a member of a zip; it is inflated as far as it is read."""
    infos = _entries(source, limits)
    if _LAST.source == source and _LAST.member is not None:
        yield _LAST.member
        return
    archive, entry = _LAST.archive, source.entry
    if archive is None or entry is None or entry >= len(infos):
        raise BrokenFileError(source.name, "the zip has changed since it was read", "run again")
    try:
        file = archive.open(infos[entry])
    except Exception as error:  # an unknown method, a header that contradicts the directory
        raise _bad_zip(source, error) from None
    packed_bytes, max_bytes = infos[entry].compress_size, limits.max_file_bytes
    pull = _puller(source, file)
    with file:
        stream = InflatingReader(pull, source.name, max_bytes, packed_bytes, limits.max_zip_ratio)
        yield stream
    if stream.ended:  # the file is no longer needed
        _LAST.source, _LAST.member = source, stream


def _puller(source: Source, file: IO[bytes]) -> Callable[[int], bytes]:
    def pull(size: int) -> bytes:
        try:
            return bytes(file.read(size))
        except Exception as error:  # zlib, bz2 and lzma have exceptions of their own
            raise _bad_zip(source, error) from None

    return pull
