"""Open a file or a member of a zip, and read it with a deadline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ich_cli.core.dicom.files import sources, tar_archive, zip_archive
from ich_cli.core.dicom.files.inflate import Seekable
from ich_cli.core.dicom.files.sources import Source
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.errors import BrokenFileError, LimitError
from ich_cli.core.system import run_with_deadline

T = TypeVar("T")


def read_file(source: Source, limits: Limits, read: Callable[[Seekable, int | None], T]) -> T:
    """Open a source and read it within ``limits.max_read_seconds``.

    Parameters
    ----------
    source
        A file or a member of a zip.
    limits
        Bound size and time.
    read
        Called with the open file and its size in bytes, None where not known, in another thread.

    Returns
    -------
    object
        The result of `read`.

    Raises
    ------
    InputError
        If the file cannot be read, is too large, or the deadline passes; and what `read` raises.
    """

    def run() -> T:
        with _open(source, limits) as (raw, size):
            return read(raw, size)

    return run_with_deadline(run, limits.max_read_seconds, source.name)


@contextmanager
def _open(source: Source, limits: Limits) -> Iterator[tuple[Seekable, int | None]]:
    """Yield the open file and its size; None for a member of a zip, which is inflated lazily."""
    try:
        if source.extent is not None:
            with tar_archive.open_tar_member(source, limits) as window:
                yield window, source.extent[1]
            return
        if source.entry is not None:
            with zip_archive.open_member(source, limits) as member:
                yield member, None
            return
        with sources.open_regular(source) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limits.max_file_bytes:
                raise LimitError(
                    source.name,
                    f"{size >> 20} MiB, the limit is {limits.max_file_bytes >> 20} MiB",
                )
            yield file, size
    except OSError as error:
        raise BrokenFileError(source.name, f"cannot be read: {error.strerror}") from None
