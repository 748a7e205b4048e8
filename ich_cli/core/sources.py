"""Files to read: named ones, and those of folders. Names only, nothing is opened."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ich_cli.core.errors import BrokenFileError, InputError, NothingFoundError
from ich_cli.core.errors import NotApplicableError as _Skip
from ich_cli.core.naming import Names, as_named


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


def walk(paths: list[Path], names: Names = as_named) -> Iterator[Source | InputError]:
    """Yield each file once, folders in natural order.

    Parameters
    ----------
    paths
        Files and folders. A DICOMDIR stands for the folder it lies in.
    names
        What they are called.

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
            yield from _folder(path, seen, names)
        else:
            yield from _file(path, seen, names, found=False)


def _folder(folder: Path, seen: set[str], names: Names) -> Iterator[Source | InputError]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: (natural(entry.name), entry.name))
    except OSError as error:
        yield BrokenFileError(
            names(printable(str(folder))), f"folder not readable: {error.strerror}"
        )
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(Path(entry.path), seen, names)
        elif entry.is_symlink() and entry.is_dir():
            yield _Skip(names(printable(entry.path)), "a link to a folder: not followed")
        else:
            yield from _file(Path(entry.path), seen, names, found=True)


def _file(
    path: Path, seen: set[str], names: Names, *, found: bool
) -> Iterator[Source | InputError]:
    real = printable(str(path))
    name = names(real)
    try:
        info = path.stat()
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
