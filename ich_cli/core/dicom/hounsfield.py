"""Convert stored values to Hounsfield units: rescale, padding, polarity, known faults.

Pure functions of arrays and numbers. docs/dicom.md explains the rules to users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom.ct_slice import AIR_HU
from ich_cli.core.dicom.notes import Note
from ich_cli.core.dicom.pixel_format import PixelFormat
from ich_cli.core.dicom.plausibility import (
    AIR,
    AIR_SHARE,
    find_fault,
    has_air,
)
from ich_cli.core.errors import BrokenFileError

LOWEST_HU: Final = -1024.0
"""Lower values mark pixels outside the scanner's field of view."""
HIGHEST_HU: Final = 32767.0
MAX_STEP: Final = 4.0
"""Largest difference between two grey levels in HU; with more, the brain window has under 20."""

_MAX_ABS_HU: Final = 1e6
_TISSUE: Final = (-500.0, 1500.0)


@dataclass(frozen=True, slots=True)
class Rescale:
    """Slope and intercept of the modality LUT (PS3.3 C.11.1); None where absent."""

    slope: float | None
    intercept: float | None
    stated: bool = True
    """False where RescaleType does not state Hounsfield units: taken as HU if the values fit."""


class Hounsfield(NamedTuple):
    """HU with the corrections applied."""

    hu: NDArray[np.float32]
    repairs: tuple[str, ...]
    """Corrections of the stored values, one short clause each."""
    notes: tuple[str, ...]
    fault: str = ""
    """Reason why the values cannot be HU; see `find_fault`."""
    lowest: float = 0.0
    """Lowest value before clipping."""
    highest: float = 0.0
    """Highest value before clipping."""


def to_hounsfield(
    stored: NDArray[np.integer[Any]], fmt: PixelFormat, rescale: Rescale, name: str = ""
) -> Hounsfield:
    """Convert stored values to HU (PS3.3 C.11.1.1.2: stored x slope + intercept).

    Parameters
    ----------
    stored
        Integers ``(H, W)``, sign-extended.
    fmt
        Pixel format of the instance: bits, sign, polarity, padding.
    rescale
        Slope and intercept of the frame.
    name
        File name for errors.

    Returns
    -------
    Hounsfield
        float32 ``(H, W)`` within -1024 … 32767, corrections, and notes.

    Raises
    ------
    BrokenFileError
        If the rescale is missing and the values are not HU by themselves, or if it is too coarse.
    """
    slope, intercept, repairs = _complete(stored, fmt, rescale, name)
    notes: list[str] = []
    if slope > MAX_STEP:
        raise BrokenFileError(
            name,
            f"RescaleSlope {slope:g}: grey levels are {slope:g} HU apart, too coarse to show blood",
            "export the original pixel data, not an 8-bit copy",
        )
    if fmt.bits_stored <= 8:
        repairs.append(f"BitsStored {fmt.bits_stored}: HU only in steps of {slope:g}")
    if is_wrapped(stored, fmt, slope, intercept):
        stored, intercept = unwrap(stored), -1000.0
        repairs.append("HU were wrapped (12 bits unsigned, RescaleIntercept over -100): unwrapped")
    padded = _padded(stored, fmt, slope, intercept, notes)
    hu = _scale(stored, slope, intercept)
    if fmt.inverted:
        hu = _invert_if_needed(hu, stored, fmt, slope, intercept, repairs, notes)
    if padded is not None:
        hu[padded] = AIR_HU
    fault, lowest, highest = find_fault(hu), float(hu.min()), float(hu.max())
    if lowest < LOWEST_HU:
        hu[hu < LOWEST_HU] = AIR_HU
    if highest > HIGHEST_HU:
        np.minimum(hu, np.float32(HIGHEST_HU), out=hu)
    if lowest > -100.0:
        notes.append(Note.NO_AIR)
    return Hounsfield(hu, tuple(repairs), tuple(notes), fault, lowest, highest)


