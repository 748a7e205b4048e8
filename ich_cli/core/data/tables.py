"""Delimited text tables, read with pandas."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.core.errors import DataError

if TYPE_CHECKING:
    from pandas import DataFrame

DELIMITERS: Final = (",", ";", "\t")
_MAX_HEADER: Final = 100_000  # characters


def read_table(path: Path, columns: Sequence[str] = ()) -> DataFrame:
    """Read a table with a header line; commas, semicolons or tabs separate its cells.

    Parameters
    ----------
    path
        Text file in UTF-8.
    columns
        Columns that must be there, in lower case.

    Returns
    -------
    pandas.DataFrame
        Cells as text, empty where missing. Column names are stripped and in lower case; the index
        is the number of each row's line in a file without line breaks inside cells.

    Raises
    ------
    DataError
        If the file cannot be read, is not such a table, or has no such column.
    """
    import pandas as pd  # slow to import, and not needed by `ich predict`

    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline(_MAX_HEADER)
        delimiter = max(DELIMITERS, key=header.count)
        with warnings.catch_warnings(action="ignore", category=pd.errors.ParserWarning):
            table = pd.read_csv(  # cells beyond the header are dropped
                path, sep=delimiter, dtype=str, keep_default_na=False, index_col=False,
                skip_blank_lines=False, encoding="utf-8-sig",
            )  # fmt: skip
    except OSError as error:
        raise DataError(f"{path}: the table cannot be read: {error.strerror}") from None
    except ValueError as error:  # pandas' ParserError and EmptyDataError, and UnicodeDecodeError
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a CSV table in UTF-8 ({reason})") from None
    table.index += 2
    table.columns = table.columns.str.strip().str.lower()
    table = table.fillna("")
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{path}: the table has no column {missing[0]}")
    return table[(table != "").any(axis=1)]
