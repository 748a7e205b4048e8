"""All data sources; open one by name, or by the layout of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ich_cli.core.data.sources import bhx, cq500, ct_ich, headct200, phantoms
from ich_cli.core.data.sources.base import (
    LabelledSeries,
    Source,
    SourceInfo,
    SourceRequest,
)
from ich_cli.core.data.sources.dicom_tables import DLMI, FOLDER, RSNA, UNLABELLED
from ich_cli.core.data.sources.nifti_masks import BHSD, HEMSEG, INSTANCE, MBH, NIFTI, SEG_CQ500
from ich_cli.core.errors import DataError, UsageError

SOURCES: Final = (
    RSNA, ct_ich.SOURCE, BHSD, MBH, SEG_CQ500, INSTANCE, cq500.SOURCE, bhx.SOURCE, HEMSEG,
    headct200.SOURCE, NIFTI, DLMI, FOLDER, UNLABELLED, phantoms.SOURCE,
)  # fmt: skip
"""Sources in the order in which they are tried on a folder."""


def open_source(
    kind: str | None,
    paths: Sequence[Path],
    labels: Path | None = None,
    *,
    remark: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> tuple[list[LabelledSeries], SourceInfo]:
    """Open a labelled data source.

    Parameters
    ----------
    kind
        Name of a source; None recognises the layout of the first path.
    paths
        Files and folders; none for phantoms.
    labels
        Label table, where it is not beside the files.
    remark
        Called with remarks for the user: what was not read, and why.
    **options
        Further fields of `SourceRequest`.

    Raises
    ------
    UsageError
        If there is no such source, or the paths and options do not fit it.
    DataError
        If no source has the folder's layout, or the data is incomplete or inconsistent.
    """
    source = recognise(paths) if kind is None else _named(kind)
    if not paths and source is not phantoms.SOURCE:
        raise UsageError(f"no data given; run ich preprocess FOLDER --source {source.name}")
    opened = source.open(SourceRequest(tuple(paths), labels, **options))
    for note in opened.notes:
        remark(note)
    info = SourceInfo(
        source.name, opened.name or source.title, source.licence, opened.real_ct, opened.label_level
    )
    return list(opened.series), info


def recognise(paths: Sequence[Path]) -> Source:
    """Return the source that has the layout of the first folder.

    Raises
    ------
    UsageError
        If there is no path.
    DataError
        If no source has its layout.
    """
    if not paths:
        raise UsageError("no data given; run ich preprocess FOLDER, or --source phantom")
    for source in SOURCES:
        if source.recognises(paths[0]):
            return source
    raise DataError(
        f"{paths[0]}: not the layout of a known data set; give the table with --source folder "
        "--labels CSV, or use --source unlabelled for slices without labels"
    )


def _named(kind: str) -> Source:
    for source in SOURCES:
        if source.name == kind:
            return source
    raise UsageError(f"--source {kind}: one of {', '.join(one.name for one in SOURCES)}")
