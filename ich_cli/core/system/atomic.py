"""Atomic writes of files and folders, and locks that end with their process."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from filelock import FileLock, Timeout, lock_descriptor

from ich_cli.core.errors import OutputError

_REASONS: Final = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "the name is too long",
}
_BUSY: Final = "busy"  # file in an unfinished folder that its writer holds locked


def output_error(path: Path, error: OSError, remedy: str = "") -> OutputError:
    """Return an `OutputError` that says why `path` cannot be written, and what to do."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or type(error).__name__
    return OutputError(f"cannot write {path}: {reason}{f'; {remedy}' if remedy else ''}")


def temporary_sibling(path: Path, suffix: str) -> Path:
    """Return the hidden path ``.name.suffix`` beside `path`, for unfinished files."""
    return path.with_name(f".{path.name}.{suffix}")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file that replaces `path` when the block ends without an error.

    Until then it has a hidden name beside `path`. A block that raises leaves `path` as it was.
    `remove_stale` deletes what a killed process leaves.

    Parameters
    ----------
    durable
        Wait until the content is on the disk. Otherwise a power failure may leave an empty file.

    Raises
    ------
    OutputError
        If it cannot be written: folder missing, no permission, disk full.
    """
    new = temporary_sibling(path, f"{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            _lock(file)  # keeps `remove_stale` of other processes away
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if os.name != "nt":  # Windows does not rename open files
                new.replace(path)
        if os.name == "nt":
            new.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):
            new.unlink()


def make_folder(folder: Path) -> None:
    """Create a folder for results, and remove unfinished files in it.

    Raises
    ------
    OutputError
        If it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{folder} is a file; name a folder") from None
    except OSError as error:
        raise output_error(folder, error) from error
    remove_stale(folder)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Open a new folder that replaces `folder` when the block ends without an error.

    Raises
    ------
    OutputError
        If it cannot be written: no permission, disk full.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale_folders(folder)
        with (
            tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary,
            Path(temporary, _BUSY).open("wb") as busy,
        ):
            _lock(busy)
            new, old = Path(temporary) / "new", Path(temporary) / "old"
            new.mkdir()
            yield new
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            busy.close()  # Windows does not remove open files
    except OSError as error:
        raise output_error(folder, error) from error


def remove_stale(folder: Path, name: str = "*") -> None:
    """Remove unfinished files of `replacing` that killed processes left.

    Parameters
    ----------
    folder
        Folder to clean. Files that cannot be removed stay.
    name
        Glob pattern of the file names that were to be written.
    """
    for path in list(folder.glob(f".{name}.*.new")) if folder.is_dir() else ():
        with suppress(OSError):
            if path.name.split(".")[-2].isdecimal() and path.is_file() and _is_unlocked(path):
                path.unlink()


def _remove_stale_folders(folder: Path) -> None:
    for temporary in folder.parent.glob(f".{folder.name}-*"):
        with suppress(OSError):
            if _is_unlocked(temporary / _BUSY):
                shutil.rmtree(temporary, ignore_errors=True)


def _is_unlocked(path: Path) -> bool:
    """Return whether no process locks a file; raise OSError if the file system has no locks."""
    with path.open("rb+") as file:
        return lock_descriptor(file.fileno(), blocking=False)


def _lock(file: BinaryIO) -> None:
    """Lock an open file until it is closed, if the file system has locks."""
    with suppress(OSError):
        lock_descriptor(file.fileno(), blocking=False)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Prevent other processes from writing `path` while the block runs.

    Raises
    ------
    OutputError
        If another process holds the lock, or no file can be written beside `path`.
    """
    lock_path = temporary_sibling(path, "lock")
    file_lock = FileLock(lock_path, timeout=0)
    try:
        lock_path.touch()  # filelock would create missing folders
        file_lock.acquire()
    except Timeout:
        message = f"cannot write {path}: another run is writing it; let it finish"
        raise OutputError(message) from None
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove open files
            lock_path.unlink()
        file_lock.release()
