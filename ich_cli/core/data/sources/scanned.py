"""Series that `scan` found, DICOM or NIfTI, with labels from a table or from lesion masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.label_table import LabelRow, find_key, listed
from ich_cli.core.data.lesion_masks import labels_of_mask, name_subtype
from ich_cli.core.data.sources.base import (
    LabelledSeries,
    LabelledSlice,
    LabelLevel,
    SourceRequest,
)
from ich_cli.core.dicom import DEFAULT_LIMITS, Limits, SliceId
from ich_cli.core.errors import DataError, InputError, NotApplicableError

if TYPE_CHECKING:
    from ich_cli.core.series import Refused, Scan, Series, SliceRef

Bits = NDArray[np.uint8]


class SeriesMasks(Protocol):
    """Lesion masks of one series, read when the series is; picklable."""

    def read(self, series: Series, limits: Limits) -> Sequence[Bits | None]:
        """Return the mask of each slice as a bit field ``(H, W)``; None where there is none.

        Raises
        ------
        InputError
            If the masks cannot be read, or do not fit the series.
        """


@dataclass(frozen=True)
class ScannedSeries:
    """Series with labels, masks, or both."""

    series: Series
    labels: tuple[LabelRow | None, ...] | None = None
    """Labels of each slice, None where the table has no row; without a table, the masks give them.
    """
    limits: Limits = DEFAULT_LIMITS
    masks: SeriesMasks | None = None
    public_patient: str = field(default="", repr=False)
    """Patient by the file name of a public data set, where the file itself names none."""
    public_study: str = ""
    """Study by the file name of a public data set."""
    label_level: LabelLevel = "slice"

    @property
    def name(self) -> str:
        """Key of the series."""
        return self.series.key

    @property
    def max_slices(self) -> int:
        """Number of slices that may have labels."""
        if self.labels is None:
            return len(self.series)
        return sum(row is not None for row in self.labels)

    def patient(self) -> str:
        """Return PatientID or the public name of the patient, or the study where there is none."""
        return self.series.patient or self.public_patient or self.series.study or self.name

    def read(self) -> Iterator[LabelledSlice]:
        """Yield the slices in anatomical order."""
        count = len(self.series)
        masks: Sequence[Bits | None] = [None] * count
        error: InputError | None = None
        if self.masks is not None:
            try:
                masks = self.masks.read(self.series, self.limits)
            except InputError as reason:
                error = reason
        labels: Sequence[LabelRow | None]
        if self.labels is None:
            labels = [labels_of_mask(one) for one in masks]
        elif self.label_level == "study":
            labels = self.labels
        else:
            labels, pairs = self.labels, zip(masks, self.labels, strict=True)
            masks = [None if one is None else name_subtype(one, row) for one, row in pairs]
        for ref, row, mask in zip(self.series.slices, labels, masks, strict=True):
            yield self._read_one(ref, row, mask, error if self.labels is None else None)

    def _read_one(
        self, ref: SliceRef, labels: LabelRow | None, mask: Bits | None, error: InputError | None
    ) -> LabelledSlice:
        from ich_cli.core.series import load

        study = self.public_study or ref.id.study_uid
        ids = (_slice_name(ref.id), study, ref.id.series_uid, self.patient())
        try:
            ct = load(ref, self.limits)
        except InputError as reason:
            return LabelledSlice(*ids, error=reason)
        if labels is None:
            error = error or NotApplicableError(
                ref.id.path, "the label table has no row for this slice", "add one, or leave it out"
            )
        return LabelledSlice(*ids, ct, labels, error, mask)


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


def scan_request(request: SourceRequest, paths: Sequence[Path]) -> Scan:
    """Find the series in files and folders."""
    from ich_cli.core.series import scan

    return scan(
        paths, request.limits, names=request.names, pool=request.pool, window=request.window
    )


def with_refused(
    labelled: Iterable[LabelledSeries], refused: Sequence[Refused]
) -> list[LabelledSeries]:
    """Append the files that cannot be used to the series."""
    return [*labelled, RefusedFiles(tuple(refused))] if refused else [*labelled]


def label_by_table(
    found: Scan, table: Mapping[str, LabelRow], limits: Limits = DEFAULT_LIMITS
) -> list[LabelledSeries]:
    """Look up the labels of all slices.

    Raises
    ------
    DataError
        If no slice has a row, or a row fits files in several places.
    """
    keys = [[_key(ref, table) for ref in one.slices] for one in found.series]
    _check_unambiguous(found, keys)
    rows = [tuple(None if key is None else table[key] for key in own) for own in keys]
    labelled = [
        ScannedSeries(one, row, limits) for one, row in zip(found.series, rows, strict=True)
    ]
    if not any(one.max_slices for one in labelled):
        raise DataError(
            "no slice has a row in the label table; its ids must be SOPInstanceUIDs or file names"
        )
    return with_refused(labelled, found.all_refused())


def _key(ref: SliceRef, table: Mapping[str, LabelRow]) -> str | None:
    return find_key(table, ref.id.sop_uid, ref.source.real or ref.id.path, ref.id.frame)


def _check_unambiguous(found: Scan, keys: Sequence[Sequence[str | None]]) -> None:
    """Raise DataError where one row of the table fits several files."""
    files: dict[str, set[str]] = {}
    for one, own in zip(found.series, keys, strict=True):
        for ref, key in zip(one.slices, own, strict=True):
            if key is not None:
                files.setdefault(key, set()).add(ref.source.name)
    ambiguous = [key for key, paths in files.items() if len(paths) > 1]
    if ambiguous:
        raise DataError(
            f"{len(ambiguous)} rows of the label table fit several files ({listed(ambiguous)}); "
            "name the slices by path or SOPInstanceUID"
        )


def find_table(paths: Sequence[Path], names: Sequence[str]) -> Path:
    """Return the first label table with one of the names in or above the folders of the files.

    Raises
    ------
    DataError
        If there is none.
    """
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


def has_table(folder: Path, names: Sequence[str]) -> bool:
    """Return whether `find_table` finds a table."""
    try:
        return bool(find_table([folder], names))
    except DataError:
        return False


def _slice_name(id: SliceId) -> str:
    return f"{id.sop_uid or id.path}" + (f"#{id.frame}" if id.frame > 1 else "")
