"""Labelled series: the common interface of all data sources of `ich preprocess`.

A `Source` recognises its layout on disk and opens it as a list of series. Each series is picklable,
so that another process can read its slices, in anatomical order:

    Source.open(request) ──▶ Opened([LabelledSeries, …]) ── read() ──▶ LabelledSlice, …
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.label_table import LabelRow
from ich_cli.core.dicom import DEFAULT_LIMITS, CTSlice, Limits
from ich_cli.core.errors import DataError, InputError, UsageError
from ich_cli.core.system import Names, as_named

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ich_cli.core.pictures import PictureWindow

LabelLevel = Literal["slice", "study"]
"""What a label describes: one slice, or a whole study, whose slices all carry its labels."""


@dataclass(frozen=True)
class LabelledSlice:
    """Slice of a series with its labels, or the reason why it cannot be used."""

    name: str
    """SOP Instance UID, or the slice's relative name in a data set without UIDs."""
    study: str
    series: str
    patient: str = field(repr=False)
    """Key for splits by patient. In memory only; never printed, logged or written."""
    ct: CTSlice | None = None
    labels: LabelRow | None = None
    """Six values in the order of `LABELS`; NaN where unknown."""
    error: InputError | None = None
    """Reason of a missing slice or label; a slice without labels can still be a neighbour."""
    mask: NDArray[np.uint8] | None = None
    """Lesion mask uint8 ``(H, W)``, a bit field over `SUBTYPES`; None where unknown."""


class LabelledSeries(Protocol):
    """Series of labelled slices; picklable."""

    @property
    def name(self) -> str:
        """Name that is unique in its data set; no patient data."""

    @property
    def max_slices(self) -> int:
        """Upper bound of the number of usable slices."""

    def read(self) -> Iterator[LabelledSlice]:
        """Yield all slices in anatomical order, unusable ones with an error."""

    def patient(self) -> str:
        """Return the patient's key without reading the whole series."""


@dataclass(frozen=True)
class SourceInfo:
    """Origin of the slices, for ``dataset.json`` and model cards."""

    kind: str
    name: str
    licence: str = ""
    real_ct: bool = True
    """False for phantoms: models trained only on these carry a warning."""
    label_level: LabelLevel = "slice"
    """Labels per study serve for evaluation only."""


@dataclass(frozen=True)
class SourceRequest:
    """Paths and options of `ich preprocess` that concern the source."""

    paths: tuple[Path, ...]
    labels: Path | None = None
    """Label table, where it is not beside the files."""
    images: Path | None = None
    """Folder of the images, for sources of masks and boxes only."""
    studies: int = 100
    """Number of phantoms."""
    seed: int = 0
    """First seed of phantoms."""
    limits: Limits = DEFAULT_LIMITS
    window: PictureWindow | None = None
    """Window of PNG and JPEG pictures."""
    names: Names = as_named
    """Names of DICOM files in the data set."""
    pool: Executor | None = None
    """Pool from `worker_processes`; None reads the headers in this process."""

    def folder(self, source: str) -> Path:
        """Return the one folder of a source that has its own layout.

        Raises
        ------
        UsageError
            If there are several paths, or options for other sources.
        """
        if len(self.paths) != 1 or self.labels is not None:
            raise UsageError(f"--source {source} takes one folder, which has its own labels")
        return self.paths[0]

    def find(self, source: str, *names: str, depth: int = 2) -> Path:
        """Return the folder that contains all names, at most `depth` levels below `folder`.

        Raises
        ------
        UsageError
            As for `folder`.
        DataError
            If there is none.
        """
        found = find_folder(self.folder(source), *names, depth=depth)
        if found is None:
            raise DataError(
                f"{self.paths[0]}: not the layout of --source {source}: no {' and '.join(names)}"
            )
        return found


@dataclass(frozen=True)
class Opened:
    """Series of an opened source."""

    series: Sequence[LabelledSeries]
    label_level: LabelLevel = "slice"
    real_ct: bool = True
    name: str = ""
    """Name on model cards, where it differs from the source's."""
    notes: tuple[str, ...] = ()
    """Remarks for the user: what was not read, and why."""


@dataclass(frozen=True)
class Source:
    """Layout of a data set: how it is recognised and opened."""

    name: str
    """Value of ``--source``."""
    title: str
    """Name on model cards."""
    recognises: Callable[[Path], bool]
    """Return whether a folder has this layout. Lists a few folders, opens no images."""
    open: Callable[[SourceRequest], Opened]
    """Open the data set; raise DataError where it is incomplete or contradicts itself."""
    licence: str = ""


def find_folder(folder: Path, *names: str, depth: int = 2) -> Path | None:
    """Return the first folder that contains all names, at most `depth` levels below `folder`."""
    level = [folder]
    for _ in range(depth + 1):
        for one in level:
            if all((one / name).exists() for name in names):
                return one
        level = [child for one in level for child in _folders(one)]
    return None


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.is_dir())
    except OSError:
        return []
