"""Types of what a scan finds: slices, refused files, series."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import NamedTuple, Self

from ich_cli.core.dicom import Geometry, PixelFormat, Rescale, SliceId, Source
from ich_cli.core.errors import InputError
from ich_cli.core.nifti import NiftiPlane
from ich_cli.core.pictures import PictureFormat


@dataclass(frozen=True, slots=True)
class SliceRef:
    """A slice whose header has been read and whose pixels have not; `load` decodes it.

    Small, and picklable.
    """

    source: Source
    """File, or member of a zip; ``source.name`` is the name shown to users."""
    id: SliceId
    geometry: Geometry
    notes: tuple[str, ...]
    """Remarks on the slice, then on its series; no patient data."""
    format: PixelFormat | NiftiPlane | PictureFormat = field(repr=False)
    rescale: Rescale = field(repr=False)
    stamp: tuple[int, int] = field(repr=False)
    """Size in bytes and modification time in ns of the file when its header was read."""
    patient: str = field(default="", repr=False)
    """PatientID, for splits by patient only. Never printed, logged or written."""
    stack: tuple[str, ...] = field(default=(), repr=False)
    """Texts by which the stacks of a series may differ, as `Frame.stack`. Never written."""
    synthetic: bool = False
    """True for an image that was computed, not scanned."""

    @property
    def is_dicom(self) -> bool:
        """Whether the file is DICOM, not NIfTI and not a picture."""
        return isinstance(self.format, PixelFormat)


class Refused(NamedTuple):
    """A file, or a frame of one, that cannot be used."""

    error: InputError
    """Reason."""
    id: SliceId
    """File name, with UIDs where the header was read."""

    @classmethod
    def of(cls, error: InputError) -> Self:
        """Return the file that an error is about."""
        study, series, sop = error.uids
        return cls(error, SliceId(error.name, study_uid=study, series_uid=series, sop_uid=sop))


@dataclass(frozen=True)
class Series:
    """Slices of one stack, in anatomical order; at least one."""

    study: str
    """StudyInstanceUID; empty where there is none."""
    slices: tuple[SliceRef, ...]
    """From feet to head."""
    refused: tuple[Refused, ...] = ()
    """Files and frames of the series that cannot be used, in the order of the files."""
    notes: tuple[str, ...] = ()
    """Remarks on the series: tilt, spacing, gaps. Each slice has them, too."""
    patient: str = field(default="", repr=False)
    """PatientID, for splits by patient only. Never printed, logged or written."""

    @cached_property
    def key(self) -> str:
        """Name for files about the series: hash of the ids of its slices and refused files.

        The same in every run over the same files; unique in a scan; holds no patient data.
        """
        ids = [*(one.id for one in self.slices), *(one.id for one in self.refused)]
        text = "\n".join(repr(tuple(id)) for id in ids)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def kernel(self) -> str:
        """ConvolutionKernel as the first slice states it; empty where unknown."""
        return next(iter(self.slices[0].stack), "") if self.slices else ""

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.slices)

    def neighbours(self, index: int, context: int) -> list[SliceRef | None]:
        """Return the slices around one.

        Parameters
        ----------
        index
            Index of the slice.
        context
            Number of slices on each side.

        Returns
        -------
        list of SliceRef or None
            ``2 * context`` slices in anatomical order, the one at `index` left out; None beyond
            the ends of the series.
        """
        around = (index + step for step in range(-context, context + 1) if step)
        return [self.slices[at] if 0 <= at < len(self.slices) else None for at in around]


@dataclass(frozen=True)
class Scan:
    """All that was found in files, folders and zips."""

    series: tuple[Series, ...]
    """In the order of their first files."""
    refused: tuple[Refused, ...] = ()
    """Files that cannot be used and belong to no series, in the order of the files."""

    @property
    def slices(self) -> int:
        """Number of slices."""
        return sum(len(one) for one in self.series)

    def __len__(self) -> int:
        """Return the number of slices and refused files."""
        return self.slices + len(self.all_refused())

    def all_refused(self) -> list[Refused]:
        """Return the refused files of each series, then those of no series."""
        return [*chain.from_iterable(one.refused for one in self.series), *self.refused]
