"""The prepared data set on disk, format 1: what `ich preprocess` writes and `ich train` reads.

    pixels.npy     uint8 (N, C, S, S), memory-mapped: a batch is read where it lies
    masks.npy      uint8 (N, S, S): lesion masks, if there are any
    index.csv      one line per slice: row, name, study, series, patient, position, labels, …
    skipped.csv    slices that could not be used, with the reason
    dataset.json   format, preprocessing, source, licence, counts, hash of the index

Patients are running numbers. Their pseudonyms, by which other data sets' patients are compared, are
those of public data sets, or hashes under the key of this machine.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.label_table import LabelRow
from ich_cli.core.errors import DataError
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import write_csv

FORMAT: Final = 1
PIXELS, MASKS, ABOUT = "pixels.npy", "masks.npy", "dataset.json"
INDEX, SKIPPED = "index.csv", "skipped.csv"
INDEX_COLUMNS: Final = (
    "row", "name", "study", "series", "patient", "position", *LABELS, "status", "note", "hash",
    "hu_hash", "pseudonym",
)  # fmt: skip
SKIPPED_COLUMNS: Final = ("name", "study", "series", "status", "note")


class IndexRow(NamedTuple):
    """One line of ``index.csv``."""

    row: int
    """Index into ``pixels.npy``."""
    name: str
    """SOP Instance UID, or the slice's relative name in a data set without UIDs."""
    study: str
    series: str
    patient: int
    """Running number from 0."""
    position: int
    """Position in the series from 0, in anatomical order; refused slices leave a gap."""
    labels: LabelRow
    status: str
    note: str
    hash: str
    """First half of the SHA-256 of the slice's prepared pixels, as hex."""
    hu_hash: str = ""
    """64-bit hash of the slice's HU (`slice_hash`), as hex; empty where unknown."""
    pseudonym: str = ""
    """Name of the patient in comparisons (`patient_pseudonym`); empty where unknown."""


