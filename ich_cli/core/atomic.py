"""Files that appear whole or not at all, and locks that a killed process cannot leave behind."""

from __future__ import annotations

import errno
import os
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
_LOCK_BYTE: Final = 2**40  # far beyond the content: Windows locks bytes against readers, too


def output_error(path: Path, error: OSError, remedy: str = "") -> OutputError:
    """Return the error that says why `path` cannot be written, and what to do."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or type(error).__name__
    return OutputError(f"cannot write {path}: {reason}{f'; {remedy}' if remedy else ''}")


def aside(path: Path, ending: str) -> Path:
    """Return the hidden file beside `path` for what is not finished: ``.name.ending``."""
    return path.with_name(f".{path.name}.{ending}")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes its name only when the block ends well.

    Until then it lies beside `path` under a hidden name; a block that raises leaves nothing, and
    what stood at `path` before stays untouched.

    Raises
    ------
    OutputError
        If it cannot be written: folder missing, no permission, disk full.
    """
    new = aside(path, f"{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
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
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            new, old = Path(beside) / "new", Path(beside) / "old"
            new.mkdir()
            yield new
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
    except OSError as error:
        raise output_error(folder, error) from error


def lock(file: BinaryIO) -> bool:
    """Take the file for this process until it is closed; False where another one holds it.

    The system drops the lock when the process ends, however it ends. File systems that know no
    locks count as free.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LOCK_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True
