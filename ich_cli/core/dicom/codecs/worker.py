"""Decoding process: reads jobs from stdin and writes words to stdout until stdin ends.

Started by `pool` as ``python -P -m ich_cli.core.dicom.codecs.worker``. Before the first job it
limits its memory, core dumps (they would contain an image) and files. Each job sets a limit on
processor time, so that the system ends a decoder that runs for ever, however busy the machine is.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

if sys.platform != "win32":
    import resource

JOB: Final = struct.Struct("<8sIQdQ")
"""Family, BitsAllocated, pixels, seconds of processor time, bytes that follow."""
REPLY: Final = struct.Struct("<B32sdQ")
"""Outcome, dtype or the name of the exception, seconds of processor time, bytes that follow."""
READY: Final = b"R"
WORDS, RAISED, NO_MEMORY, WRONG_SIZE = 0, 1, 2, 3
MEMORY: Final = 1 << 30
"""Bytes available for decoding; 4096 x 4096 of JPEG 2000, the largest frame, takes a third."""

Decompress = Callable[[str, bytes, int], NDArray[Any]]


def serve(decompress: Decompress) -> None:
    """Decode the jobs on stdin until it ends."""
    jobs, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library's output must not mix with replies
    _limit_process()
    replies.write(READY)
    replies.flush()
    while len(head := jobs.read(JOB.size)) == JOB.size:
        family, bits, pixels, seconds, length = JOB.unpack(head)
        data = jobs.read(length)
        _limit_seconds(seconds)
        decode = partial(decompress, family.rstrip(b"\0").decode(), data, bits)
        start = time.process_time()  # coarse while a limit is set, but good enough for seconds
        outcome, name, words = _try(decode, pixels)
        replies.write(REPLY.pack(outcome, name[:32], time.process_time() - start, len(words)))
        replies.write(words)
        replies.flush()


def _try(decode: Callable[[], NDArray[Any]], pixels: int) -> tuple[int, bytes, bytes]:
    try:
        words = np.ascontiguousarray(decode())
        if words.size != pixels:
            return WRONG_SIZE, b"", b""
        return WORDS, words.dtype.str.encode(), words.tobytes()
    except MemoryError:
        return NO_MEMORY, b"", b""
    except Exception as error:  # codecs raise many types on hostile bytes
        return RAISED, type(error).__name__.encode(), b""


def _limit_process() -> None:
    if sys.platform == "win32":
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.is_file():  # other systems do not enforce RLIMIT_AS
        loaded = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (loaded + MEMORY, loaded + MEMORY))


def _limit_seconds(seconds: float) -> None:
    if sys.platform != "win32":
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


if __name__ == "__main__":
    from ich_cli.core.dicom.codecs.backend import decompress

    serve(decompress)
