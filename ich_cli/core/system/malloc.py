"""Memory tuning of glibc: keep freed memory for the next arrays."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Final

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of <malloc.h>
_KEPT_BYTES: Final = 64 << 20
"""Free bytes at the end of the heap that are not returned to the system."""
_MMAP_BYTES: Final = 32 << 20
"""Size from which an array gets its own mapping; the maximum that glibc allows."""


@cache
def keep_freed_memory() -> None:
    """Stop glibc from returning the memory of every slice to the system.

    With its default thresholds, from 128 KiB, the arrays of a slice are mapped again each time,
    page by page, which takes longer than the work on them. Does nothing with another C library, or
    if the user has set the thresholds.
    """
    if any(key.startswith(("MALLOC_", "GLIBC_TUNABLES")) for key in os.environ):
        return
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return
        library = ctypes.CDLL(None)
    except (AttributeError, ValueError, OSError):  # not POSIX, or not glibc
        return
    library.mallopt(_MMAP, _MMAP_BYTES)
    library.mallopt(_TRIM, _KEPT_BYTES)
