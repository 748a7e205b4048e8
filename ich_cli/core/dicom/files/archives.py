"""List the members of an archive: zip, tar, or tar compressed with gzip."""

from __future__ import annotations

from collections.abc import Iterator

from ich_cli.core.dicom.files.sniffing import sniff
from ich_cli.core.dicom.files.sources import Source, open_regular
from ich_cli.core.dicom.files.tar_archive import tar_members
from ich_cli.core.dicom.files.zip_archive import zip_members
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.errors import InputError
from ich_cli.core.system import Names, as_named, run_with_deadline


def archive_members(
    source: Source, limits: Limits, names: Names = as_named
) -> Iterator[Source | InputError]:
    """Yield the members of an archive in natural order, without unpacking them.

    Raises
    ------
    InputError
        If the archive as a whole cannot be read, or exceeds the limits.
    """

    def head() -> bytes:
        with open_regular(source) as file:
            return file.read(132)

    first = run_with_deadline(head, limits.max_read_seconds, source.name)
    members = zip_members if sniff(first) == "zip" else tar_members
    return members(source, limits, names)
