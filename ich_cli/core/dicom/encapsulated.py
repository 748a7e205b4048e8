"""Where the frames of encapsulated pixel data begin, found once (PS3.5 section A.4).

pydicom finds one frame at a time, from the beginning: of a thousand frames that is a million steps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

from ich_cli.core.dicom.elements import Bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

_END_OF_IMAGE: Final = b"\xff\xd9"
_TAIL: Final = 10  # bytes of a fragment among which the marker is looked for: it may be padded


def one_frame(
    file: Bounded, index: int, frames: int, extended: tuple[bytes, bytes] | None
) -> bytes:
    """Return a frame of an instance that has one only, or an Extended Offset Table.

    Parameters
    ----------
    file
        At the Basic Offset Table.
    index
        Which frame, from 0.
    frames
        NumberOfFrames.
    extended
        ExtendedOffsetTable and ExtendedOffsetTableLengths.

    Raises
    ------
    Exception
        Whatever pydicom raises where the fragments are damaged.
    """
    from pydicom.encaps import get_frame

    return get_frame(cast(Any, file), index, number_of_frames=frames, extended_offsets=extended)


def frame_starts(file: Bounded, frames: int) -> tuple[int, ...]:
    """Find where each frame begins: its first fragment's item tag, counted from the file's start.

    By the Basic Offset Table; where it is empty, each fragment is a frame if there are as many, and
    else a frame ends with the fragment that ends with an end-of-image marker.

    Parameters
    ----------
    file
        At the Basic Offset Table.
    frames
        NumberOfFrames, more than 1.

    Raises
    ------
    Exception
        Whatever pydicom raises where the items are damaged.
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


def _ends_image(file: Bounded, start: int, stop: int) -> bool:
    file.seek(max(start + 8, stop - _TAIL))
    return _END_OF_IMAGE in file.read(stop - file.tell())


def frame_at(file: Bounded, starts: Sequence[int], index: int) -> bytes:
    """Join the fragments of a frame.

    Parameters
    ----------
    file
        The file.
    starts
        As `frame_starts` found them.
    index
        Which frame, from 0.

    Raises
    ------
    Exception
        Whatever pydicom raises where the items are damaged; IndexError where there is no such
        frame, ValueError where the table runs backwards.
    """
    from pydicom.encaps import generate_fragments

    file.seek(starts[index])
    if index == len(starts) - 1:
        return b"".join(generate_fragments(cast(Any, file)))
    length = starts[index + 1] - starts[index]
    if length <= 0:
        raise ValueError("offsets run backwards")
    return b"".join(generate_fragments(file.read(length)))
