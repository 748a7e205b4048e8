"""Labelled series: the common interface of all data sources of `ich preprocess`.

A source is a list of series. Each series is picklable, so that another process can read its slices,
in anatomical order:

    open_source("ct-ich", …) ──▶ [LabelledSeries, …] ── read() ──▶ LabelledSlice, LabelledSlice, …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.label_table import NO_LABELS, LabelRow, find_labels, read_labels
from ich_cli.core.dicom import DEFAULT_LIMITS, CTSlice, Limits, SliceId
from ich_cli.core.errors import DataError, InputError, NotApplicableError, UsageError
from ich_cli.core.system import Names, as_named

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ich_cli.core.series import Refused, Series, SliceRef

SourceKind = Literal["rsna", "dlmi", "ct-ich", "folder", "phantom", "unlabelled"]

LABEL_FILES: Final = {
    "rsna": ("stage_2_train.csv", "stage_1_train.csv"),
    "dlmi": ("Public_train_label.csv",),
    "folder": ("labels.csv",),
}
"""Default names of label tables, searched in and above the folder of the DICOM files."""


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
class PhantomSeries:
    """Synthetic study, generated when it is read."""

    seed: int
    subtypes: tuple[str, ...] | None = None
    size: int = 512

    @property
    def name(self) -> str:
        """Name made of the seed."""
        return f"phantom-{self.seed}"

    @property
    def max_slices(self) -> int:
        """Upper bound of a phantom's slices."""
        from ich_cli.core.phantom import PhantomConfig

        return PhantomConfig(self.seed).slices[1]

    def patient(self) -> str:
        """Return the seed's name: each phantom is a patient of its own."""
        return self.name

    def read(self) -> Iterator[LabelledSlice]:
        """Yield the slices in caudal to cranial order."""
        from ich_cli.core.phantom import PhantomConfig, generate_phantom

        study = generate_phantom(
            PhantomConfig(seed=self.seed, subtypes=self.subtypes, size=self.size)
        )
        slices = zip(study.hu, study.labels, study.masks, strict=True)
        for index, (hu, labels, mask) in enumerate(slices):
            name = f"{self.name}/{index + 1}"
            ct = CTSlice(hu.astype(np.float32), SliceId(name, instance=index + 1))
            row = tuple(float(label) for label in labels)
            yield LabelledSlice(name, self.name, self.name, self.name, ct, row, mask=mask)


@dataclass(frozen=True)
class DicomSeries:
    """DICOM series with labels from a table."""

    series: Series
    labels: tuple[LabelRow | None, ...]
    """Labels of each slice; None where the table has no row."""
    limits: Limits = DEFAULT_LIMITS

    @property
    def name(self) -> str:
        """Return the key of the series."""
        return self.series.key

    @property
    def max_slices(self) -> int:
        """Return the number of slices with labels."""
        return sum(row is not None for row in self.labels)

    def patient(self) -> str:
        """Return PatientID, or the study where there is none."""
        return self.series.patient or self.series.study or self.name

    def read(self) -> Iterator[LabelledSlice]:
        """Yield the slices in anatomical order."""
        for ref, labels in zip(self.series.slices, self.labels, strict=True):
            yield self._read_one(ref, labels)

    def _read_one(self, ref: SliceRef, labels: LabelRow | None) -> LabelledSlice:
        from ich_cli.core.series import load

        ids = (_slice_name(ref.id), ref.id.study_uid, ref.id.series_uid, self.patient())
        try:
            ct = load(ref, self.limits)
        except InputError as error:
            return LabelledSlice(*ids, error=error)
        missing = NotApplicableError(
            ref.id.path, "the label table has no row for this slice", "add one, or leave it out"
        )
        return LabelledSlice(*ids, ct, labels, missing if labels is None else None)


@dataclass(frozen=True)
class RefusedFiles:
    """Files and frames that cannot be used; they have a row among the skipped ones."""

    refused: tuple[Refused, ...]
    name: str = "unreadable"
    max_slices: int = 0

    def patient(self) -> str:
        """Return the name: none of the files belongs to a patient."""
        return self.name

    def read(self) -> Iterator[LabelledSlice]:
        """Yield each file with its error."""
        for one in self.refused:
            yield LabelledSlice(one.id.path, "", "", self.name, error=one.error)


def open_phantoms(
    studies: int, seed: int = 0, subtypes: tuple[str, ...] | None = None, size: int = 512
) -> list[LabelledSeries]:
    """Return phantoms with the seeds ``seed … seed + studies - 1``."""
    if studies < 1:
        raise UsageError("the number of phantom studies must be positive")
    return [PhantomSeries(seed + i, subtypes, size) for i in range(studies)]


def open_dicom(
    kind: SourceKind,
    paths: Sequence[Path],
    labels: Path | None,
    limits: Limits = DEFAULT_LIMITS,
    names: Names = as_named,
    pool: Executor | None = None,
) -> list[LabelledSeries]:
    """Find the series in folders, files or zips and look up their labels.

    Parameters
    ----------
    kind
        ``rsna``, ``dlmi`` or ``folder`` select the default names of the label table;
        ``unlabelled`` reads none, and the slices get `NO_LABELS`.
    paths
        Folders, DICOM files or zips.
    labels
        Label table; None searches the default names in and above the folder of the files.
    limits
        Limits for the files.
    names
        Names of the files in the data set.
    pool
        Pool from `worker_processes`; None reads the headers in this process.

    Raises
    ------
    DataError
        If there is no label table, or it has no row for any of the slices.
    """
    from ich_cli.core.series import scan

    bare = kind == "unlabelled"
    table = None if bare else read_labels(labels or _find_table(kind, paths))
    found = scan(paths, limits, names=names, pool=pool)
    labelled = [
        DicomSeries(one, tuple(_labels(ref, table) for ref in one.slices), limits)
        for one in found.series
    ]
    if not any(one.max_slices for one in labelled):
        raise DataError(
            "no slice has a row in the label table; its ids must be SOPInstanceUIDs or file names"
        )
    refused = tuple(found.all_refused())
    return [*labelled, RefusedFiles(refused)] if refused else [*labelled]


def _labels(ref: SliceRef, table: dict[str, LabelRow] | None) -> LabelRow | None:
    if table is None:
        return NO_LABELS
    return find_labels(table, ref.id.sop_uid, ref.source.real or ref.id.path, ref.id.frame)


def _find_table(kind: SourceKind, paths: Sequence[Path]) -> Path:
    names = LABEL_FILES[kind]
    for path in paths:
        folder = path if path.is_dir() else path.parent
        for place in (folder, folder.resolve().parent):
            for name in names:
                if (place / name).is_file():
                    return place / name
    raise DataError(
        f"no {' or '.join(names)} beside the DICOM files; give the table with --labels, or use "
        "--source unlabelled for slices without labels"
    )


def _slice_name(id: SliceId) -> str:
    return f"{id.sop_uid or id.path}" + (f"#{id.frame}" if id.frame > 1 else "")
