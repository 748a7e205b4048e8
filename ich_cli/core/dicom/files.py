"""Files to read: named ones, and those of folders. Names only, nothing is opened."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

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
    """A file, or a member of a zip."""

    path: Path
    name: str
    """What outputs call it: as the user named it, ``archive.zip!folder/member`` in a zip; or a
    hash. Printable."""
    found: bool = False
    """Found in a folder or zip, not named by the user."""
    entry: int | None = None
    """Which member of the zip, by its place in the directory."""
    real: str = field(default="", repr=False)
    """The name as it was before it was made anonymous; never printed, logged or written."""


def printable(text: str) -> str:
    """Return a name without control characters or broken encoding, which would spoil a table."""
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sound)


def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a sorting key by which ``slice2`` comes before ``slice10``."""
    parts = re.findall(r"\d{1,18}|\D+", text)
    return tuple(
        (False, int(part), "") if part.isdecimal() and part.isascii() else (True, 0, part)
        for part in parts
    )


def walk(
    paths: list[Path], names: Names = as_named, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Source | InputError]:
    """Yield each file once, folders in natural order.

    Parameters
    ----------
    paths
        Files and folders. A DICOMDIR stands for the folder it lies in.
    names
        What they are called.
    limits
        Bound the time that a folder, or what it knows of a file, may take to answer.

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
            path, info = path.parent, path.parent.stat()  # the medium is meant
        if stat.S_ISDIR(info.st_mode):
            yield from _folder(path, seen, names, limits)
        else:
            yield from _file(path, seen, names, limits, found=False)


def _folder(
    folder: Path, seen: set[str], names: Names, limits: Limits
) -> Iterator[Source | InputError]:
    name = names(printable(str(folder)))
    try:
        entries = run_with_deadline(partial(_listed, folder), limits.max_read_seconds, name)
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


def _listed(folder: Path) -> list[tuple[str, str]]:
    """Return what is in a folder, in natural order, and whether it is one, or a link to one."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: (natural(entry.name), entry.name))
    return [(entry.path, _kind(entry)) for entry in entries]


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "link" if entry.is_symlink() and entry.is_dir() else "file"


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
    if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait for ever
        yield BrokenFileError(name, "not a regular file")
        return
    place = str(path.absolute())
    if place not in seen:
        seen.add(place)
        yield Source(path, name, found, real=real)


def stamp(source: Source) -> tuple[int, int]:
    """Return size and time of a source's file, by which a change shows."""
    try:
        info = source.path.stat()
    except OSError as error:
        raise BrokenFileError(source.name, f"cannot be read: {error.strerror}") from None
    return info.st_size, info.st_mtime_ns
