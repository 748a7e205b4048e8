"""Find copies of slices: the same UIDs and place, the same pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ich_cli.core.dicom import Limits, PixelFormat
from ich_cli.core.errors import InputError, NotApplicableError, ReasonCode
from ich_cli.core.nifti import NiftiPlane
from ich_cli.core.series.loading import load, read_stored
from ich_cli.core.series.types import Refused, SliceRef

Found = SliceRef | Refused


def without_copies(found: Iterable[Found], limits: Limits) -> list[Found]:
    """Keep the first of several copies of a slice; refuse the others as copies.

    Pixels are read only of slices that agree in patient, UIDs, frame number and geometry.

    Parameters
    ----------
    found
        Slices and refused files, in the order of the files.
    limits
        Bounds on file size, memory and time.
    """
    originals: dict[tuple[object, ...], list[SliceRef]] = {}
    kept: list[Found] = []
    for one in found:
        if isinstance(one, Refused) or not one.id.sop_uid:
            kept.append(one)
            continue
        alike = originals.setdefault((one.patient, one.id[1:5], one.geometry), [])
        original = next((other for other in alike if _same_pixels(other, one, limits)), None)
        if original is None:
            alike.append(one)
            kept.append(one)
        else:
            kept.append(_copy(one, original))
    return kept


def _same_pixels(one: SliceRef, other: SliceRef, limits: Limits) -> bool:
    try:
        first, second = one.format, other.format
        if not isinstance(first, PixelFormat) or not isinstance(second, PixelFormat):
            return isinstance(first, NiftiPlane) and first == second  # UIDs are of the content
        if first.syntax == second.syntax:
            return read_stored(one, first, limits) == read_stored(other, second, limits)
        return bool(np.array_equal(load(one, limits).hu, load(other, limits).hu))
    except InputError:  # a damaged file is no copy: it has a row with the reason
        return False


def _copy(ref: SliceRef, original: SliceRef) -> Refused:
    reason = f"a copy of {original.source.name}"
    return Refused(NotApplicableError(ref.source.name, reason, code=ReasonCode.COPY), ref.id)
