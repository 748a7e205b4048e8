"""Label tables in three layouts, read into a mapping from slice key to six labels.

The layout is recognized by the columns, which may have any of several names:

    wide      path, any, epidural, …                 one row per slice (`ich phantom`, CT-ICH)
    long      ID_abc_epidural, 0                     one row per slice and label (RSNA 2019)
    listed    ID_abc, epidural, 0                    the same with a column for the label
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError
from ich_cli.core.labels import ANY, LABELS, SUBTYPES

if TYPE_CHECKING:
    from pandas import DataFrame, Index, Series

LabelRow = tuple[float, ...]
"""Six values in [0, 1] in the order of `LABELS`; 0 or 1 unless they are soft labels."""

KEY_COLUMNS: Final = (
    "sop_uid", "sopinstanceuid", "sop_instance_uid", "id", "image_id", "imageid", "image",
    "path", "file", "filename", "file_name", "dicom", "dicom_id", "name", "slice",
)  # fmt: skip
SUBTYPE_COLUMNS: Final = ("subtype", "sub_type", "type", "class", "hemorrhage", "hemorrhage_type")
VALUE_COLUMNS: Final = ("label", "value", "target", "probability")
NO_LABELS: Final[LabelRow] = (math.nan,) * len(LABELS)
"""Row of an unlabelled slice."""
ABSENT: Final = ("", "nan", "null", "none", "na")
"""Cells that stand for a missing number."""
NEGATIVE_WORDS: Final = ("none", "normal", "negative", "no_hemorrhage", "healthy")


def read_labels(path: Path, *, scores: bool = False, key: str | None = None) -> dict[str, LabelRow]:
    """Read a label table in any of the three layouts.

    A missing `any` is the maximum of the subtypes. Repeated rows are merged.

    Parameters
    ----------
    path
        Table with a header line; commas, semicolons or tabs separate its cells.
    scores
        The values are probabilities: `any` may be lower than a subtype, and values may be missing.

    key
        Column that names the slice, in lower case; None finds one of `KEY_COLUMNS`.

    Returns
    -------
    dict
        Key → six labels. A key is the slice's name in the table after `slice_key`, or
        ``key#frame`` in a table with a column ``frame``. The keys of one row share one tuple.
        With `scores`, a value that is missing in a long table is NaN.

    Raises
    ------
    DataError
        If columns or subtypes are missing, a value is not a label, or rows contradict each other.
    """
    table = read_table(path)
    key, subtype = key or _first(table, KEY_COLUMNS), _first(table, SUBTYPE_COLUMNS)
    value = _first(table, VALUE_COLUMNS)
    columns = listed([str(name) for name in table.columns])
    if key is None or key not in table:
        raise DataError(
            f"{path}: no column names the slice (columns: {columns}); name it sop_uid, id, path or "
            "file"
        )
    named = set(LABELS) & set(table.columns)
    if set(SUBTYPES) <= named or (named == {LABELS[ANY]} and subtype is None):
        return _read_wide(table, key, path, scores)
    if subtype is None and (value is None or named):
        raise DataError(
            f"{path}: no labels (columns: {columns}); there must be a column for each of "
            f"{', '.join(SUBTYPES)}, or a column of subtypes, or ids that end in _epidural and so "
            "on, beside a column label"
        )
    keys, names = (table[key], table[subtype]) if subtype else _split_ids(table[key], path)
    values = _parse_values(table[value], path, scores) if value else np.ones(len(table))
    # a list without values names the positive subtypes only; the others are 0
    return _read_long(
        table.index, keys, names, values, path, scores=scores, missing_is_0=value is None
    )


def read_labels_by_position(path: Path) -> dict[str, LabelRow]:
    """Read a long table whose first three columns are slice, label and 0 or 1, however named.

    Raises
    ------
    DataError
        As for `read_labels`.
    """
    table = read_table(path)
    if table.shape[1] < 3:
        raise DataError(f"{path}: needs three columns: file name, subtype, 0 or 1")
    keys, names, cells = (table.iloc[:, k] for k in range(3))
    values = _parse_values(cells, path, False)
    return _read_long(table.index, keys, names, values, path, scores=False, missing_is_0=False)


def slice_key(name: str) -> str:
    """Return a name in the form that is compared: without ``.dcm``, with forward slashes."""
    name = name.strip().replace("\\", "/")
    return name[:-4] if name.lower().endswith(".dcm") else name


def find_labels(
    table: Mapping[str, LabelRow], sop_uid: str, path: str, frame: int = 1
) -> LabelRow | None:
    """Return the labels of a slice by its UID, path or end of its path; None where missing."""
    key = find_key(table, sop_uid, path, frame)
    return None if key is None else table[key]


def find_key(table: Mapping[str, LabelRow], sop_uid: str, path: str, frame: int = 1) -> str | None:
    """Return the key of a slice in a label table, as `find_labels`."""
    for key in candidate_names(sop_uid, path):
        for form in (f"{key}#{frame}", key):
            if key and form in table:
                return form
    return None


def candidate_names(sop_uid: str, path: str) -> Iterator[str]:
    """Yield the names that a table may have for a slice: UID, path, ends of the path."""
    yield sop_uid
    yield slice_key(path)
    parts = PurePosixPath(
        slice_key(path.replace("!", "/"))
    ).parts  # slow, so only if the UID is not found
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def to_label(text: str, where: str) -> float:
    """Parse a label: 0, 1, true, false, or a number between 0 and 1 (a soft label)."""
    value = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}.get(text.strip().lower())
    if value is None:
        try:
            value = float(text)
        except ValueError:
            raise DataError(f"{where}: a label is not a number; use 0 or 1") from None
    if not 0.0 <= value <= 1.0:
        raise DataError(f"{where}: a label must be between 0 and 1")
    return value


def with_any(
    found: Mapping[str, float], where: str, *, scores: bool = False, partial: bool = False
) -> LabelRow:
    """Return labels in order; a missing `any` is the maximum of the subtypes.

    With `partial`, subtypes may be missing where `any` is given: they are 0 where it is 0, and NaN,
    unknown, otherwise.
    """
    missing = [name for name in SUBTYPES if name not in found]
    if missing and not (partial and LABELS[ANY] in found):
        raise DataError(f"{where}: no label for {', '.join(missing)}")
    unknown = math.nan if found.get(LABELS[ANY]) else 0.0
    subtypes = [found.get(name, unknown) for name in SUBTYPES]
    highest = max((value for value in subtypes if not math.isnan(value)), default=0.0)
    if not scores and found.get(LABELS[ANY], highest) < highest:
        raise DataError(f"{where}: `any` is lower than a subtype")
    return (found.get(LABELS[ANY], highest), *subtypes)


def listed(names: Sequence[str]) -> str:
    """Return the first five names, for a message."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _first(table: DataFrame, wanted: Iterable[str]) -> str | None:
    return next((name for name in wanted if name in table.columns), None)


