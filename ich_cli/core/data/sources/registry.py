"""Open a labelled data source by name."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from ich_cli.core.data.prepare import SourceInfo
from ich_cli.core.data.sources.base import LabelledSeries, SourceKind, open_dicom, open_phantoms
from ich_cli.core.data.sources.ct_ich import LICENCE, open_ct_ich
from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.errors import UsageError
from ich_cli.core.system import Names, as_named

RSNA_LICENCE = "RSNA Intracranial Hemorrhage Detection 2019, for non-commercial and academic use"
NAMES: Final = {
    "rsna": "RSNA 2019",
    "dlmi": "the course's data",
    "folder": "own DICOM",
    "unlabelled": "own DICOM without labels",
}
"""Names of the DICOM sources on model cards."""


def open_source(
    kind: SourceKind,
    paths: Sequence[Path],
    labels: Path | None = None,
    *,
    studies: int = 100,
    seed: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    names: Names = as_named,
    pool: Executor | None = None,
) -> tuple[list[LabelledSeries], SourceInfo]:
    """Open a labelled data source.

    Parameters
    ----------
    kind
        Layout of the data.
    paths
        Files and folders; none for phantoms, one folder for CT-ICH.
    labels
        Label table, where it is not beside the files.
    studies, seed
        Number and first seed of phantoms.
    limits
        Limits for DICOM files.
    names
        Names of DICOM files in the data set.
    pool
        Pool from `worker_processes`; None reads the headers in this process.

    Raises
    ------
    UsageError
        If there are too many or too few paths.
    DataError
        If the data is incomplete or inconsistent.
    """
    if kind == "phantom":
        if paths:
            raise UsageError("phantoms are generated: remove the path")
        name = f"phantoms {seed} to {seed + studies - 1}"
        return open_phantoms(studies, seed), SourceInfo(kind, name, real_ct=False)
    if not paths:
        raise UsageError(f"no data given; run ich preprocess FOLDER --source {kind}")
    if kind == "ct-ich":
        if len(paths) != 1 or labels is not None:
            raise UsageError("--source ct-ich takes one folder, which has its own table")
        if names is not as_named:
            raise UsageError("--anonymous-paths applies to DICOM; CT-ICH already has numbers")
        return open_ct_ich(paths[0]), SourceInfo(kind, "CT-ICH", LICENCE)
    if kind == "unlabelled" and labels is not None:
        raise UsageError("--source unlabelled takes no --labels; use --source folder")
    licence = RSNA_LICENCE if kind == "rsna" else ""
    series = open_dicom(kind, paths, labels, limits, names, pool)
    return series, SourceInfo(kind, NAMES[kind], licence)
