"""Predictions and labels from two tables, slice by slice."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import DataError
from ich_cli.core.label_tables import (
    KEY_COLUMNS,
    LabelRow,
    find_labels,
    read_labels,
    slice_key,
    to_label,
    with_any,
)
from ich_cli.core.labels import LABELS, SUBTYPES

GROUP_COLUMNS: Final = ("patient", "patient_id", "patientid", "study_uid", "study")
"""Whose slices are not independent: the first of these that a table has."""


class Scored(NamedTuple):
    """One row of a table of predictions."""

    sop_uid: str
    path: str
    frame: int
    group: str
    probabilities: LabelRow


@dataclass(frozen=True, eq=False)
class Matched:
    """Slices that have both a prediction and a label."""

    labels: NDArray[np.float64]
    """``(N, 6)``."""
    probabilities: NDArray[np.float64]
    """``(N, 6)``."""
    groups: NDArray[np.int64]
    """``(N,)``: patients, else studies, else each slice for itself."""
    grouped: bool
    """Whether either table said who belongs together."""
    unmatched: int
    """Predictions without labels."""


def match(predictions: Path, labels: Path) -> Matched:
    """Bring two tables together by SOP Instance UID, path, file name or id.

    Parameters
    ----------
    predictions
        As `ich predict` writes it, ``oof.csv``, or RSNA's long layout.
    labels
        Any table that `read_labels` reads; ``index.csv`` of a prepared data set too.

    Raises
    ------
    DataError
        If a table does not parse, or no slice is in both.
    """
    table, groups = read_labels(labels), _read_groups(labels)
    rows = read_predictions(predictions)
    found = [(row, find_labels(table, row.sop_uid, row.path, row.frame)) for row in rows]
    both = [(row, label) for row, label in found if label is not None]
    if not both:
        raise DataError(f"no slice of {predictions} has a row in {labels}; how are they called?")
    names = [_group(row, groups) for row, _ in both]
    # without patients each slice stands for itself
    keys = [name or f"slice {i}" for i, name in enumerate(names)]
    return Matched(
        labels=np.array([label for _, label in both], np.float64),
        probabilities=np.array([row.probabilities for row, _ in both], np.float64),
        groups=np.unique(keys, return_inverse=True)[1].astype(np.int64),
        grouped=all(names),
        unmatched=len(rows) - len(both),
    )


def read_predictions(path: Path) -> list[Scored]:
    """Read a table of probabilities; rows without any (refused slices) are left out."""
    rows, columns = _read(path)
    if not all(name in columns for name in SUBTYPES):
        long = read_labels(path, scores=True)
        return [Scored(key, key, 1, "", values) for key, values in long.items()]
    key = next((columns[name] for name in KEY_COLUMNS if name in columns), None)
    if key is None:
        raise DataError(f"{path}: no column names the slice; call it path or sop_uid")
    return [_scored(row, columns, key, f"{path}, line {n}") for n, row in rows]


def _scored(row: Mapping[str, str], columns: Mapping[str, str], key: str, where: str) -> Scored:
    given = {name: row[columns[name]] for name in LABELS if name in columns}
    values = {name: to_label(text or "", where) for name, text in given.items()}
    group = next((row[columns[name]] for name in GROUP_COLUMNS if name in columns), "")
    return Scored(
        sop_uid=slice_key(row[columns.get("sop_uid", key)] or ""),
        path=row[columns.get("path", key)] or "",
        frame=int(row[columns["frame"]] or 1) if "frame" in columns else 1,
        group=group or "",
        probabilities=with_any(values, where, scores=True),
    )


def _read(path: Path) -> tuple[list[tuple[int, dict[str, str]]], dict[str, str]]:
    """Return the rows that have a value for a label, with line numbers, and the columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            known = [columns[name] for name in LABELS if name in columns]
            rows = [(reader.line_num, row) for row in reader if any(row[name] for name in known)]
    except OSError as error:
        raise DataError(f"{path}: the table cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: the table is no CSV in UTF-8") from None
    return rows, columns


def _read_groups(path: Path) -> dict[str, str]:
    """Return whose each labelled slice is; in memory only."""
    rows, columns = _read(path)
    group = next((columns[name] for name in GROUP_COLUMNS if name in columns), None)
    keys = [columns[name] for name in KEY_COLUMNS if name in columns]
    if group is None:
        return {}
    return {slice_key(row[key]): row[group] for _, row in rows for key in keys if row[key]}


def _group(row: Scored, groups: Mapping[str, str]) -> str:
    return groups.get(row.sop_uid) or groups.get(slice_key(row.path)) or row.group
