"""Decode a slice that `scan` found: frame bytes, stored values, HU."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import (
    DEFAULT_LIMITS,
    CTSlice,
    FrameSource,
    Limits,
    PixelFormat,
    Seekable,
    Source,
    frame_to_hounsfield,
    read_file,
    read_frame,
    stamp,
)
from ich_cli.core.errors import BrokenFileError
from ich_cli.core.nifti import NiftiPlane, NiftiVolume, plane_hu, read_voxels
from ich_cli.core.pictures import PictureFormat, picture_hu
from ich_cli.core.series.types import SliceRef

_READING: Final = Lock()


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
    fmt, name = ref.format, ref.source.name
    if isinstance(fmt, NiftiPlane):
        with _READING:  # threads that want planes of one volume wait for one read
            voxels = _voxels(fmt.volume, ref.source, ref.stamp, limits)
        hu = plane_hu(voxels, fmt, name)
        return CTSlice(hu, ref.id, ref.geometry, notes=ref.notes, patient=ref.patient)
    if isinstance(fmt, PictureFormat):
        return _load_picture(ref, fmt, limits)
    return decode_slice(ref, fmt, read_stored(ref, fmt, limits))


def _load_picture(ref: SliceRef, fmt: PictureFormat, limits: Limits) -> CTSlice:
    def read(raw: Seekable, _: int | None) -> NDArray[np.float32]:
        _check_unchanged(ref.source, ref.stamp)
        return picture_hu(raw, fmt, ref.source.name)

    hu, notes = read_file(ref.source, limits, read), (*fmt.notes, *ref.notes)
    return CTSlice(hu, ref.id, ref.geometry, "repaired", notes, ref.patient)


def read_stored(ref: SliceRef, fmt: PixelFormat, limits: Limits) -> bytes:
    """Read the bytes of a slice's frame as they are in its file; see `load`."""
    name, file = ref.source.name, (ref.source, ref.stamp)

    def read(raw: Seekable, size: int | None) -> bytes:
        _check_unchanged(*file)
        if size is None:
            raw.seek(0, 2)  # a member of a zip: its checksum is compared at its end
        return read_frame(FrameSource(raw, size, fmt, name, limits, file), ref.id.frame - 1)

    return read_file(ref.source, limits, read)


def decode_slice(ref: SliceRef, fmt: PixelFormat, data: bytes) -> CTSlice:
    """Decode the bytes of a slice's frame; see `load`."""
    name, file = ref.source.name, (ref.source, ref.stamp)
    values = frame_to_hounsfield(data, fmt, ref.rescale, name, file)
    return CTSlice(
        hu=values.hu,
        id=ref.id,
        geometry=ref.geometry,
        status="repaired" if values.repairs else "ok",
        notes=(*values.repairs, *ref.notes, *values.notes),
        patient=ref.patient,
        synthetic=ref.synthetic,
    )


@lru_cache(maxsize=2)  # volumes in memory
def _voxels(
    volume: NiftiVolume, source: Source, read_at: tuple[int, int], limits: Limits
) -> NDArray[Any]:
    def read(raw: Seekable, _: int | None) -> NDArray[Any]:
        _check_unchanged(source, read_at)
        return read_voxels(raw, volume, source.name)

    return read_file(source, limits, read)


def _check_unchanged(source: Source, read_at: tuple[int, int]) -> None:
    if stamp(source) != read_at:
        raise BrokenFileError(source.name, "changed since its header was read", "run again")