def _parse_values(cells: Series, path: Path, scores: bool) -> NDArray[np.float64]:
    """Parse a column of labels, float64 ``(n,)``; a missing score is NaN."""
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    other = cells[~numbers.between(0, 1)]
    if scores:
        other = other[~other.str.strip().str.lower().isin(ABSENT)]
    for line, cell in other.items():  # words, or an error
        numbers[line] = to_label(cell, f"{path}, line {line}")
    values: NDArray[np.float64] = numbers.to_numpy()
    return values


def _read_wide(table: DataFrame, key: str, path: Path, scores: bool) -> dict[str, LabelRow]:
    names = [name for name in LABELS if name in table.columns]
    if scores:  # rows of refused slices have no probabilities
        table = table[(table[names] != "").any(axis=1)]
    cells = table[names]
    absent = cells.apply(lambda column: column.str.strip().str.lower().isin(ABSENT))
    _check_complete(absent, path)
    filled = cells.mask(absent, "0")
    numbers = np.array([_parse_values(filled[n], path, False) for n in names])
    numbers[absent.to_numpy().T] = math.nan
    labels = numbers.T.tolist()
    frames = table["frame"] if "frame" in table.columns else [""] * len(table)
    columns = {"sop_uid", "path", key} & set(table.columns)
    out: dict[str, LabelRow] = {}
    for line, values, frame, *cells in zip(
        table.index, labels, frames, *(table[column] for column in columns), strict=True
    ):
        where = f"{path}, line {line}"
        given = {n: v for n, v in zip(names, values, strict=True) if not math.isnan(v)}
        row = with_any(given, where, scores=scores, partial=True)
        for name in filter(None, cells):
            earlier = out.setdefault(slice_key(name) + (f"#{frame}" if frame else ""), row)
            if not np.array_equal(earlier, row, equal_nan=True):
                raise DataError(f"{where}: this slice has other labels in an earlier row")
    return out


