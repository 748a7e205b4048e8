"""The prepared data set on disk, format 1: what `ich preprocess` writes and `ich train` reads.

    pixels.npy     uint8 (N, C, S, S), memory-mapped: a batch is read where it lies
    masks.npy      uint8 (N, S, S): where it bleeds, if that is known of any slice
    index.csv      one line a slice: row, name, study, series, patient, position, labels, …
    skipped.csv    what could not be used, with the reason
    dataset.json   format, preprocessing, source, licence, counts, hash of the index

Patients are running numbers; which number is whom is not kept anywhere.
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
)  # fmt: skip
SKIPPED_COLUMNS: Final = ("name", "study", "series", "status", "note")


class IndexRow(NamedTuple):
    """One line of ``index.csv``."""

    row: int
    """Index into ``pixels.npy``."""
    name: str
    """SOP Instance UID, or the slice's place in a data set that has none."""
    study: str
    series: str
    patient: int
    """Running number from 0."""
    position: int
    """Place in the series from 0, in anatomical order; refused slices leave a gap."""
    labels: LabelRow
    status: str
    note: str
    hash: str
    """First half of the SHA-256 of the slice's pixels, as hex."""


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
        Where it lies.
    preprocess
        How its pixels were made.
    pixels
        uint8 ``(N, C, S, S)``, memory-mapped.
    labels
        float32 ``(N, 6)`` in the order of `LABELS`; NaN where nobody has labelled.
    patients
        int64 ``(N,)``, running numbers.
    rows
        The whole index.
    about
        What ``dataset.json`` says.
    masks
        uint8 ``(N, S, S)``, memory-mapped: bit k of a pixel is set where `SUBTYPES[k]` bleeds,
        `UNKNOWN` all over a slice of which nobody knows; None where that is so of all slices.
    """

    folder: Path
    preprocess: PreprocessConfig
    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]
    patients: NDArray[np.int64]
    rows: tuple[IndexRow, ...]
    about: dict[str, Any]
    masks: NDArray[np.uint8] | None = None

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
        """Whether people, or a model by pseudo-labels, have said what the slices show."""
        return bool(self.about.get("labelled", True)) or "pseudo_labels" in self.about

    def known_rows(self) -> NDArray[np.int64]:
        """Return the rows that have labels."""
        return np.flatnonzero(~np.isnan(self.labels).any(axis=1)).astype(np.int64)

    @property
    def sha256(self) -> str:
        """Hash of the index, which holds a hash of each slice's pixels."""
        return str(self.about["sha256"])

    @property
    def real_ct(self) -> bool:
        """Whether the slices were scanned from people."""
        return bool(self.about["source"]["real_ct"])

    @classmethod
    def open(cls, folder: Path) -> PreparedDataset:
        """Open a prepared data set.

        Raises
        ------
        DataError
            If it is none, is incomplete, or its parts do not fit each other.
        """
        about = _read_about(folder)
        text = (folder / INDEX).read_bytes() if (folder / INDEX).is_file() else b""
        if hashlib.sha256(text).hexdigest() != about.get("sha256"):
            raise DataError(f"{folder}: {INDEX} is not the one that was prepared; prepare it again")
        rows = tuple(_parse_row(row) for row in csv.DictReader(io.StringIO(text.decode())))
        try:
            config = PreprocessConfig.from_dict(about["preprocess"])
            pixels = np.load(folder / PIXELS, mmap_mode="r")
            located = (folder / MASKS).is_file()
            masks = np.load(folder / MASKS, mmap_mode="r") if located else None
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{folder}: does not open ({error}); prepare it again") from None
        shape = (len(rows), config.channels, config.size, config.size)
        if [row.row for row in rows] != list(range(len(rows))):
            raise DataError(f"{folder}: {INDEX} has rows out of order; prepare it again")
        if pixels.shape != shape or pixels.dtype != np.uint8:
            raise DataError(f"{folder}: {PIXELS} is {pixels.shape}, the index asks for {shape}")
        if masks is not None and (masks.shape != (shape[0], *shape[2:]) or masks.dtype != np.uint8):
            raise DataError(f"{folder}: {MASKS} is {masks.shape} and does not fit {PIXELS}")
        labels = np.array([row.labels for row in rows], np.float32)
        patients = np.array([row.patient for row in rows], np.int64)
        return cls(folder, config, pixels, labels, patients, rows, about, masks)


def write_index(path: Path, rows: Iterable[IndexRow]) -> str:
    """Write ``index.csv`` and return its SHA-256 as hex."""
    flat = ((*r[:6], *("" if isnan(v) else f"{v:g}" for v in r.labels), *r[7:]) for r in rows)
    return write_csv(path, INDEX_COLUMNS, flat)


def count_labels(labels: NDArray[np.float32], patients: NDArray[np.int64]) -> dict[str, Any]:
    """Count slices and patients with each label.

    Parameters
    ----------
    labels
        float32 ``(N, 6)``; a soft label counts from 0.5 on.
    patients
        int64 ``(N,)``.
    """
    positive = labels >= 0.5
    return {
        label: {
            "slices": int(positive[:, k].sum()),
            "patients": int(np.unique(patients[positive[:, k]]).size),
        }
        for k, label in enumerate(LABELS)
    }


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    if not path.is_file():
        raise DataError(f"{folder}: no prepared data set; make one with `ich preprocess`")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(f"{path}: does not parse; prepare the data set again") from None
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
    )
