"""The table of diagnoses of CT-ICH, the same in all its versions."""

from __future__ import annotations

from pathlib import Path

from ich_cli.core.data.label_table import LabelRow, to_label, with_any
from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError
from ich_cli.core.labels import SUBTYPES


def read_diagnoses(path: Path) -> dict[int, dict[int, LabelRow]]:
    """Read patient number → slice number → labels.

    Raises
    ------
    DataError
        If the table cannot be read or does not parse.
    """
    out: dict[int, dict[int, LabelRow]] = {}
    columns = ["patientnumber", "slicenumber", *SUBTYPES]
    for line, patient, number, *cells in read_table(path, columns)[columns].itertuples():
        where = f"{path}, line {line}"
        if not (patient.strip().isdecimal() and number.strip().isdecimal()):
            raise DataError(f"{where}: PatientNumber and SliceNumber must be whole numbers")
        labels = {name: to_label(cell, where) for name, cell in zip(SUBTYPES, cells, strict=True)}
        out.setdefault(int(patient), {})[int(number)] = with_any(labels, where)
    return out