def _check_complete(absent: DataFrame, path: Path) -> None:
    """Raise DataError where a row lacks a subtype, and `any`, too."""
    without_any = absent.get(LABELS[ANY], True)
    bad = absent.index[absent.any(axis=1) & without_any]
    if len(bad):
        lines = listed([str(line) for line in bad])
        raise DataError(f"{path}: labels are missing in {len(bad)} rows (lines {lines})")


def _split_ids(ids: Series, path: Path) -> tuple[list[str], list[str]]:
    """Split ``ID_abc_epidural`` into keys and label names."""
    parts = [one.rpartition("_") for one in ids]
    for line, (key, _, _) in zip(ids.index, parts, strict=True):
        if not key:
            raise DataError(f"{path}, line {line}: the id does not end in _ and a label's name")
    return [part[0] for part in parts], [part[2] for part in parts]


_NEGATIVE, _UNKNOWN = -1, -2


def _label_index(text: str) -> int:
    """Return the index in `LABELS`, `_NEGATIVE` for a word such as ``normal``, or `_UNKNOWN`."""
    name = text.strip().lower().replace(" ", "_")
    if name in LABELS:
        return LABELS.index(name)
    return _NEGATIVE if name in NEGATIVE_WORDS else _UNKNOWN


def _read_long(
    lines: Index,
    keys: Sequence[str],
    names: Sequence[str],
    values: NDArray[np.float64],
    path: Path,
    *,
    scores: bool,
    missing_is_0: bool,
) -> dict[str, LabelRow]:
    """Collect the labels of each slice from one row per slice and label."""
    indices = {name: _label_index(name) for name in set(names)}
    label_of = np.array([indices[name] for name in names], int)
    for line in lines[label_of == _UNKNOWN][:1]:
        raise DataError(f"{path}, line {line}: unknown label; the labels are {', '.join(LABELS)}")
    numbers: dict[str, int] = {}
    slices = np.array([numbers.setdefault(slice_key(key), len(numbers)) for key in keys], int)
    table = np.zeros((len(numbers), len(LABELS)))
    known = np.zeros(table.shape, bool)
    for k, label in enumerate(LABELS):
        rows = np.flatnonzero(label_of == k)
        first = rows[np.unique(slices[rows], return_index=True)[1]]
        table[slices[first], k], known[slices[first], k] = values[first], True
        differing = (values[rows] != table[slices[rows], k]) & ~np.isnan(values[rows])
        for line in lines[rows[differing]][:1]:
            where = f"{path}, line {line}"
            raise DataError(f"{where}: this slice has two different labels for {label}")
    if missing_is_0:
        known[:, ANY + 1 :] = True
    first_lines = lines[np.unique(slices, return_index=True)[1]]
    missing = [key for key, there in zip(numbers, known, strict=True) if not there[ANY + 1 :].all()]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} slices have no row for some of the subtypes "
            f"({listed(missing)})"
        )
    out = {}
    for key, line, row, there in zip(numbers, first_lines, table.tolist(), known, strict=True):
        found = {label: value for label, value, k in zip(LABELS, row, there, strict=True) if k}
        out[key] = with_any(found, f"{path}, line {line}", scores=scores)
    return out
