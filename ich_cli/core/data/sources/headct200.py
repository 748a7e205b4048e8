"""Kaggle's head-ct-hemorrhage: 200 8-bit pictures of slices, each with or without hemorrhage.

    head_ct/head_ct/000.png … 199.png
    labels.csv                            id, hemorrhage (the column name begins with a space)

The window is unknown; HU are reconstructed as in window 40/80. Subtypes are unknown. Patients are
unknown: each picture counts as one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import listed, to_label, with_any
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.scanned import ScannedSeries, scan_request, with_refused
from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.pictures import UNKNOWN_WINDOW

TABLE, PICTURES = "labels.csv", "head_ct"
_COLUMNS: Final = ("id", "hemorrhage")
LICENCE: Final = "head-ct-hemorrhage (Kaggle, Kitamura 2018)"


def _recognises(folder: Path) -> bool:
    return find_folder(folder, TABLE, PICTURES, depth=1) is not None


def _open(request: SourceRequest) -> Opened:
    root = request.find("headct200", TABLE, PICTURES, depth=1)
    table = read_table(root / TABLE, _COLUMNS)
    rows = {
        int(number): with_any({LABELS[ANY]: to_label(cell, str(root / TABLE))}, "", partial=True)
        for number, cell in zip(table["id"], table["hemorrhage"], strict=True)
    }
    window = request.window or UNKNOWN_WINDOW
    found = scan_request(replace(request, window=window), [root / PICTURES])
    refs = [ref for one in found.series for ref in one.slices]
    names = {ref.source.path.stem: ref for ref in refs}
    missing = [name for name in names if not name.isdecimal() or int(name) not in rows]
    if missing:
        raise DataError(f"{root / TABLE}: no row for {len(missing)} pictures ({listed(missing)})")
    series = [
        ScannedSeries(
            replace(found.series[0], slices=(ref,), refused=(), study=""),
            (rows[int(name)],), request.limits,
            public_patient=f"headct200 {name}", public_study=f"headct200-{name}",
        )
        for name, ref in names.items()
    ]  # fmt: skip
    return Opened(with_refused(series, found.all_refused()))


SOURCE: Final = Source("headct200", "head-ct-hemorrhage", _recognises, _open, LICENCE)
