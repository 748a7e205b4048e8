"""One door to all labelled sources."""

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
"""What DICOM of each kind is called on the card of a model."""


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
    """Open a source of labelled series.

    Parameters
    ----------
    kind
        Which layout.
    paths
        Where it lies; none for phantoms, one folder for CT-ICH.
    labels
        Table of labels, where it does not lie beside the files.
    studies, seed
        Of phantoms.
    limits
        Bounds on DICOM files.
    names
        What DICOM files are called.
    pool
        Of `worker_processes`; None looks at the files in this process.

    Raises
    ------
    UsageError
        If there are too many or too few paths.
    DataError
        If the data does not hold together.
    """
    if kind == "phantom":
        if paths:
            raise UsageError("phantoms are made, not read: leave out the path")
        name = f"phantoms {seed} to {seed + studies - 1}"
        return open_phantoms(studies, seed), SourceInfo(kind, name, real_ct=False)
    if not paths:
        raise UsageError(f"where does the data lie? ich preprocess FOLDER --source {kind}")
    if kind == "ct-ich":
        if len(paths) != 1 or labels is not None:
            raise UsageError("CT-ICH is one folder with its own table")
        if names is not as_named:
            raise UsageError("--anonymous-paths is for DICOM; CT-ICH has numbers of its own")
        return open_ct_ich(paths[0]), SourceInfo(kind, "CT-ICH", LICENCE)
    if kind == "unlabelled" and labels is not None:
        raise UsageError("unlabelled slices have no table; with --labels they are --source folder")
    licence = RSNA_LICENCE if kind == "rsna" else ""
    series = open_dicom(kind, paths, labels, limits, names, pool)
    return series, SourceInfo(kind, NAMES[kind], licence)
