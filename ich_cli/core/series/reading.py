"""Read one CT slice from a file, a stream or a pydicom data set."""

from __future__ import annotations

import copy
import hashlib
import io
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from ich_cli.core.dicom import (
    DEFAULT_LIMITS,
    CTSlice,
    FrameSource,
    Limits,
    Source,
    read_frame,
    read_frames,
    sniff,
)
from ich_cli.core.errors import BrokenFileError, InputError, ReasonCode, UsageError
from ich_cli.core.pictures import PictureWindow
from ich_cli.core.series.loading import decode_slice, load
from ich_cli.core.series.scanning import scan, slice_ref

_NAME: Final = "<memory>"
"""File name of streams and data sets in ids and errors."""


def read(
    source: str | Path | BinaryIO | Dataset,
    *,
    frame: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    window: PictureWindow | None = None,
) -> CTSlice:
    """Read one CT slice.

    Parameters
    ----------
    source
        Path of a DICOM file, an open binary stream such as a ``BytesIO``, or a pydicom
        ``Dataset``. Streams and data sets are not written to disk.
    frame
        Number of the frame in a multi-frame instance, from 1.
    limits
        Bounds on file size, memory and time.
    window
        Window of a PNG or JPEG file; None refuses it.

    Returns
    -------
    CTSlice
        float32 ``(H, W)`` in HU, with position, orientation and spacing in mm.

    Raises
    ------
    InputError
        If the file is damaged, or not an axial CT slice.
    NothingFoundError
        If the path does not exist.
    UsageError
        If the path holds several files, or there is no such frame.
    """
    if isinstance(source, str | Path):
        return _read_path(Path(source), frame, limits, window)
    data = _encode(source) if isinstance(source, Dataset) else source.read()
    return _read_bytes(data, frame, limits)


def _read_path(path: Path, frame: int, limits: Limits, window: PictureWindow | None) -> CTSlice:
    found = scan([path], limits, window=window)
    refs = [ref for series in found.series for ref in series.slices]
    if len({ref.source for ref in refs}) > 1:
        raise UsageError(f"{path}: more than one file; use scan or read_slices")
    for ref in refs:
        if ref.id.frame == frame:
            return load(ref, limits)
    for refused in found.all_refused():
        if not refs or refused.id.frame == frame:
            raise refused.error
    raise UsageError(f"{path}: has no frame {frame}")


def _read_bytes(data: bytes, frame: int, limits: Limits) -> CTSlice:
    if sniff(data[:132]) not in ("dicom", "bare"):
        remedy = "read takes one DICOM instance"
        raise BrokenFileError(_NAME, "not DICOM", remedy, ReasonCode.NOT_DICOM)
    stream = io.BytesIO(data)
    frames = read_frames(stream, len(data), _NAME, limits)
    if isinstance(frames[0], InputError) and len(frames) == 1:
        raise frames[0]
    if not 1 <= frame <= len(frames):
        raise UsageError(f"{_NAME}: has no frame {frame}")
    found = frames[frame - 1]
    if isinstance(found, InputError):
        raise found
    digest = int.from_bytes(hashlib.sha256(data).digest()[:8])  # other data, other cache entries
    ref = slice_ref(Source(Path(_NAME), _NAME), found, (len(data), digest))
    file = (ref.source, ref.stamp)
    opened = FrameSource(stream, len(data), found.format, _NAME, limits, file)
    pixels = read_frame(opened, frame - 1)
    return decode_slice(ref, found.format, pixels)


def _encode(dataset: Dataset) -> bytes:
    """Return a data set in the DICOM file format (PS3.10); Explicit VR LE if it has no syntax."""
    stored = copy.copy(dataset)  # its header is replaced, not that of the caller
    meta = FileMetaDataset()
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    stored.file_meta, stored.preamble = meta, bytes(128)
    buffer = io.BytesIO()
    stored.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()
