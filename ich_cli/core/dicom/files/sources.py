"""List the files to read: named files, and those in folders."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ich_cli.core.dicom.limits import DEFAULT_LIMITS, Limits
from ich_cli.core.errors import (
    BrokenFileError,
    InputError,
    NotApplicableError as _Skip,
    NothingFoundError,
)
from ich_cli.core.system import Names, as_named, run_with_deadline


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a member of a zip or tar."""

    path: Path
    name: str
    """Printable name for outputs: as the user wrote it, ``archive.zip!folder/member`` for a member
    of a zip, or a hash."""
    found: bool = False
    """True if found in a folder or zip, False if named by the user."""
    entry: int | None = None
    """Index of the member in its archive."""
    real: str = field(default="", repr=False)
    """Name before it was made anonymous; never printed, logged or written."""
    extent: tuple[int, int] | None = field(default=None, repr=False)
    """Position and size of a tar's member in the unpacked tar, in bytes."""


def printable(text: str) -> str:
    """Replace control characters and broken encoding, which would corrupt a table."""
    valid = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in valid)


def natural_key(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a sorting key that puts ``slice2`` before ``slice10``."""
    parts = re.findall(r"\d{1,18}|\D+", text)
    return tuple(
        (False, int(part), "") if part.isdecimal() and part.isascii() else (True, 0, part)
        for part in parts
    )


def walk(
    paths: list[Path], names: Names = as_named, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Source | InputError]:
    """Yield each file once, those of folders in natural order.

    Parameters
    ----------
    paths
        Files and folders. A DICOMDIR stands for the folder that contains it.
    names
        Maps paths to names for outputs.
    limits
        Bound the time for listing a folder and for the attributes of a file.

    Raises
    ------
    NothingFoundError
        If a path does not exist.
    """
    seen: set[str] = set()
    for path in paths:
        try:
            info = path.stat()
        except OSError as error:
            raise NothingFoundError(
                f"{names(printable(str(path)))}: {error.strerror or 'not found'}; check the path"
            ) from None
        if path.name.upper() == "DICOMDIR" and stat.S_ISREG(info.st_mode):
            path, info = path.parent, path.parent.stat()
        if stat.S_ISDIR(info.st_mode):
            yield from _folder(path, seen, names, limits)
        else:
            yield from _file(path, seen, names, limits, found=False)


def _folder(
    folder: Path, seen: set[str], names: Names, limits: Limits
) -> Iterator[Source | InputError]:
    name = names(printable(str(folder)))
    try:
        entries = run_with_deadline(partial(_list, folder), limits.max_read_seconds, name)
    except InputError as error:
        yield error
        return
    except OSError as error:
        yield BrokenFileError(name, f"folder not readable: {error.strerror}")
        return
    for entry, kind in entries:
        if kind == "folder":
            yield from _folder(Path(entry), seen, names, limits)
        elif kind == "link":
            yield _Skip(names(printable(entry)), "a link to a folder: not followed")
        else:
            yield from _file(Path(entry), seen, names, limits, found=True)


def _list(folder: Path) -> list[tuple[str, str]]:
    """Return path and kind of the entries of a folder, in natural order."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: (natural_key(entry.name), entry.name))
    return [(entry.path, _kind(entry)) for entry in entries]


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        return "link" if entry.is_symlink() and entry.is_dir() else "file"
    except OSError:  # a loop of links: opening it as a file gives its row
        return "file"


def _file(
    path: Path, seen: set[str], names: Names, limits: Limits, *, found: bool
) -> Iterator[Source | InputError]:
    real = printable(str(path))
    name = names(real)
    try:
        info = run_with_deadline(path.stat, limits.max_read_seconds, name)
    except InputError as error:
        yield error
        return
    except OSError as error:
        yield BrokenFileError(name, f"cannot be read: {error.strerror}")
        return
    if not stat.S_ISREG(info.st_mode):  # opening a pipe would block for ever
        yield BrokenFileError(name, "not a regular file")
        return
    place = str(path.absolute())
    if place not in seen:
        seen.add(place)
        yield Source(path, name, found, real=real)


def stamp(source: Source) -> tuple[int, int]:
    """Return size and modification time of a source's file, to notice that it has changed."""
    try:
        info = source.path.stat()
    except OSError as error:
        raise BrokenFileError(source.name, f"cannot be read: {error.strerror}") from None
    return info.st_size, info.st_mtime_ns


def open_regular(source: Source) -> BinaryIO:
    """Open a file without blocking, in case it has become a pipe since it was listed."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(source.path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BrokenFileError(source.name, "not a regular file")
    return file
