"""Decode a slice that `scan` found: frame bytes, stored values, HU."""

from __future__ import annotations

from ich_cli.core.dicom import (
    DEFAULT_LIMITS,
    CTSlice,
    Limits,
    Seekable,
    decode_frame,
    read_file,
    read_frame,
    stamp,
    to_hounsfield,
)
from ich_cli.core.errors import BrokenFileError
from ich_cli.core.series.types import SliceRef


def load(ref: SliceRef, limits: Limits = DEFAULT_LIMITS) -> CTSlice:
    """Decode one slice to HU. Safe to call from several threads and processes.

    Parameters
    ----------
    ref
        As returned by `scan`.
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
    name, file = ref.source.name, (ref.source, ref.stamp)

    def read(raw: Seekable, size: int | None) -> bytes:
        if stamp(ref.source) != ref.stamp:
            raise BrokenFileError(name, "changed since its header was read", "run again")
        if size is None:
            raw.seek(0, 2)  # a member of a zip: its checksum is compared at its end
        return read_frame(raw, size, ref.format, ref.id.frame - 1, name, limits, file)

    return decode_slice(ref, read_file(ref.source, limits, read))


def decode_slice(ref: SliceRef, data: bytes) -> CTSlice:
    """Decode the bytes of a slice's frame; see `load`."""
    name, file = ref.source.name, (ref.source, ref.stamp)
    stored = decode_frame(data, ref.format, name, file)
    values = to_hounsfield(stored, ref.format, ref.rescale, name)
    return CTSlice(
        hu=values.hu,
        id=ref.id,
        geometry=ref.geometry,
        status="repaired" if values.repairs else "ok",
        notes=(*values.repairs, *ref.notes, *values.notes),
        patient=ref.patient,
    )
