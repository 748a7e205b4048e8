"""A CT slice in Hounsfield units with its identity and geometry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

AIR_HU = -1000.0
"""HU of pixels outside the field of view, such as padding."""

Vector = tuple[float, float, float]


class SliceId(NamedTuple):
    """Identity of a slice: UIDs and the name of the file, no patient data."""

    path: str
    """File as the user named it; a member of a zip is ``archive.zip!folder/member``."""
    frame: int = 1
    """Frame number inside the instance, from 1 (PS3.3 C.7.6.6)."""
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    instance: int | None = None
    """InstanceNumber; None where absent."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Position and orientation of a slice (PS3.3 C.7.6.2).

    Patient coordinates in mm: x to the left, y to the back, z to the head.
    """

    position: Vector | None = None
    """ImagePositionPatient: the centre of the first pixel."""
    row_direction: Vector | None = None
    """Direction along which the column index grows (first half of ImageOrientationPatient)."""
    column_direction: Vector | None = None
    """Direction along which the row index grows (second half of ImageOrientationPatient)."""
    spacing: tuple[float, float] | None = None
    """PixelSpacing in mm: between rows, between columns."""
    thickness: float | None = None
    """SliceThickness in mm."""
    tilt: float = 0.0
    """Gantry tilt in degrees, from GantryDetectorTilt or else from the orientation."""
    location: float | None = None
    """SliceLocation in mm; orders slices where positions are missing."""

    def along_normal(self) -> float | None:
        """Return the signed distance from the origin along the normal in mm; None if unknown."""
        if self.position is None or self.row_direction is None or self.column_direction is None:
            return None
        normal = np.cross(self.row_direction, self.column_direction)
        return float(np.dot(normal, self.position))


@dataclass(frozen=True, eq=False)
class CTSlice:
    """One 2-D CT image in Hounsfield units.

    Parameters
    ----------
    hu
        float32 ``(H, W)``; air is near -1000, water near 0.
    id
        UIDs and file name.
    geometry
        Position, orientation, spacing in mm.
    status
        ``ok``, or ``repaired`` where stored values were corrected.
    notes
        Corrections and peculiarities, one short clause each; no patient data.
    patient
        PatientID, for splits by patient only. Never printed, logged or written.
    synthetic
        The image is computed, not scanned: a phantom.
    """

    hu: NDArray[np.float32]
    id: SliceId
    geometry: Geometry = field(default_factory=Geometry)
    status: Literal["ok", "repaired"] = "ok"
    notes: tuple[str, ...] = ()
    patient: str = field(default="", repr=False)
    synthetic: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        rows, columns = self.hu.shape
        return rows, columns
