"""A decoding process whose codec crashes, hangs or takes memory as the bytes say."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom.codecs.worker import serve


def decompress(family: str, data: bytes, bits_allocated: int) -> NDArray[Any]:
    order = next((word for word in ORDERS if word in data), b"")
    if order:
        ORDERS[order]()
    image = np.full(32 * 32, 1064, "<u2")
    image[-256:] = 24  # air
    return image


def _abort() -> None:
    os.abort()


def _segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _spin() -> None:
    while True:
        pass


def _slow() -> None:
    start = time.process_time()
    while time.process_time() - start < 0.1:
        pass


def _sleep() -> None:
    time.sleep(600)


def _eat() -> None:
    held = []
    while True:
        held.append(np.empty(1 << 28, np.uint8))


def _raise() -> None:
    raise RuntimeError("DOE^JANE")


def _print() -> None:
    os.write(1, b"a library prints what it likes")
    sys.stdout.write("DOE^JANE")
    sys.stderr.write("DOE^JANE")


def _spoil() -> None:
    """Decode this frame and crash at the next one."""
    global decompress
    decompress = lambda *job: _abort()  # type: ignore[assignment] # noqa: E731


ORDERS = {
    b"ABORT": _abort,
    b"SEGFAULT": _segfault,
    b"SPIN": _spin,
    b"SLEEP": _sleep,
    b"EAT": _eat,
    b"RAISE": _raise,
    b"PRINT": _print,
    b"SPOIL": _spoil,
    b"SLOW": _slow,
}

if __name__ == "__main__":
    serve(lambda family, data, bits: decompress(family, data, bits))
