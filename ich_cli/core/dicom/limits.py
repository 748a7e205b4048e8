"""Bounds on what is read from files that may be hostile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Limits:
    """Bounds on hostile or absurd input. Beyond them a file is refused, not tried."""

    max_side: int = 4096
    """Rows or Columns."""
    max_frames: int = 4096
    """NumberOfFrames of one instance."""
    max_file_bytes: int = 2**31
    """Size of one file, or of one member of a zip when unpacked."""
    max_zip_entries: int = 100_000
    """Members of one zip."""
    max_zip_bytes: int = 2**34
    """All members of one zip when unpacked."""
    max_zip_ratio: float = 200.0
    """Unpacked over packed size of one member over a mebibyte; CT packs by 2 to 20."""
    max_header_bytes: int = 2**24
    """Everything before the pixel data."""
    max_read_seconds: float = 60.0
    """Reading the header of a file, or one frame: beyond that a disk or network has stalled."""


DEFAULT_LIMITS: Final = Limits()
