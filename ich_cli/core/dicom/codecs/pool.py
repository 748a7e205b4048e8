"""Native codecs in processes of their own: a crash, a hang or the hunger of one costs one file.

    decoders.decode_frame ──▶ Codecs.decompress ──▶ an idle process, or a new one ──▶ words
                                     │ died, or over its time or memory
                                     └──▶ InputError for this file; the next one gets a new process

A worker is a plain child with two pipes. So it works from threads, from processes that may have no
children of `multiprocessing`, and after a fork; and it ends when its parent does, however that
ends, for its stdin ends with it.
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

from ich_cli.core.dicom.codecs.process import CodecProcess, Died, Job, Reply
from ich_cli.core.dicom.codecs.worker import NO_MEMORY, WORDS, WRONG_SIZE
from ich_cli.core.errors import BrokenFileError, DecoderError, InputError, LimitError

_SECONDS: Final = 3.0
_SECONDS_A_PIXEL: Final = 1e-6
"""Processor time that a frame may take; an honest one takes a tenth."""
_PATIENCE: Final = 10.0
"""Seconds on the clock for each of processor time: the machine may be busy."""
_STRIKES: Final = 3
"""A file whose frames crashed the decoder so often is given up; one that hung it, at once."""
_PACE: Final = 0.1, 0.5e-6
"""Seconds of processor time for a frame, and for each of its pixels; an honest one takes half."""
_GRACE: Final = 30.0
"""Seconds that all frames of a file together may take beyond that pace."""
_REMEMBERED: Final = 1000
_DTYPES: Final = frozenset({"|u1", "|i1", "<u2", "<i2", "<u4", "<i4"})
_REMEDY: Final = "the file is damaged or hostile; export it again without compression"


class Codecs:
    """Processes that decode: as many as threads ask at once, at most one a processor.

    Parameters
    ----------
    module
        What such a process runs.
    patience
        Seconds on the clock for each second of processor time.
    """

    def __init__(
        self, module: str = "ich_cli.core.dicom.codecs.worker", patience: float = _PATIENCE
    ) -> None:
        self._module, self._patience = module, patience
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
        self._idle: list[CodecProcess] = []
        self._all: set[CodecProcess] = set()
        self._strikes: OrderedDict[Hashable, float] = OrderedDict()
        self._lost: OrderedDict[Hashable, float] = OrderedDict()
        """Seconds beyond the pace, by file."""

    def decompress(
        self, family: str, data: bytes, bits_allocated: int, pixels: int, *, name: str,
        syntax: str, file: Hashable,
    ) -> NDArray[Any]:  # fmt: skip
        """Decode one frame.

        Parameters
        ----------
        family, data, bits_allocated, pixels
            As in `Job`.
        name, syntax
            Of the file and its transfer syntax, for errors.
        file
            What is the same for all frames of one file, and another when the file has changed.

        Returns
        -------
        numpy.ndarray
            Integers ``(pixels,)``.

        Raises
        ------
        BrokenFileError
            If the codec refuses the frame, crashes, or does not come to an end.
        LimitError
            If it asks for more memory than it may have.
        DecoderError
            If no process can be started.
        """
        if self._strikes.get(file, 0) >= _STRIKES:
            raise BrokenFileError(name, f"given up: its frames ended the {syntax} decoder", _REMEDY)
        if self._lost.get(file, 0) > _GRACE:
            raise BrokenFileError(name, f"given up: its {syntax} frames decode too slowly", _REMEDY)
        seconds = _SECONDS + _SECONDS_A_PIXEL * pixels
        job = Job(family, data, bits_allocated, pixels, seconds)
        try:
            with self._places:
                reply = self._ask(job)
        except Died as died:
            raise self._to_blame(died, name, syntax, file) from None
        except OSError:
            raise _cannot_start(name) from None
        late = reply.seconds - _PACE[0] - _PACE[1] * pixels
        if late > 0:
            self._count(self._lost, file, late)
        return _words(reply, job, name, syntax)

    def warm(self) -> None:
        """Start a first process, so that it is ready by the time a frame is there."""
        if not self._all:
            with suppress(OSError):  # the first frame will say so
                self._idle.append(self._start())

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            workers, self._idle, self._all = self._all, [], set()
        for worker in workers:
            worker.close()

    def disown(self) -> None:
        """Leave all processes to the parent, in a forked child; its locks may be held."""
        for worker in self._all:
            worker.disown()
        self._forget()

    def _ask(self, job: Job) -> Reply:
        """Ask a process; where one that had worked before died or starved, ask a new one.

        An earlier frame may have spoilt it, for which this one is not to blame.
        """
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is not None and worker.frames:
            try:
                reply = self._ask_one(worker, job)
            except Died as died:
                if died.hung:
                    raise
            else:
                if reply.outcome != NO_MEMORY:
                    return reply
            worker = None
        return self._ask_one(worker or self._start(), job)

    def _ask_one(self, worker: CodecProcess, job: Job) -> Reply:
        """Ask one process, and keep it for the next frame if it did well."""
        try:
            reply = worker.ask(job, self._patience * job.seconds)
        except Died:
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

    def _to_blame(self, died: Died, name: str, syntax: str, file: Hashable) -> InputError:
        if not died.ready and not died.hung:
            return _cannot_start(name)
        self._count(self._strikes, file, _STRIKES if died.hung else 1)
        if died.hung:
            return BrokenFileError(name, f"the {syntax} decoder came to no end", _REMEDY)
        signal = f" ({died.signal})" if died.signal else ""
        return BrokenFileError(name, f"the {syntax} decoder crashed{signal}", _REMEDY)

    def _count(self, book: OrderedDict[Hashable, float], file: Hashable, amount: float) -> None:
        with self._lock:
            book[file] = book.get(file, 0) + amount
            while len(book) > _REMEMBERED:
                book.popitem(last=False)


def _words(reply: Reply, job: Job, name: str, syntax: str) -> NDArray[Any]:
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


CODECS: Final = Codecs()
"""The decoding processes of this one."""

atexit.register(CODECS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=CODECS.disown)
