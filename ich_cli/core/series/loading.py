"""Decode a slice that has been found: its bytes out of the file, its stored values, its HU."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import Final

from ich_cli.core.dicom import (
    DEFAULT_LIMITS,
    DEFLATED,
    Bounded,
    CTSlice,
    Inflating,
    Limits,
    Seekable,
    decode_frame,
    frame_at,
    frame_starts,
    inflate,
    one_frame,
    opened,
    quiet,
    stamp,
    to_hounsfield,
)
from ich_cli.core.errors import BrokenFileError, InputError, LimitError
from ich_cli.core.series.types import SliceRef
from ich_cli.core.system import run_with_deadline


def load(ref: SliceRef, limits: Limits = DEFAULT_LIMITS) -> CTSlice:
    """Decode one slice to HU. Safe to call from several threads and processes.

    Parameters
    ----------
    ref
        As `scan` found it.
    limits
        Bounds on what is tried.

    Returns
    -------
    CTSlice
        float32 ``(H, W)`` in HU, with the notes of `ref` and those on its pixels.

    Raises
    ------
    InputError
        If the frame is damaged, cannot be decoded, or has no HU.
    """
    name, fmt = ref.source.name, ref.format
    data = run_with_deadline(partial(_read, ref, limits), limits.max_read_seconds, name)
    stored = decode_frame(data, fmt, name, (ref.source, ref.stamp))
    values = to_hounsfield(stored, fmt, ref.rescale, name)
    return CTSlice(
        hu=values.hu,
        id=ref.id,
        geometry=ref.geometry,
        status="repaired" if values.mended else "ok",
        notes=(*values.mended, *ref.notes, *values.notes),
        patient=ref.patient,
    )


def _read(ref: SliceRef, limits: Limits) -> bytes:
    """Return the bytes of a frame, as they lie in its file."""
    with opened(ref.source, limits) as (raw, size):
        if stamp(ref.source) != ref.stamp:
            raise BrokenFileError(ref.source.name, "changed since its header was read", "run again")
        if size is None:
            raw.seek(0, 2)  # a member of a zip: its checksum is compared at its end
        return _frame_bytes(raw, size, ref, limits)


class _Last(threading.local):
    """What a thread found out about the last instance of several frames that it read."""

    key: tuple[object, ...] = ()
    inflated: Inflating | None = None
    """The data set of a deflated one."""
    starts: tuple[int, ...] = ()
    """Where the frames of an encapsulated one begin."""

    def turn_to(self, ref: SliceRef) -> None:
        """Forget what was known of another instance; a forked child must not share a stream."""
        key = (os.getpid(), ref.source, ref.stamp)
        if self.key != key:
            self.key, self.inflated, self.starts = key, None, ()


_LAST: Final = _Last()


def _frame_bytes(raw: Seekable, size: int | None, ref: SliceRef, limits: Limits) -> bytes:
    name, fmt, index = ref.source.name, ref.format, ref.id.frame - 1
    try:
        if not fmt.native:
            return _fragments(raw, size, ref, limits)
        if fmt.syntax == DEFLATED:
            raw = _inflated(raw, ref, limits)
        raw.seek(fmt.offset + index * fmt.frame_bytes)
        data = raw.read(fmt.frame_bytes)
    except InputError:
        raise
    except MemoryError:
        raise LimitError(name, "not enough memory to read a frame") from None
    except Exception as error:  # hostile offsets and fragments
        raise BrokenFileError(
            name, f"PixelData is damaged ({type(error).__name__})", "copy it again"
        ) from None
    if len(data) < fmt.frame_bytes:
        raise BrokenFileError(name, "the file ends within its PixelData", "copy it again")
    return data


def _fragments(raw: Seekable, size: int | None, ref: SliceRef, limits: Limits) -> bytes:
    """Join the fragments of an encapsulated frame (PS3.5 section A.4)."""
    fmt, index = ref.format, ref.id.frame - 1
    raw.seek(fmt.offset)
    file = Bounded(raw, size, ref.source.name, limits.max_file_bytes)
    with quiet():
        if fmt.frames == 1 or fmt.offsets is not None:
            return one_frame(file, index, fmt.frames, fmt.offsets)
        _LAST.turn_to(ref)
        if not _LAST.starts:
            _LAST.starts = frame_starts(file, fmt.frames)
        return frame_at(file, _LAST.starts, index)


def _inflated(raw: Seekable, ref: SliceRef, limits: Limits) -> Inflating:
    _LAST.turn_to(ref)
    if _LAST.inflated is not None:
        return _LAST.inflated
    fmt = ref.format
    raw.seek(fmt.deflated_at)
    stream = inflate(raw, ref.source.name, limits)
    stream.seek(fmt.offset + fmt.frame_bytes * fmt.frames)
    stream.hold()
    if fmt.frames > 1:
        _LAST.inflated = stream
    return stream
