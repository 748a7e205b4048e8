"""Tables of predictions, written row by row: CSV, JSON lines, Parquet, RSNA submission.

docs/formats.md specifies them. Every writer streams: memory does not grow with the rows.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY, SUBTYPES

if TYPE_CHECKING:
    from ich_cli.core.study import SlicePrediction, StudyPrediction

Row = Mapping[str, str | int | float | tuple[str, ...] | None]
"""Column → value; None where there is no prediction."""

SLICE_COLUMNS: Final = (
    *("path", "frame", "study_uid", "series_uid", "sop_uid", "instance"),
    *LABELS,
    *("positive", "status", "note"),
)
STUDY_COLUMNS: Final = (
    *("study_uid", "verdict", *LABELS, "positive", "quality", "slices", "refused"),
    *("worst_path", "worst_frame", "worst_sop_uid", "note"),
)
NO_PREDICTION: Final = 0.5
"""Probability in an RSNA submission of a slice without a prediction; cells cannot be empty."""

_INTEGERS: Final = frozenset({"frame", "instance", "slices", "refused", "worst_frame"})
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_GROUP: Final = 10_000  # rows per Parquet row group


class Format(StrEnum):
    """File format of a table."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"
    rsna = "rsna"


_ENDINGS: Final = {
    ".csv": Format.csv,
    ".jsonl": Format.jsonl,
    ".ndjson": Format.jsonl,
    ".parquet": Format.parquet,
    ".pq": Format.parquet,
}


def format_of(path: Path) -> Format:
    """Return the format of a file by its suffix.

    Raises
    ------
    UsageError
        If no format has this suffix.
    """
    try:
        return _ENDINGS[path.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"cannot tell the format from {path.name!r}; use the suffix .csv, .jsonl or .parquet, "
            "or give --format"
        ) from None


def slice_row(prediction: SlicePrediction) -> Row:
    """Return the row of a slice, in the order of `SLICE_COLUMNS`; probabilities unrounded."""
    return {
        **prediction.id._asdict(),
        **(prediction.by_label() or dict.fromkeys(LABELS)),
        "positive": prediction.positive,
        "status": prediction.status,
        "note": prediction.note,
    }


def study_row(study: StudyPrediction) -> Row:
    """Return the row of a study, in the order of `STUDY_COLUMNS`; probabilities unrounded."""
    worst = study.worst
    return {
        "study_uid": study.study_uid,
        "verdict": study.verdict,
        **dict(zip(LABELS, study.probabilities or (None,) * len(LABELS), strict=True)),
        "positive": study.positive,
        "quality": tuple(reason.text for reason in study.quality),
        "slices": study.slices,
        "refused": study.refused,
        "worst_path": worst.path if worst else None,
        "worst_frame": worst.frame if worst else None,
        "worst_sop_uid": worst.sop_uid if worst else None,
        "note": study.note,
    }


class TableWriter(Protocol):
    """Writer of rows to a binary stream."""

    def append(self, row: Row) -> None:
        """Write one row."""

    def finish(self) -> None:
        """Write buffered rows and the end of the table. Does not close the stream."""


@contextmanager
def open_table(stream: BinaryIO, format: Format, columns: Sequence[str]) -> Iterator[TableWriter]:
    """Open a table on a binary stream; it is finished when the block ends.

    Parameters
    ----------
    stream
        Open for writing; it is not closed.
    format
        File format.
    columns
        `SLICE_COLUMNS` or `STUDY_COLUMNS`. The RSNA layout has its own two columns and takes the
        rows of slices only.
    """
    writer: TableWriter = _WRITERS[format](stream, columns)
    try:
        yield writer
    except BaseException:
        with suppress(Exception):  # releases the library's handle; the file is discarded
            writer.finish()
        raise
    writer.finish()


class _Utf8:
    """Text writer on a binary stream. Undecodable bytes in file names are escaped."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text.encode("utf-8", "backslashreplace"))


class _Lines(_Utf8):
    """Writer for the csv module that ends rows with LF in place of CR LF.

    With LF as its line terminator, the csv module would not quote a lone CR inside a cell, and
    readers would split the row there.
    """

    def write(self, text: str) -> None:
        super().write(text.removesuffix("\r\n") + "\n")


class _CsvWriter:
    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._stream, self._columns = stream, columns
        self._csv = csv.writer(_Lines(stream))
        self._csv.writerow(columns)

    def append(self, row: Row) -> None:
        self._csv.writerow([_cell(column, row[column]) for column in self._columns])

    def finish(self) -> None:
        self._stream.flush()


def _cell(column: str, value: str | int | float | tuple[str, ...] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    if not isinstance(value, str):
        return ";".join(value) if isinstance(value, tuple) else str(value)
    # CSV injection: spreadsheets would run this text as a formula. A path gets the prefix "./",
    # which names the same file; any other text an apostrophe
    return (f"./{value}" if "path" in column else f"'{value}") if value[:1] in _FORMULA else value


class _JsonlWriter:
    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._stream, self._columns = stream, columns
        self._text = _Utf8(stream)

    def append(self, row: Row) -> None:
        values = {column: _rounded(row[column]) for column in self._columns}
        self._text.write(json.dumps(values, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        self._stream.flush()


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


class _ParquetWriter:
    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {**dict.fromkeys(_INTEGERS, pa.int64()), **dict.fromkeys(LABELS, pa.float64())}
        kinds |= dict.fromkeys(("positive", "quality"), pa.list_(pa.string()))
        self._schema = pa.schema(
            [(column, kinds.get(column, pa.string())) for column in columns],
            metadata={"note": RESEARCH_ONLY},
        )
        self._rows: list[dict[str, Any]] = []
        self._parquet = pq.ParquetWriter(stream, self._schema, compression="zstd")

    def append(self, row: Row) -> None:
        self._rows.append({name: _unicode(_rounded(value)) for name, value in row.items()})
        if len(self._rows) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._parquet.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def finish(self) -> None:
        try:
            if self._rows:
                self._flush()
        finally:
            self._parquet.close()


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


class _RsnaWriter:
    """Writer of an RSNA 2019 submission: six rows per image, the subtypes first, then `any`."""

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        if "sop_uid" not in columns:
            raise UsageError("an RSNA submission has slices, not studies")
        self._stream = stream
        self._csv = csv.writer(_Lines(stream))
        self._csv.writerow(("ID", "Label"))

    def append(self, row: Row) -> None:
        image = _image_id(row)
        for label in (*SUBTYPES, "any"):
            value = row[label]
            # more digits than elsewhere: the log loss of a confident error is unbounded
            self._csv.writerow(
                (f"{image}_{label}", f"{NO_PREDICTION if value is None else value:.9f}")
            )

    def finish(self) -> None:
        self._stream.flush()


def _image_id(row: Row) -> str:
    """Return the SOPInstanceUID (``ID_000012eaf`` in RSNA's files), else the file's stem."""
    image = str(row["sop_uid"] or PurePath(str(row["path"]).rpartition("!")[2]).stem)
    return image if row["frame"] == 1 else f"{image}_f{row['frame']}"


_WRITERS: Final[Mapping[Format, Any]] = {
    Format.csv: _CsvWriter,
    Format.jsonl: _JsonlWriter,
    Format.parquet: _ParquetWriter,
    Format.rsna: _RsnaWriter,
}
