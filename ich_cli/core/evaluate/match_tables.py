"""Match a table of predictions with a table of labels, slice by slice."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import (
    ABSENT,
    KEY_COLUMNS,
    LabelRow,
    candidate_names,
    find_labels,
    listed,
    read_labels,
    slice_key,
    to_label,
    with_any,
)
from ich_cli.core.errors import DataError
from ich_cli.core.labels import LABELS, SUBTYPES

PATIENT_COLUMNS: Final = ("patient", "patient_id", "patientid")
STUDY_COLUMNS: Final = ("study_uid", "studyinstanceuid", "study")


class PredictionRow(NamedTuple):
    """Row of a table of predictions."""

    sop_uid: str
    path: str
    frame: int
    patient: str
    study: str
    probabilities: LabelRow


@dataclass(frozen=True, eq=False)
class Matched:
    """Slices with both a prediction and a label, and the number of rows without."""

    labels: NDArray[np.float64]
    """``(N, 6)``."""
    probabilities: NDArray[np.float64]
    """``(N, 6)``."""
    patients: NDArray[np.int64]
    """``(N,)``: number of the patient, else of the study, else of the slice."""
    studies: NDArray[np.int64]
    """``(N,)``: number of the study, else of the patient, else of the slice."""
    names: tuple[str, ...]
    """SOP Instance UID, else the name of the slice in the predictions."""
    grouped: str
    """Grouping of slices that the tables give: ``patient``, ``study`` or nothing."""
    empty: int
    """Rows of predictions without six numbers: refused files, NaN."""
    repeated: int
    """Rows of predictions that repeat a slice; the first row is used."""
    contradicting: int
    """Repeated rows with other probabilities than the first."""
    unlabelled: int
    """Predicted slices without labels."""
    unpredicted: int
    """Labelled slices without a prediction."""

    def remarks(self, predictions: str, labels: str) -> list[str]:
        """Return one sentence for each reason why slices were left out."""
        other = f", {self.contradicting} of them with other probabilities"
        counts = (
            (self.empty, f"rows of {predictions} have no probabilities (refused files, NaN)"),
            (
                self.repeated,
                f"rows of {predictions} repeat a slice{other if self.contradicting else ''}; "
                "the first row is used",
            ),
            (self.unlabelled, f"slices of {predictions} have no label in {labels}"),
            (self.unpredicted, f"slices of {labels} have no prediction in {predictions}"),
        )
        return [f"{count} {text}" for count, text in counts if count]


def match(predictions: Path, labels: Path) -> Matched:
    """Match two tables by SOP Instance UID, path, file name or id.

    Parameters
    ----------
    predictions
        Table of `ich predict`, ``oof.csv``, or RSNA's long layout.
    labels
        Table that `read_labels` reads, such as ``index.csv`` of a prepared data set.

    Raises
    ------
    DataError
        If a table does not parse, or no slice is in both.
    """
    table = read_labels(labels)
    groups, tails = _read_groups(labels), _tails(table)
    rows, empty = read_predictions(predictions)
    first, repeated, contradicting = _distinct(rows)
    found = [(row, _find(table, tails, row)) for row in first]
    both = [(row, label) for row, label in found if label is not None]
    if not both:
        raise DataError(f"no slice of {predictions} is in {labels}; check that identifiers match")
    _check_unambiguous(both, labels)
    groups_of = [_group(row, groups) for row, _ in both]
    patients, studies, grouped = _numbered(groups_of)
    # the keys of one labelled slice share one row, so rows are distinguished by identity
    used, slices = {id(label) for _, label in both}, {id(label) for label in table.values()}
    return Matched(
        labels=np.array([label for _, label in both], np.float64),
        probabilities=np.array([row.probabilities for row, _ in both], np.float64),
        patients=patients,
        studies=studies,
        names=tuple(_name(row) for row, _ in both),
        grouped=grouped,
        empty=empty,
        repeated=repeated,
        contradicting=contradicting,
        unlabelled=len(first) - len(both),
        unpredicted=len(slices - used),
    )


def _check_unambiguous(both: Iterable[tuple[PredictionRow, LabelRow]], labels: Path) -> None:
    """Raise DataError where one row of labels fits predictions of several files."""
    files: dict[int, list[str]] = {}
    for row, label in both:
        own = files.setdefault(id(label), [])
        if row.path not in own:
            own.append(row.path)
    ambiguous = [paths[0].rpartition("/")[2] for paths in files.values() if len(paths) > 1]
    if ambiguous:
        raise DataError(
            f"{labels}: {len(ambiguous)} rows fit several files ({listed(ambiguous)}); name the "
            "slices by path or SOPInstanceUID"
        )


def read_predictions(path: Path) -> tuple[list[PredictionRow], int]:
    """Read a table of probabilities; return its rows, and the number of rows without (refused)."""
    columns = _columns(path)
    if not all(name in columns for name in SUBTYPES):
        long = read_labels(path, scores=True)
        whole = {key: six for key, six in long.items() if not any(map(math.isnan, six))}
        return [PredictionRow(key, key, 1, "", "", six) for key, six in whole.items()], (
            len(long) - len(whole)
        )
    key = next((columns[name] for name in KEY_COLUMNS if name in columns), None)
    if key is None:
        raise DataError(f"{path}: no column identifies the slice; name one path or sop_uid")
    needed = [columns[name] for name in LABELS if name in columns]
    found, count = [], 0
    for count, (line, row) in enumerate(_rows(path), 1):  # noqa: B007
        if all(_present(row[name]) for name in needed):
            found.append(_prediction(row, columns, key, f"{path}, line {line}"))
    return found, count - len(found)


def _present(text: str | None) -> bool:
    return (text or "").strip().lower() not in ABSENT


def _prediction(
    row: Mapping[str, str], columns: Mapping[str, str], key: str, where: str
) -> PredictionRow:
    given = {name: row[columns[name]] for name in LABELS if name in columns}
    values = {name: to_label(text, where) for name, text in given.items()}
    frame = (row[columns["frame"]] or "1") if "frame" in columns else "1"
    if not frame.isdecimal():
        raise DataError(f"{where}: the frame {frame!r} is not a number")
    return PredictionRow(
        sop_uid=slice_key(row[columns.get("sop_uid", key)] or ""),
        path=row[columns.get("path", key)] or "",
        frame=int(frame),
        patient=_value(row, columns, PATIENT_COLUMNS),
        study=_value(row, columns, STUDY_COLUMNS),
        probabilities=with_any(values, where, scores=True),
    )


def _value(row: Mapping[str, str], columns: Mapping[str, str], wanted: Iterable[str]) -> str:
    return next((row[columns[name]] or "" for name in wanted if name in columns), "")


def _name(row: PredictionRow) -> str:
    name = row.sop_uid or slice_key(row.path)
    return name if row.frame == 1 else f"{name}#{row.frame}"


def _distinct(rows: list[PredictionRow]) -> tuple[list[PredictionRow], int, int]:
    """Return the first row of each slice, and the numbers of repeated and of differing rows."""
    first: dict[str, PredictionRow] = {}
    contradicting = sum(
        first.setdefault(_name(row), row).probabilities != row.probabilities for row in rows
    )
    return list(first.values()), len(rows) - len(first), contradicting


def _tails(table: Mapping[str, LabelRow]) -> dict[str, LabelRow]:
    """Return the labels by file name, where only one slice has that name."""
    tails = [key.rpartition("/")[2] for key in table]
    counts = Counter(tails)
    return {tail: row for tail, row in zip(tails, table.values(), strict=True) if counts[tail] == 1}


def _find(
    table: Mapping[str, LabelRow], tails: Mapping[str, LabelRow], row: PredictionRow
) -> LabelRow | None:
    exact = find_labels(table, row.sop_uid, row.path, row.frame)
    return exact or (tails.get(slice_key(row.path).rpartition("/")[2]) if row.path else None)


@contextmanager
def _opened(path: Path) -> Iterator[csv.DictReader[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.DictReader(file)
    except OSError as error:
        raise DataError(f"{path}: the table cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: the table is not CSV in UTF-8") from None


def _columns(path: Path) -> dict[str, str]:
    with _opened(path) as reader:
        return {(name or "").strip().lower(): name for name in reader.fieldnames or ()}


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield rows with their line numbers, without holding the text of the table in memory."""
    with _opened(path) as reader:
        for row in reader:
            yield reader.line_num, row