class SkippedRow(NamedTuple):
    """One line of ``skipped.csv``."""

    name: str
    study: str
    series: str
    status: str
    note: str


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """A prepared data set, opened for reading.

    Parameters
    ----------
    folder
        Folder of the data set.
    preprocess
        Settings that its pixels were prepared with.
    pixels
        uint8 ``(N, C, S, S)``, memory-mapped.
    labels
        float32 ``(N, 6)`` in the order of `LABELS`; NaN where unknown, and in all slices of a data
        set with labels per study.
    patients
        int64 ``(N,)``, running numbers.
    rows
        All rows of the index.
    about
        Content of ``dataset.json``.
    masks
        uint8 ``(N, S, S)``, memory-mapped: bit k of a pixel marks `SUBTYPES[k]`, and
        `UNKNOWN` fills slices without annotation; None where all are without.
    """

    folder: Path
    preprocess: PreprocessConfig
    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]
    patients: NDArray[np.int64]
    rows: tuple[IndexRow, ...]
    about: dict[str, Any]
    masks: NDArray[np.uint8] | None = None
    study_labels: NDArray[np.float32] | None = None
    """float32 ``(N, 6)``: the labels of each slice's study, of a data set with labels per study."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return self.folder.resolve().name

    def series_rows(self) -> list[NDArray[np.int64]]:
        """Return the rows of each series, in anatomical order."""
        found: dict[str, list[IndexRow]] = {}
        for row in self.rows:
            found.setdefault(f"{row.study} {row.series}", []).append(row)
        ordered = (sorted(rows, key=lambda row: row.position) for rows in found.values())
        return [np.array([row.row for row in rows], np.int64) for rows in ordered]

    @property
    def labelled(self) -> bool:
        """True where the slices have labels or pseudo-labels."""
        return bool(self.about.get("labelled", True)) or "pseudo_labels" in self.about

    def known_rows(self) -> NDArray[np.int64]:
        """Return the rows with at least one known label."""
        return np.flatnonzero(~np.isnan(self.labels).all(axis=1)).astype(np.int64)

    @property
    def sha256(self) -> str:
        """Hash of the index, which holds a hash of each slice's pixels."""
        return str(self.about["sha256"])

    @property
    def real_ct(self) -> bool:
        """True for real CT, False for phantoms."""
        return bool(self.about["source"]["real_ct"])

    @classmethod
    def open(cls, folder: Path) -> PreparedDataset:
        """Open a prepared data set.

        Raises
        ------
        DataError
            If it is not a data set, is incomplete, or its files do not match.
        """
        about = _read_about(folder)
        text = (folder / INDEX).read_bytes() if (folder / INDEX).is_file() else b""
        if hashlib.sha256(text).hexdigest() != about.get("sha256"):
            raise DataError(
                f"{folder}: {INDEX} has changed since it was prepared; prepare it again"
            )
        rows = tuple(_parse_row(row) for row in csv.DictReader(io.StringIO(text.decode())))
        try:
            config = PreprocessConfig.from_dict(about["preprocess"])
            pixels = np.load(folder / PIXELS, mmap_mode="r")
            located = (folder / MASKS).is_file()
            masks = np.load(folder / MASKS, mmap_mode="r") if located else None
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{folder}: cannot be opened ({error}); prepare it again") from None
        shape = (len(rows), config.channels, config.size, config.size)
        if [row.row for row in rows] != list(range(len(rows))):
            raise DataError(f"{folder}: {INDEX} has rows out of order; prepare it again")
        if pixels.shape != shape or pixels.dtype != np.uint8:
            raise DataError(f"{folder}: {PIXELS} has shape {pixels.shape}, the index needs {shape}")
        if masks is not None and (masks.shape != (shape[0], *shape[2:]) or masks.dtype != np.uint8):
            raise DataError(
                f"{folder}: {MASKS} has shape {masks.shape} and does not match {PIXELS}"
            )
        labels = np.array([row.labels for row in rows], np.float32)
        patients = np.array([row.patient for row in rows], np.int64)
        if about["source"].get("label_level") != "study":
            return cls(folder, config, pixels, labels, patients, rows, about, masks)
        none = np.full_like(labels, np.nan)
        return cls(folder, config, pixels, none, patients, rows, about, masks, labels)


def write_index(path: Path, rows: Iterable[IndexRow]) -> str:
    """Write ``index.csv`` and return its SHA-256 as hex."""
    flat = ((*r[:6], *("" if isnan(v) else f"{v:g}" for v in r.labels), *r[7:]) for r in rows)
    return write_csv(path, INDEX_COLUMNS, flat)


def count_labels(labels: NDArray[np.float32], patients: NDArray[np.int64]) -> dict[str, Any]:
    """Count the slices and patients with each label.

    Parameters
    ----------
    labels
        float32 ``(N, 6)``; a soft label counts from 0.5 on, NaN as unknown.
    patients
        int64 ``(N,)``.
    """
    positive, unknown = labels >= 0.5, np.isnan(labels).sum(axis=0)
    return {
        label: {
            "slices": int(positive[:, k].sum()),
            "patients": int(np.unique(patients[positive[:, k]]).size),
        }
        | ({"unknown": int(unknown[k])} if unknown[k] else {})
        for k, label in enumerate(LABELS)
    }


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    if not path.is_file():
        raise DataError(f"{folder}: not a prepared data set; make one with `ich preprocess`")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(f"{path}: not valid JSON; prepare the data set again") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise DataError(f"{path}: not a data set of format {FORMAT}; prepare it again")
    return about


def _parse_row(row: dict[str, str]) -> IndexRow:
    return IndexRow(
        row=int(row["row"]),
        name=row["name"],
        study=row["study"],
        series=row["series"],
        patient=int(row["patient"]),
        position=int(row["position"]),
        labels=tuple(float(row[label] or "nan") for label in LABELS),
        status=row["status"],
        note=row["note"],
        hash=row["hash"],
        hu_hash=row.get("hu_hash", ""),  # added in a later version
        pseudonym=row.get("pseudonym", ""),
    )
