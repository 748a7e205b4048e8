"""A decoding process from its parent's side: start it, ask it, notice that it died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import NamedTuple

from ich_cli.core.dicom.codecs.worker import JOB, READY, REPLY


class Job(NamedTuple):
    """One compressed frame."""

    family: str
    """``jpeg``, ``jpegls``, ``jpeg2k``, ``htj2k`` or ``rle``."""
    data: bytes
    bits_allocated: int
    pixels: int
    """Rows x Columns."""
    seconds: float
    """Processor time that it may take."""


class Reply(NamedTuple):
    """What a worker answered."""

    outcome: int
    name: str
    """The dtype of the words, or the name of the exception."""
    words: bytes
    seconds: float
    """Processor time that it took."""


class Died(Exception):
    """A worker ended in place of an answer."""

    def __init__(self, status: int, late: bool, ready: bool) -> None:
        over = sys.platform != "win32" and status == -signal.SIGXCPU
        self.hung = late or over
        """Whether it was ended for taking too long."""
        self.ready = ready
        """Whether it had ever been ready for a job."""
        self.signal = next((one.name for one in signal.Signals if one == -status), "")


class CodecProcess:
    """A decoding process. Starting takes a third of a second, which nobody waits for here.

    Raises OSError if it cannot be started.
    """

    def __init__(self, module: str) -> None:
        self.frames = 0
        """Frames that it was asked for."""
        self._ready = self._late = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],  # -P: nothing from the folder we stand in
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a codec says may quote the file
            env=_environment(),
            process_group=None if sys.platform == "win32" else 0,  # Ctrl-C is the parent's
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("no pipes")
        self._stdin, self._stdout = stdin, stdout

    def ask(self, job: Job, patience: float) -> Reply:
        """Hand over a frame and wait for its words.

        Parameters
        ----------
        job
            The frame.
        patience
            Seconds on the clock, after which it is killed.

        Raises
        ------
        Died
            If it ended, or had to be ended.
        """
        timer = threading.Timer(patience, self._too_late)
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(job)
        except OSError:  # the pipe is broken
            raise self._died() from None
        finally:
            timer.cancel()

    def _exchange(self, job: Job) -> Reply:
        self._ready = self._ready or self._read(1) == READY
        self.frames += 1
        family, size = job.family.encode(), len(job.data)
        self._stdin.write(JOB.pack(family, job.bits_allocated, job.pixels, job.seconds, size))
        self._stdin.write(job.data)
        self._stdin.flush()
        outcome, name, seconds, length = REPLY.unpack(self._read(REPLY.size))
        if length > 4 * job.pixels:  # no sound one says so, and it is not believed
            raise self._died()
        said = name.rstrip(b"\0").decode("ascii", "replace")
        return Reply(outcome, said, self._read(length), seconds)

    def _read(self, size: int) -> bytes:
        data = self._stdout.read(size)
        if len(data) < size:
            raise self._died()
        return data

    def _too_late(self) -> None:
        self._late = True
        self._process.kill()

    def _died(self) -> Died:
        self._let_go()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.close()
        return Died(self._process.returncode, self._late, self._ready)

    def close(self) -> None:
        """End it."""
        self._let_go()
        self._process.kill()
        self._process.wait()

    def disown(self) -> None:
        """Forget it in a forked child: it is the parent's, who waits for it."""
        self._let_go()
        self._process.returncode = 0

    def _let_go(self) -> None:
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):  # what was not sent yet cannot be sent any more
                pipe.close()


def _environment() -> dict[str, str]:
    """Return the environment of a worker: it finds the modules that we found, on one thread."""
    path = os.pathsep.join(entry or str(os.getcwd()) for entry in sys.path)  # noqa: PTH109
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
