"""Label tables as people have them, read into one mapping: key of a slice → six labels.

Three layouts are recognised by their columns, whatever these are called:

    wide      path, any, epidural, …                 one row a slice (`ich phantom`, CT-ICH)
    long      ID_abc_epidural, 0                     one row a slice and label (RSNA 2019)
    listed    ID_abc, epidural, 0                    the same with a column for the label
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from ich_cli.core.errors import DataError
from ich_cli.core.labels import ANY, LABELS, SUBTYPES

LabelRow = tuple[float, ...]
"""Six values in [0, 1] in the order of `LABELS`; 0 and 1 where a person has labelled."""

KEY_COLUMNS: Final = (
    "sop_uid", "sopinstanceuid", "sop_instance_uid", "id", "image_id", "imageid", "image",
    "path", "file", "filename", "file_name", "dicom", "dicom_id", "name", "slice",
)  # fmt: skip
SUBTYPE_COLUMNS: Final = ("subtype", "sub_type", "type", "class", "hemorrhage", "hemorrhage_type")
VALUE_COLUMNS: Final = ("label", "value", "target", "probability")
NO_LABELS: Final[LabelRow] = (math.nan,) * len(LABELS)
"""Of a slice that nobody has labelled."""
ABSENT: Final = ("", "nan", "null", "none", "na")
"""What tables write where there is no number."""
NEGATIVE_WORDS: Final = ("none", "normal", "negative", "no_hemorrhage", "healthy")


def read_labels(path: Path, *, scores: bool = False) -> dict[str, LabelRow]:
    """Read a label table of any of the three layouts.

    Where `any` is missing it is the highest of the subtypes. Rows that repeat each other are one.

    Parameters
    ----------
    path
        CSV with a header line.
    scores
        These are probabilities: `any` may be lower than a subtype.

    Returns
    -------
    dict
        Key → six labels. A key is what the table calls the slice, as `slice_key` writes it; a
        table with a column ``frame`` gives ``key#frame``. The keys of one row share one tuple.
        With `scores`, a value that is missing in a long table is NaN.

    Raises
    ------
    DataError
        If columns are missing, a value is no label, rows contradict each other, or a slice lacks
        a subtype.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _parse(csv.DictReader(file), path, scores)
    except OSError as error:
        raise DataError(f"{path}: the label table cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: the label table is no CSV in UTF-8") from None


def slice_key(name: str) -> str:
    """Return the form in which slices and rows are compared: no ``.dcm``, forward slashes."""
    name = name.strip().replace("\\", "/")
    return name[:-4] if name.lower().endswith(".dcm") else name


def find_labels(
    table: Mapping[str, LabelRow], sop_uid: str, path: str, frame: int = 1
) -> LabelRow | None:
    """Return the labels of a slice, by its UID, its path or any tail of the path; else None."""
    for key in candidate_names(sop_uid, path):
        for form in (f"{key}#{frame}", key):
            if key and form in table:
                return table[form]
    return None


def candidate_names(sop_uid: str, path: str) -> Iterator[str]:
    """Yield what a table may call a slice: its UID, its path, the tails of the path."""
    yield sop_uid
    yield slice_key(path)
    parts = PurePosixPath(slice_key(path.replace("!", "/"))).parts  # slow: where the UID fails
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def to_label(text: str, where: str) -> float:
    """Read one label: 0, 1, true, false, or a number between (a soft label)."""
    value = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}.get(text.strip().lower())
    if value is None:
        try:
            value = float(text)
        except ValueError:
            raise DataError(f"{where}: a label is no number; give 0 or 1") from None
    if not 0.0 <= value <= 1.0:
        raise DataError(f"{where}: a label does not lie in 0 … 1")
    return value


def with_any(found: Mapping[str, float], where: str, *, scores: bool = False) -> LabelRow:
    """Put labels in order; a missing `any` is the highest subtype."""
    missing = [name for name in SUBTYPES if name not in found]
    if missing:
        raise DataError(f"{where}: no label for {', '.join(missing)}")
    subtypes = [found[name] for name in SUBTYPES]
    highest = max(subtypes)
    if not scores and found.get(LABELS[ANY], highest) < highest:
        raise DataError(f"{where}: `any` is lower than a subtype")
    return (found.get(LABELS[ANY], highest), *subtypes)


