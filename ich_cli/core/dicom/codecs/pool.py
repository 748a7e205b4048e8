"""Pool of decoding processes: a crash, a hang or excess memory use fails only that file.

    decode_words ──▶ CodecPool.decompress ──▶ an idle process, or a new one ──▶ words
                              │ died, or exceeded its time or memory
                              └──▶ InputError for this file; the next one gets a new process

A worker is a plain child with two pipes. So it works in threads, in daemonic processes, which may
have no `multiprocessing` children, and after a fork; it ends with its parent, when stdin closes.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom.codecs.process import CodecProcess, DecodeJob, DecodeReply, WorkerDied
from ich_cli.core.dicom.codecs.worker import NO_MEMORY, WORDS, WRONG_SIZE
from ich_cli.core.errors import BrokenFileError, DecoderError, InputError, LimitError

_SECONDS: Final = 3.0
_SECONDS_PER_PIXEL: Final = 1e-6
"""Limit of processor time per frame; valid frames take a tenth."""
_CLOCK_FACTOR: Final = 10.0
"""Seconds on the clock per second of processor time: the machine may be busy."""
_MAX_CRASHES: Final = 3
"""Crashes after which a file is given up; after a hang, at once."""
_EXPECTED_SECONDS: Final = 0.1, 0.5e-6
"""Expected processor time per frame and per pixel; valid frames take half."""
_MAX_EXCESS_SECONDS: Final = 30.0
"""Limit of a file's processor time beyond the expected one, all frames together."""
_MAX_FILES: Final = 1000
_DTYPES: Final = frozenset({"|u1", "|i1", "<u2", "<i2", "<u4", "<i4"})
_REMEDY: Final = "the file is damaged or hostile; export it again without compression"


class CodecPool:
    """Decoding processes, as many as concurrent calls, at most one per processor.

    Parameters
    ----------
    module
        Module that a process runs.
    clock_factor
        Seconds on the clock per second of processor time.
    """

    def __init__(
        self,
        module: str = "ich_cli.core.dicom.codecs.worker",
        clock_factor: float = _CLOCK_FACTOR,
    ) -> None:
        self._module, self._clock_factor = module, clock_factor
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
        self._idle: list[CodecProcess] = []
        self._all: set[CodecProcess] = set()
        self._crashes: OrderedDict[Hashable, float] = OrderedDict()
        self._excess: OrderedDict[Hashable, float] = OrderedDict()
        """Seconds beyond the expected ones, by file."""

    def decompress(
        self, family: str, data: bytes, bits_allocated: int, pixels: int, *, name: str,
        syntax: str, file: Hashable,
    ) -> NDArray[Any]:  # fmt: skip
        """Decode one frame.

        Parameters
        ----------
        family, data, bits_allocated, pixels
            As in `DecodeJob`.
        name, syntax
            Names of the file and its transfer syntax, for errors.
        file
            Identifies the file in its present state.

        Returns
        -------
        numpy.ndarray
            Integers ``(pixels,)``.

        Raises
        ------
        BrokenFileError
            If the codec rejects the frame, crashes, or exceeds its time.
        LimitError
            If it exceeds its memory.
        DecoderError
            If no process can be started.
        """
        if self._crashes.get(file, 0) >= _MAX_CRASHES:
            raise BrokenFileError(name, f"given up: its frames ended the {syntax} decoder", _REMEDY)
        if self._excess.get(file, 0) > _MAX_EXCESS_SECONDS:
            raise BrokenFileError(name, f"given up: its {syntax} frames decode too slowly", _REMEDY)
        seconds = _SECONDS + _SECONDS_PER_PIXEL * pixels
        job = DecodeJob(family, data, bits_allocated, pixels, seconds)
        try:
            with self._slots:
                reply = self._decode(job)
        except WorkerDied as died:
            raise self._error(died, name, syntax, file) from None
        except OSError:
            raise _cannot_start(name) from None
        excess = reply.seconds - _EXPECTED_SECONDS[0] - _EXPECTED_SECONDS[1] * pixels
        if excess > 0:
            self._add(self._excess, file, excess)
        return _words(reply, job, name, syntax)

    def warm(self) -> None:
        """Start a first process ahead of the first frame."""
        if not self._all:
            with suppress(OSError):  # the first frame reports it
                self._idle.append(self._start())

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            workers, self._idle, self._all = self._all, [], set()
        for worker in workers:
            worker.close()

    def disown(self) -> None:
        """Release all processes and locks in a forked child: they belong to the parent."""
        for worker in self._all:
            worker.disown()
        self._reset()

    def _decode(self, job: DecodeJob) -> DecodeReply:
        """Decode in an idle process; repeat in a new one if a used one dies or lacks memory.

        An earlier frame may have corrupted the used one.
        """
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is not None and worker.frames:
            try:
                reply = self._decode_in(worker, job)
            except WorkerDied as died:
                if died.hung:
                    raise
            else:
                if reply.outcome != NO_MEMORY:
                    return reply
            worker = None
        return self._decode_in(worker or self._start(), job)

    def _decode_in(self, worker: CodecProcess, job: DecodeJob) -> DecodeReply:
        """Decode in one process, and keep it for the next frame if it survives."""
        try:
            reply = worker.decode(job, self._clock_factor * job.seconds)
        except WorkerDied:
            self._all.discard(worker)
            raise
        if reply.outcome == NO_MEMORY:
            self._all.discard(worker)
            worker.close()
        else:
            self._idle.append(worker)
        return reply

    def _start(self) -> CodecProcess:
        worker = CodecProcess(self._module)
        self._all.add(worker)
        return worker

    def _error(self, died: WorkerDied, name: str, syntax: str, file: Hashable) -> InputError:
        if not died.ready and not died.hung:
            return _cannot_start(name)
        self._add(self._crashes, file, _MAX_CRASHES if died.hung else 1)
        if died.hung:
            return BrokenFileError(name, f"the {syntax} decoder did not finish in time", _REMEDY)
        signal = f" ({died.signal})" if died.signal else ""
        return BrokenFileError(name, f"the {syntax} decoder crashed{signal}", _REMEDY)

    def _add(self, sums: OrderedDict[Hashable, float], file: Hashable, amount: float) -> None:
        with self._lock:
            sums[file] = sums.get(file, 0) + amount
            while len(sums) > _MAX_FILES:
                sums.popitem(last=False)


def _words(reply: DecodeReply, job: DecodeJob, name: str, syntax: str) -> NDArray[Any]:
    if reply.outcome == NO_MEMORY:
        raise LimitError(name, "not enough memory to decode a frame", _REMEDY)
    words = np.frombuffer(reply.words, reply.name) if reply.name in _DTYPES else None
    if reply.outcome == WRONG_SIZE or (words is not None and words.size != job.pixels):
        raise BrokenFileError(name, "the compressed frame does not fill Rows x Columns")
    if reply.outcome != WORDS or words is None:
        raise BrokenFileError(name, f"the {syntax} frame does not decode ({reply.name})")
    return words


def _cannot_start(name: str) -> DecoderError:
    return DecoderError(
        name,
        "the process that decodes compressed frames cannot be started",
        "free memory, or install imagecodecs again",
    )


CODECS: Final = CodecPool()
"""Decoding processes of this process."""

atexit.register(CODECS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=CODECS.disown)
