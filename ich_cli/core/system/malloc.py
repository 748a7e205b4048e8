"""Let the C library keep the memory of arrays that come and go by the thousand."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Final

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of <malloc.h>
_KEPT: Final = 64 << 20
"""Bytes at the end of the heap that are kept for the next arrays."""
_LARGE: Final = 32 << 20
"""What is larger still comes from the system, and goes back; glibc allows no more than this."""


@cache
def keep_freed_memory() -> None:
    """Stop glibc from giving the memory of each slice back, only to ask for it again.

    By its own thresholds, which begin at 128 KiB, the half dozen arrays of a slice are fetched page
    by page from the system every time: that takes longer than the work on them. Where there is
    another C library, or the user has set the thresholds himself, nothing happens.
    """
    if any(key.startswith(("MALLOC_", "GLIBC_TUNABLES")) for key in os.environ):
        return
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return
        library = ctypes.CDLL(None)
    except (AttributeError, ValueError, OSError):  # not POSIX, or not glibc
        return
    library.mallopt(_MMAP, _LARGE)
    library.mallopt(_TRIM, _KEPT)
