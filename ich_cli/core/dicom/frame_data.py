"""Read the bytes of one frame: native, deflated or encapsulated (PS3.5 sections A.4 and A.5).

pydicom's `get_frame` scans from the first frame each time: a million steps for a thousand frames
without an offset table. So the starts of the frames are found once and cached.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, cast

from ich_cli.core.dicom.elements import BoundedReader, without_warnings
from ich_cli.core.dicom.files.inflate import InflatingReader, Seekable, inflate
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.dicom.pixel_format import PixelFormat
from ich_cli.core.dicom.transfer_syntax import DEFLATED
from ich_cli.core.errors import BrokenFileError, InputError, LimitError

_END_OF_IMAGE: Final = b"\xff\xd9"
_TAIL: Final = 10  # last bytes of a fragment, without padding, in which the marker is searched
_BLOCK: Final = 4096


class _LastInstance(threading.local):
    """Data kept by a thread on the last multi-frame instance that it read."""

    key: tuple[object, ...] = ()
    inflated: InflatingReader | None = None
    """Its data set, if deflated."""
    starts: tuple[int, ...] = ()
    """Starts of its frames, if encapsulated."""

    def select(self, file: Hashable) -> None:
        """Drop the data of another instance; a forked child must not share a stream."""
        key = (os.getpid(), file)
        if self.key != key:
            self.key, self.inflated, self.starts = key, None, ()


_LAST: Final = _LastInstance()


class FrameSource(NamedTuple):
    """An open file with frames, and its properties."""

    raw: Seekable
    size: int | None
    """Size in bytes; None where not known."""
    format: PixelFormat
    name: str
    """File name for errors."""
    limits: Limits
    """Bound the bytes that are read."""
    file: Hashable
    """Identifies the file in its present state."""


def read_frame(source: FrameSource, index: int) -> bytes:
    """Read the bytes of one frame, counted from 0.

    Returns
    -------
    bytes
        ``format.frame_bytes`` of native pixels, or one codestream.

    Raises
    ------
    BrokenFileError, LimitError
        If the pixel data are damaged or too large.
    """
    fmt, name = source.format, source.name
    try:
        if not fmt.native:
            return _encapsulated(source, index)
        raw = _inflated(source) if fmt.syntax == DEFLATED else source.raw
        raw.seek(fmt.offset + index * fmt.frame_bytes)
        data = raw.read(fmt.frame_bytes)
    except InputError:
        raise
    except MemoryError:
        raise LimitError(name, "not enough memory to read a frame") from None
    except Exception as error:  # invalid offsets and fragments
        raise BrokenFileError(
            name, f"PixelData is damaged ({type(error).__name__})", "copy it again"
        ) from None
    if len(data) < fmt.frame_bytes:
        raise BrokenFileError(name, "the file ends within its PixelData", "copy it again")
    return data


def _encapsulated(source: FrameSource, index: int) -> bytes:
    from pydicom.encaps import get_frame

    fmt = source.format
    source.raw.seek(fmt.offset)
    bounded = BoundedReader(source.raw, source.size, source.name, source.limits.max_file_bytes)
    with without_warnings():
        if fmt.frames == 1 or fmt.offsets is not None:
            return get_frame(
                cast(Any, bounded),
                index,
                number_of_frames=fmt.frames,
                extended_offsets=fmt.offsets,
            )
        _LAST.select(source.file)
        if not _LAST.starts:
            _LAST.starts = frame_starts(bounded, fmt.frames)
        return frame_at(bounded, _LAST.starts, index)


def frame_starts(file: BoundedReader, frames: int) -> tuple[int, ...]:
    """Return the position in the file of each frame's first item tag.

    Read from the Basic Offset Table. Where it is empty, each fragment is a frame if there are as
    many; otherwise a frame ends with the fragment that ends with an end-of-image marker.

    Parameters
    ----------
    file
        Positioned at the Basic Offset Table.
    frames
        NumberOfFrames, more than 1.

    Raises
    ------
    Exception
        Any exception of pydicom where the items are damaged.
    """
    from pydicom.encaps import parse_basic_offsets, parse_fragments

    table = parse_basic_offsets(cast(Any, file))
    start = file.tell()
    if table:
        return tuple(start + offset for offset in table)
    _, offsets = parse_fragments(cast(Any, file))
    if len(offsets) == frames:
        return tuple(offsets)
    ends = [_ends_image(file, first, second) for first, second in pairwise(offsets)]
    return (*offsets[:1], *(at for at, ended in zip(offsets[1:], ends, strict=True) if ended))


def _ends_image(file: BoundedReader, start: int, stop: int) -> bool:
    """Return whether an item ends with an end-of-image marker, which zeros may follow."""
    begin = start + 8
    tail = b""
    while stop > begin and len(tail) < _TAIL:
        at = max(begin, stop - _BLOCK)
        file.seek(at)
        tail = file.read(stop - at).rstrip(b"\0")
        if at == begin:
            break
        stop = at + len(tail)
    return _END_OF_IMAGE in tail[-_TAIL:]


def frame_at(file: BoundedReader, starts: Sequence[int], index: int) -> bytes:
    """Join the fragments of a frame.

    Parameters
    ----------
    file
        The file.
    starts
        As returned by `frame_starts`.
    index
        Frame, from 0.

    Raises
    ------
    Exception
        Any exception of pydicom where the items are damaged; IndexError where there is no such
        frame, ValueError where offsets decrease.
    """
    from pydicom.encaps import generate_fragments

    file.seek(starts[index])
    if index == len(starts) - 1:
        return b"".join(generate_fragments(cast(Any, file)))
    length = starts[index + 1] - starts[index]
    if length <= 0:
        raise ValueError("frame offsets decrease")
    return b"".join(generate_fragments(file.read(length)))


def _inflated(source: FrameSource) -> InflatingReader:
    _LAST.select(source.file)
    if _LAST.inflated is not None:
        return _LAST.inflated
    fmt = source.format
    source.raw.seek(fmt.deflated_at)
    stream = inflate(source.raw, source.name, source.limits)
    stream.load(fmt.offset + fmt.frame_bytes * fmt.frames)
    if fmt.frames > 1:
        _LAST.inflated = stream
    return stream
