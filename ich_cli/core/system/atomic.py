"""Files that appear whole or not at all, and locks that a killed process cannot leave behind."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

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
_BUSY: Final = "busy"  # the locked file in a folder that is being made
_LOCK_BYTE: Final = 2**40  # far beyond the content: Windows locks bytes against readers, too


def output_error(path: Path, error: OSError, remedy: str = "") -> OutputError:
    """Return the error that says why `path` cannot be written, and what to do."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or type(error).__name__
    return OutputError(f"cannot write {path}: {reason}{f'; {remedy}' if remedy else ''}")


def aside(path: Path, ending: str) -> Path:
    """Return the hidden file beside `path` for what is not finished: ``.name.ending``."""
    return path.with_name(f".{path.name}.{ending}")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file that takes its name only when the block ends well.

    Until then it lies beside `path` under a hidden name; a block that raises leaves nothing, and
    what stood at `path` before stays untouched. What a killed process leaves, `sweep` removes.
    Not `durable`, a machine that loses power may leave it empty; nobody waits for the disk.

    Raises
    ------
    OutputError
        If it cannot be written: folder missing, no permission, disk full.
    """
    new = aside(path, f"{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            _try_lock(file)  # tells `sweep` that somebody is at work
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if os.name != "nt":  # there an open file cannot be renamed
                new.replace(path)
        if os.name == "nt":
            new.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):
            new.unlink()


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Open a new folder that takes its name, and the place of what was there, when all went well.

    Raises
    ------
    OutputError
        If it cannot be written: no permission, disk full.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep_folders(folder)
        with (
            tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside,
            Path(beside, _BUSY).open("wb") as busy,
        ):
            _try_lock(busy)
            new, old = Path(beside) / "new", Path(beside) / "old"
            new.mkdir()
            yield new
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            busy.close()  # Windows removes no open file
    except OSError as error:
        raise output_error(folder, error) from error


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what processes that were killed left of unfinished files.

    Parameters
    ----------
    folder
        Where to look; what cannot be removed stays.
    name
        Of the file that was to be written; a pattern.
    """
    for path in list(folder.glob(f".{name}.*.new")) if folder.is_dir() else ():
        with suppress(OSError):
            if path.name.split(".")[-2].isdecimal() and path.is_file() and _is_idle(path):
                path.unlink()


def _sweep_folders(folder: Path) -> None:
    for beside in folder.parent.glob(f".{folder.name}-*"):
        with suppress(OSError):
            if _is_idle(beside / _BUSY):
                shutil.rmtree(beside, ignore_errors=True)


def _is_idle(path: Path) -> bool:
    """Say whether nobody is at work on a file; no, where the file system knows no locks."""
    with path.open("rb+") as file:
        return _try_lock(file) is True


def is_locked(file: BinaryIO) -> bool:
    """Say whether another process holds the file; two that ask at once are no hindrance."""
    return _try_lock(file, shared=True) is False


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Keep other runs from making `path` while the block runs; they are told so.

    Raises
    ------
    OutputError
        If another process is making it, or nothing can be written beside it.
    """
    beside = aside(path, "lock")
    try:
        file = beside.open("ab")
    except OSError as error:
        raise output_error(path, error) from error
    with file:
        if not lock(file) or not bears(file, beside):
            raise OutputError(f"cannot write {path}: another run is writing it; let it finish")
        try:
            yield
        finally:
            if os.name != "nt":  # there an open file cannot be removed
                beside.unlink(missing_ok=True)


def bears(file: BinaryIO, path: Path) -> bool:
    """Say whether an open file still bears its name; a run that just ended may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def lock(file: BinaryIO) -> bool:
    """Take the file for this process until it is closed; False where another one holds it.

    The system drops the lock when the process ends, however it ends. File systems that know no
    locks count as free.
    """
    return _try_lock(file) is not False


def _try_lock(file: BinaryIO, *, shared: bool = False) -> bool | None:
    """Take a lock: True; False where another one holds it; None where there are no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LOCK_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK) else None
    return True