def _parse(reader: csv.DictReader[str], path: Path, scores: bool) -> dict[str, LabelRow]:
    columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    key = _first(columns, KEY_COLUMNS)
    subtype, value = _first(columns, SUBTYPE_COLUMNS), _first(columns, VALUE_COLUMNS)
    if key is None:
        raise DataError(
            f"{path}: no column names the slice; call one of them sop_uid, id, path or file"
        )
    if all(name in columns for name in SUBTYPES):
        return _wide(reader, columns, key, path, scores)
    if subtype is not None:
        # without a column of values it is a list of what there is: the rest is absent
        return _gather(
            _listed(reader, key, subtype, value, path, scores), path, scores, sparse=value is None
        )
    if value is not None:
        return _gather(_suffixed(reader, key, value, path, scores), path, scores)
    raise DataError(
        f"{path}: no labels; there must be a column for each of {', '.join(SUBTYPES)}, "
        "or a column of subtypes, or ids that end in _epidural and so on, beside a column label"
    )


def _first(columns: Mapping[str, str], wanted: Iterable[str]) -> str | None:
    return next((columns[name] for name in wanted if name in columns), None)


def _wide(
    reader: csv.DictReader[str], columns: Mapping[str, str], key: str, path: Path, scores: bool
) -> dict[str, LabelRow]:
    names = [name for name in LABELS if name in columns]
    frame = columns.get("frame")
    keys = {columns[k] for k in ("sop_uid", "path") if k in columns} | {key}
    out: dict[str, LabelRow] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if scores and not any(row[columns[n]] for n in names):
            continue  # a slice that was refused has a row, but no probabilities
        found = {n: to_label(row[columns[n]] or "", where) for n in names}
        labels = with_any(found, where, scores=scores)
        for column in keys:
            if row[column]:
                suffix = f"#{row[frame]}" if frame and row[frame] else ""
                _put(out, slice_key(row[column]) + suffix, labels, where)
    return out


def _listed(
    reader: csv.DictReader[str], key: str, subtype: str, value: str | None, path: Path, scores: bool
) -> Iterator[tuple[str, str, float, str]]:
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        label = 1.0 if value is None else _cell(row[value], where, scores)
        name = _label_name(row[subtype] or "", where)
        yield slice_key(row[key] or ""), name, label, where


def _suffixed(
    reader: csv.DictReader[str], key: str, value: str, path: Path, scores: bool
) -> Iterator[tuple[str, str, float, str]]:
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        stem, _, name = (row[key] or "").rpartition("_")
        if not stem:
            raise DataError(f"{where}: the id does not end in _ and a label's name")
        label = _cell(row[value], where, scores)
        yield slice_key(stem), _label_name(name, where), label, where


def _cell(text: str | None, where: str, scores: bool) -> float:
    """Read a label; a score that is missing is NaN, for its row shall be counted, not fatal."""
    if scores and (text or "").strip().lower() in ABSENT:
        return math.nan
    return to_label(text or "", where)


def _label_name(text: str, where: str) -> str:
    name = text.strip().lower().replace(" ", "_")
    if name in LABELS or name in NEGATIVE_WORDS:
        return name
    raise DataError(f"{where}: an unknown label; the labels are {', '.join(LABELS)}")


def _gather(
    cells: Iterable[tuple[str, str, float, str]], path: Path, scores: bool, *, sparse: bool = False
) -> dict[str, LabelRow]:
    found: dict[str, dict[str, float]] = {}
    lines: dict[str, str] = {}
    for key, name, label, where in cells:
        of_slice = found.setdefault(key, {})
        lines.setdefault(key, where.rpartition(", ")[2])
        if name in NEGATIVE_WORDS or of_slice.setdefault(name, label) == label:
            continue
        if not math.isnan(label):
            raise DataError(f"{where}: this slice has two different labels for {name}")
    absent = dict.fromkeys(SUBTYPES, 0.0) if sparse else {}
    return {
        key: with_any({**absent, **row}, f"{path}, {lines[key]}", scores=scores)
        for key, row in found.items()
    }


def _put(out: dict[str, LabelRow], key: str, labels: LabelRow, where: str) -> None:
    if out.setdefault(key, labels) != labels:
        raise DataError(f"{where}: this slice has other labels in an earlier row")
