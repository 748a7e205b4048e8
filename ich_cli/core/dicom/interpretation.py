"""Read a frame's bytes as HU, and correct headers that contradict their pixels.

A header may call signed words unsigned, or give other bits than the pixels use. Where the stated
reading gives no CT slice and exactly one other reading does, that one is taken.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom.decode import Words, decode_words, unpack
from ich_cli.core.dicom.hounsfield import HIGHEST_HU, Hounsfield, Rescale, to_hounsfield
from ich_cli.core.dicom.notes import Note
from ich_cli.core.dicom.pixel_format import PixelFormat
from ich_cli.core.dicom.plausibility import fits, has_air, has_body, has_brain
from ich_cli.core.errors import BrokenFileError, NotApplicableError

_SOFT_TISSUE_HU: Final = 300.0


class _Reading(NamedTuple):
    """One way to read the words of a frame."""

    words: Words
    format: PixelFormat
    repair: str = ""
    """Note on how it differs from the header."""


def frame_to_hounsfield(
    data: bytes, fmt: PixelFormat, rescale: Rescale, name: str, file: Hashable = None
) -> Hounsfield:
    """Decode the bytes of one frame to HU.

    Parameters
    ----------
    data, fmt, name, file
        As for `decode_words`.
    rescale
        Slope and intercept of the frame.

    Returns
    -------
    Hounsfield
        float32 ``(rows, columns)`` in HU.

    Raises
    ------
    BrokenFileError
        If the frame is damaged, or no reading of it gives HU.
    NotApplicableError
        If RescaleType does not state HU, and the values are none.
    LimitError, DecoderError
        If decoding takes too much memory, or cannot be started.
    """
    words = decode_words(data, fmt, name, file)
    stated = _Reading(words, fmt)
    values = _convert(stated, rescale, name)
    if _is_doubtful(values, stated):
        corrected = _corrected(values, stated, rescale)
        if corrected is not None:
            return corrected
    if values.fault:
        raise BrokenFileError(
            name, f"not a CT slice in HU: {values.fault}", "export it again from its archive"
        )
    if rescale.stated:
        return values
    if not fits(values.hu):
        raise NotApplicableError(
            name, "RescaleType is not HU, and air and soft tissue are not where HU have them"
        )
    return values._replace(notes=(*values.notes, Note.UNIT_ASSUMED))


def _convert(reading: _Reading, rescale: Rescale, name: str) -> Hounsfield:
    words, fmt = reading.words, reading.format
    stored = unpack(words.values, words.bits, words.high_bit, signed=fmt.signed)
    return to_hounsfield(stored, fmt, rescale, name)


def _is_doubtful(values: Hounsfield, stated: _Reading) -> bool:
    """Return whether another reading may be the right one."""
    fmt, words = stated.format, stated.words
    if values.fault or not (fits(values.hu) and has_body(values.hu)):
        return True
    if not fmt.signed and values.highest >= HIGHEST_HU - 1024.0:  # beyond extended CT scales
        return True
    if fmt.signed and words.bits < 16 and values.lowest < -1100.0:  # bone may have overflowed
        return True
    return _has_bits_outside(stated)


def _has_bits_outside(reading: _Reading) -> bool:
    """Return whether words use bits beyond those stated, other than to extend the sign."""
    words, signed = reading.words, reading.format.signed
    if words.bits >= words.width:
        return False
    stored = unpack(words.values, words.bits, words.high_bit, signed=signed)
    whole = unpack(words.values, words.width, words.width - 1, signed=signed)
    return not np.array_equal(stored, whole)


def _corrected(values: Hounsfield, stated: _Reading, rescale: Rescale) -> Hounsfield | None:
    """Return the HU of the one other reading that gives a CT slice; None if not exactly one does.

    Where the stated reading may be a CT slice, too, the pixels that change must be closer to their
    neighbours in the other one.
    """
    may_be_right = not values.fault and _may_be_right(values, stated, rescale)
    found: list[Hounsfield] = []
    for reading in _other_readings(stated, noisy=bool(values.fault)):
        try:
            other = _convert(reading, rescale, "")
        except BrokenFileError:
            continue
        if other.fault or not fits(other.hu):
            continue
        if not values.fault and not has_brain(other.hu):
            continue
        if may_be_right and not _is_smoother(other.hu, values.hu):
            continue
        if not any(np.array_equal(other.hu, one.hu) for one in found):
            found.append(other._replace(repairs=(reading.repair, *other.repairs)))
    if len(found) != 1 or np.array_equal(found[0].hu, values.hu):
        return None
    return found[0]


def _may_be_right(values: Hounsfield, stated: _Reading, rescale: Rescale) -> bool:
    """Return whether there are air and a body, and BitsStored can hold soft tissue."""
    largest = (1 << (stated.words.bits - stated.format.signed)) - 1
    top = largest * (rescale.slope or 1.0) + (rescale.intercept or 0.0)
    return top >= _SOFT_TISSUE_HU and has_air(values.hu) and has_body(values.hu)


def _is_smoother(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether steps at the border of the pixels that differ are less than half as high."""
    differs = one != other
    return 2 * _border_step(one, differs) < _border_step(other, differs)


def _border_step(hu: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Return the median difference between neighbours on the two sides of a border."""
    steps = [np.abs(np.diff(hu, axis=axis))[np.diff(inside, axis=axis)] for axis in (0, 1)]
    every = np.concatenate(steps)
    return float(np.median(every)) if every.size else 0.0


def _other_readings(stated: _Reading, *, noisy: bool) -> Iterator[_Reading]:
    words, fmt = stated.words, stated.format
    flipped = replace(fmt, signed=not fmt.signed)
    sign = "unsigned" if fmt.signed else "signed"
    note = f"PixelRepresentation is {int(fmt.signed)}: the words are {sign}"
    yield _Reading(words, flipped, note)
    if words.high_bit != words.bits - 1:
        note = f"HighBit is {words.high_bit}: the values end at bit {words.bits - 1}"
        yield _Reading(words._replace(high_bit=words.bits - 1), fmt, note)
    if words.bits < words.width:
        whole = words._replace(bits=words.width, high_bit=words.width - 1)
        note = f"BitsStored is {words.bits}: the values have {words.width} bits"
        for one in (fmt, flipped):
            yield _Reading(whole, replace(one, bits_stored=words.width), note)
    if noisy and fmt.native and words.values.itemsize > 1:
        swapped = words._replace(values=words.values.byteswap())
        yield _Reading(swapped, fmt, "the words have the other byte order")
