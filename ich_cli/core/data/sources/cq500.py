"""CQ500 (qure.ai): DICOM studies of several series, and three readers' labels per study.

    CQ500CT0 CQ500CT0/Unknown Study/CT 5mm/CT000000.dcm    some mirrors put qctNN/ before
    reads.csv                                              name,Category,R1:ICH,R1:IPH, … R3: …

A label is what at least two of three readers saw. One series of each study is used, as by
`predict`. Boxes of BHX, where its tables lie beside, are masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.core.data.label_table import LabelRow, listed, to_label
from ich_cli.core.data.sources import bhx
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.one_series import choose_per_study
from ich_cli.core.data.sources.scanned import ScannedSeries, scan_request, with_refused
from ich_cli.core.data.sources.volumes import public_patient
from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError
from ich_cli.core.labels import LABELS

if TYPE_CHECKING:
    from ich_cli.core.series import Series

TABLE: Final = "reads.csv"
LICENCE: Final = "CQ500, Chilamkurthy et al., Lancet 2018, CC BY-NC-SA 4.0"
_READERS: Final = ("r1", "r2", "r3")
_COLUMNS: Final = {
    "any": "ich", "epidural": "edh", "intraparenchymal": "iph", "intraventricular": "ivh",
    "subarachnoid": "sah", "subdural": "sdh",
}  # fmt: skip


def read_reads(path: Path) -> dict[str, LabelRow]:
    """Read ``reads.csv`` into a mapping from ``CQ500-CT-N`` to the labels of the majority.

    Raises
    ------
    DataError
        If the table cannot be read, a column is missing, or a read is not 0 or 1.
    """
    columns = [f"{reader}:{name}" for name in _COLUMNS.values() for reader in _READERS]
    table = read_table(path, ["name", *columns])
    out = {}
    for line, name, *cells in table[["name", *columns]].itertuples():
        where = f"{path}, line {line}"
        votes = [to_label(cell, where) for cell in cells]
        majority = [float(sum(votes[i : i + 3]) >= 2) for i in range(0, len(votes), 3)]
        out[public_patient(name) or name] = (max(majority), *majority[1:])
    return out


def _recognises(folder: Path) -> bool:
    return _root(folder) is not None


def _root(folder: Path) -> Path | None:
    places = (folder, folder.resolve().parent)
    return next((place for place in places if (place / TABLE).is_file()), None) or find_folder(
        folder, TABLE
    )


def _open(request: SourceRequest) -> Opened:
    folder = request.paths[0]
    root = _root(folder)
    table = request.labels or (root / TABLE if root else None)
    if table is None:
        raise DataError(f"{folder}: no {TABLE} of CQ500; give it with --labels")
    reads = read_reads(table)
    assert len(LABELS) == len(_COLUMNS)
    boxed = find_folder(root or folder, "1_Initial_Manual_Labeling.csv")
    boxes = bhx.read_bhx(boxed) if boxed else {}
    found = scan_request(request, request.paths)
    chosen, others = choose_per_study(found.series)
    missing = sorted({_name(one) or one.study for one in chosen} - reads.keys())
    if missing:
        raise DataError(f"{table}: no reads of {len(missing)} studies ({listed(missing)})")
    series = [
        ScannedSeries(
            one, (reads[_name(one)],) * len(one), request.limits, bhx.boxes_of(one, boxes),
            public_patient=_name(one), label_level="study",
        )
        for one in chosen
    ]  # fmt: skip
    notes = (f"{len(others)} series were left out: one of each study is used",) if others else ()
    refused = [*found.all_refused(), *others]
    return Opened(with_refused(series, refused), label_level="study", notes=notes)


def _name(one: Series) -> str:
    """Return ``CQ500-CT-N`` by PatientID, or by the folders of the file."""
    path = one.slices[0].source.path
    candidates = (one.patient, *(part for part in reversed(path.parts)))
    return next((name for part in candidates if (name := public_patient(part))), "")


SOURCE: Final = Source("cq500", "CQ500", _recognises, _open, LICENCE)
