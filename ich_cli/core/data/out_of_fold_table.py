"""Out-of-fold predictions on disk: the ``oof.csv`` of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError
from ich_cli.core.labels import LABELS

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OutOfFoldTable:
    """Labels and out-of-fold probabilities of slices, with their patients."""

    labels: NDArray[np.bool_]
    """bool ``(N, 6)``."""
    probabilities: Floats
    """float64 ``(N, 6)``, calibrated on the other folds."""
    patients: NDArray[Any]
    """Patient of each slice, ``(N,)``."""
    names: tuple[str, ...] = ()
    """Name of each slice in the data; empty where unknown."""
    folds: NDArray[np.int64] | None = None
    """Fold of each slice, int64 ``(N,)``; None where unknown."""
    logits: Floats | None = None
    """float64 ``(N, 6)`` before calibration; None where unknown."""
    known: NDArray[np.bool_] | None = None
    """bool ``(N, 6)``: labels that are known; None if all are."""

    @property
    def known_labels(self) -> Floats:
        """float64 ``(N, 6)``: labels, NaN where unknown."""
        return np.where(True if self.known is None else self.known, self.labels, np.nan)


def read_out_of_fold(path: Path) -> OutOfFoldTable:
    """Read the ``oof.csv`` of a training run.

    Raises
    ------
    DataError
        If the file is not such a table.
    """
    table = read_table(path)
    truth, raw = [f"true_{label}" for label in LABELS], [f"logit_{label}" for label in LABELS]
    missing = [name for name in ("patient", *truth, *LABELS) if name not in table]
    if missing or not len(table):
        problem = f"no column {missing[0]}" if missing else "no rows"
        raise DataError(f"{path} has {problem}; expected the oof.csv of a training run")
    try:
        labels = table[truth].to_numpy(float)
        probabilities = table[[*LABELS]].to_numpy(float)
        logits = table[raw].to_numpy(float) if set(raw) <= set(table.columns) else None
        folds = table["fold"].to_numpy(np.int64) if "fold" in table else None
    except ValueError:
        raise DataError(f"{path} has a label or probability that is not a number") from None
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise DataError(f"{path} has a probability outside [0, 1]")
    if logits is not None and not np.isfinite(logits).all():
        raise DataError(f"{path} has a logit that is not finite")
    patients = table["patient"].to_numpy(str)
    names = tuple(table["name"]) if "name" in table else ("",) * len(table)
    known = ~np.isnan(labels)
    return OutOfFoldTable(
        labels >= 0.5, probabilities, patients, names, folds, logits, None if known.all() else known
    )
