"""Limits on reading files that may be hostile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Limits:
    """Limits beyond which a file is refused without being read."""

    max_side: int = 4096
    """Largest Rows or Columns."""
    max_frames: int = 4096
    """Largest NumberOfFrames of an instance."""
    max_file_bytes: int = 2**31
    """Size in bytes of a file, or of an unpacked member of a zip."""
    max_volume_bytes: int = 2**30
    """Size in bytes of the voxels of a NIfTI volume."""
    max_zip_entries: int = 100_000
    """Number of members of a zip."""
    max_zip_bytes: int = 2**34
    """Size in bytes of all members of a zip, unpacked."""
    max_zip_ratio: float = 200.0
    """Compression ratio of a member over a mebibyte; CT compresses by 2 to 20."""
    max_header_bytes: int = 2**24
    """Size in bytes of all elements before the pixel data."""
    max_read_seconds: float = 60.0
    """Deadline in seconds for reading a header or a frame from a disk or network."""


DEFAULT_LIMITS: Final = Limits()
