"""A slice that has been found, its header read, its pixels not yet decoded."""

from __future__ import annotations

from dataclasses import dataclass, field

from ich_cli.core.dicom import (
    Geometry,
    PixelFormat,
    Rescale,
    SliceId,
    Source,
)
from ich_cli.core.errors import InputError


@dataclass(frozen=True, slots=True)
class FrameRef:
    """One slice that has been found; `series.load` decodes it. Small, and crosses processes."""

    source: Source
    """The file or member of a zip; ``source.name`` is what the user sees."""
    id: SliceId
    geometry: Geometry
    notes: tuple[str, ...]
    """Remarks on the frame, then on its series; no patient data."""
    series: str
    """What it is gathered by: SeriesInstanceUID, its folder where there is none."""
    format: PixelFormat = field(repr=False)
    rescale: Rescale = field(repr=False)
    stamp: tuple[int, int] = field(repr=False)
    """Size and time of the file when its header was read."""
    patient: str = field(default="", repr=False)
    """PatientID, for splits by patient only. Never printed, logged or written."""


Entry = FrameRef | InputError
"""A frame to read, or the reason why a file has none."""