def _read_groups(path: Path) -> dict[str, tuple[str, str]]:
    """Return patient and study of each labelled slice; they stay in memory."""
    columns = _columns(path)
    if not all(name in columns for name in SUBTYPES):
        return {}
    keys = [columns[name] for name in KEY_COLUMNS if name in columns]
    if not any(name in columns for name in (*PATIENT_COLUMNS, *STUDY_COLUMNS)):
        return {}
    return {
        slice_key(row[key]): (
            _value(row, columns, PATIENT_COLUMNS),
            _value(row, columns, STUDY_COLUMNS),
        )
        for _, row in _rows(path)
        for key in keys
        if row[key]
    }


def _group(row: PredictionRow, groups: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    keys = candidate_names(row.sop_uid, row.path) if groups else ()
    own = next((groups[key] for key in keys if key and key in groups), ("", ""))
    return own[0] or row.patient, own[1] or row.study


def _numbered(
    groups: list[tuple[str, str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Return numbers of patients and studies, each from the other or the slice if unknown."""
    grouped = (
        "patient" if all(p for p, _ in groups) else "study" if all(s for _, s in groups) else ""
    )
    alone = [f"slice {k}" for k in range(len(groups))]
    patients = [p or s or own for (p, s), own in zip(groups, alone, strict=True)]
    studies = [s or p or own for (p, s), own in zip(groups, alone, strict=True)]
    both = [np.unique(one, return_inverse=True)[1].astype(np.int64) for one in (patients, studies)]
    return both[0], both[1], grouped