def is_wrapped(
    stored: NDArray[np.integer[Any]], fmt: PixelFormat, slope: float, intercept: float
) -> bool:
    """Detect HU that were wrapped, a fault known from the RSNA 2019 data set.

    HU were written as 12 bits unsigned modulo 4096, so air, -1000, became 3096. The header shows
    it by BitsStored 12, PixelRepresentation 0 and an intercept over -100; the data must agree: at
    least 2 % of the pixels have the values of wrapped air. Metal alone does not cover so much, and
    a slice that was clipped at 0 HU has no such pixels.
    """
    if fmt.signed or fmt.bits_stored != 12 or fmt.inverted or slope != 1 or intercept <= -100:
        return False
    low, high = (int(edge - intercept) + 4096 for edge in AIR)
    return float(((stored >= low) & (stored <= high)).mean()) >= AIR_SHARE


def unwrap(stored: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Undo the wrap: add 1000 modulo 4096, for an intercept of -1000."""
    return (stored.astype(np.int32) + 1000) % 4096


def _complete(
    stored: NDArray[np.integer[Any]], fmt: PixelFormat, rescale: Rescale, name: str
) -> tuple[float, float, list[str]]:
    """Complete a missing slope or intercept where the values are HU without doubt."""
    slope, intercept = rescale.slope, rescale.intercept
    if intercept is not None:
        repairs = [] if slope is not None else ["RescaleSlope missing: taken as 1"]
        return (1.0 if slope is None else slope), intercept, repairs
    if slope in (None, 1.0) and fmt.signed and fmt.bits_stored >= 12 and has_air(stored):
        return 1.0, 0.0, ["RescaleIntercept missing: the stored values are HU as they are"]
    raise BrokenFileError(
        name,
        "RescaleIntercept is missing, and the stored values are not HU by themselves",
        "export the original CT image",
    )


def _scale(stored: NDArray[np.integer[Any]], slope: float, intercept: float) -> NDArray[np.float32]:
    whole = float(slope).is_integer() and float(intercept).is_integer()
    if whole and stored.itemsize <= 2 and abs(slope) * 65536 + abs(intercept) < _MAX_ABS_HU:
        hu = stored.astype(np.float32)  # whole numbers this small are exact in float32
        hu *= slope
        hu += intercept
        return hu
    exact = stored * np.float64(slope) + intercept  # 32-bit values would not fit a float32
    return np.clip(exact, -_MAX_ABS_HU, _MAX_ABS_HU).astype(np.float32)


def _padded(
    stored: NDArray[np.integer[Any]],
    fmt: PixelFormat,
    slope: float,
    intercept: float,
    notes: list[str],
) -> NDArray[np.bool_] | None:
    """Mark PixelPaddingValue … PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2)."""
    if fmt.padding is None:
        return None
    low, high = fmt.padding
    ends = (low * slope + intercept, high * slope + intercept)
    if ends[1] > _TISSUE[0] and ends[0] < _TISSUE[1]:
        notes.append("PixelPaddingValue lies among tissue: ignored")
        return None
    return np.asarray(stored == low if low == high else (stored >= low) & (stored <= high))


def _invert_if_needed(
    hu: NDArray[np.float32],
    stored: NDArray[np.integer[Any]],
    fmt: PixelFormat,
    slope: float,
    intercept: float,
    repairs: list[str],
    notes: list[str],
) -> NDArray[np.float32]:
    """Invert MONOCHROME1 values only if air shows that they are inverted."""
    top = -1 if fmt.signed else (1 << fmt.bits_stored) - 1
    flipped = _scale(top - stored.astype(np.int64), slope, intercept)
    if not has_air(hu) and has_air(flipped):
        repairs.append("MONOCHROME1 with inverted values: turned upright")
        return flipped
    notes.append("MONOCHROME1: its HU are taken as stored")
    return hu
