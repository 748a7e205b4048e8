"""Parent's side of a decoding process: start it, send frames, notice that it died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import NamedTuple

from ich_cli.core.dicom.codecs.worker import JOB, READY, REPLY


class DecodeJob(NamedTuple):
    """One compressed frame."""

    family: str
    """``jpeg``, ``jpegls``, ``jpeg2k``, ``htj2k`` or ``rle``."""
    data: bytes
    bits_allocated: int
    pixels: int
    """Rows x Columns."""
    seconds: float
    """Limit of processor time."""


class DecodeReply(NamedTuple):
    """Reply of a worker."""

    outcome: int
    name: str
    """The dtype of the words, or the name of the exception."""
    words: bytes
    seconds: float
    """Processor time used."""


class WorkerDied(Exception):
    """A worker ended without a reply."""

    def __init__(self, status: int, timed_out: bool, ready: bool) -> None:
        cpu_limit = sys.platform != "win32" and status == -signal.SIGXCPU
        self.hung = timed_out or cpu_limit
        """True if it was ended for taking too long."""
        self.ready = ready
        """True if it had started up."""
        self.signal = next((one.name for one in signal.Signals if one == -status), "")


class CodecProcess:
    """A decoding process. It starts in the background, which takes a third of a second.

    Raises OSError if it cannot be started.
    """

    def __init__(self, module: str) -> None:
        self.frames = 0
        """Number of frames sent to it."""
        self._ready = self._timed_out = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],  # -P: import nothing from the current folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a codec's messages may quote the file
            env=_environment(),
            process_group=None if sys.platform == "win32" else 0,  # Ctrl-C goes to the parent only
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("no pipes")
        self._stdin, self._stdout = stdin, stdout

    def decode(self, job: DecodeJob, timeout: float) -> DecodeReply:
        """Send a frame and wait for its words.

        Parameters
        ----------
        job
            The frame.
        timeout
            Seconds on the clock after which the process is killed.

        Raises
        ------
        WorkerDied
            If it ended, or was killed.
        """
        timer = threading.Timer(timeout, self._kill)
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(job)
        except OSError:  # the pipe is broken
            raise self._died() from None
        finally:
            timer.cancel()

    def _exchange(self, job: DecodeJob) -> DecodeReply:
        self._ready = self._ready or self._read(1) == READY
        self.frames += 1
        family, size = job.family.encode(), len(job.data)
        self._stdin.write(JOB.pack(family, job.bits_allocated, job.pixels, job.seconds, size))
        self._stdin.write(job.data)
        self._stdin.flush()
        outcome, name, seconds, length = REPLY.unpack(self._read(REPLY.size))
        if length > 4 * job.pixels:  # longer than any valid reply
            raise self._died()
        text = name.rstrip(b"\0").decode("ascii", "replace")
        return DecodeReply(outcome, text, self._read(length), seconds)

    def _read(self, size: int) -> bytes:
        data = self._stdout.read(size)
        if len(data) < size:
            raise self._died()
        return data

    def _kill(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _died(self) -> WorkerDied:
        self._close_pipes()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.close()
        return WorkerDied(self._process.returncode, self._timed_out, self._ready)

    def close(self) -> None:
        """End the process."""
        self._close_pipes()
        self._process.kill()
        self._process.wait()

    def disown(self) -> None:
        """Release the process in a forked child: it belongs to the parent."""
        self._close_pipes()
        self._process.returncode = 0

    def _close_pipes(self) -> None:
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):  # unsent data is lost
                pipe.close()


def _environment() -> dict[str, str]:
    """Return the environment of a worker: the same import path, one thread."""
    path = os.pathsep.join(entry or str(os.getcwd()) for entry in sys.path)  # noqa: PTH109
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
