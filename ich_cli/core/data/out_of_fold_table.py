"""Read and write out-of-fold predictions."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import DataError
from ich_cli.core.labels import LABELS

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OutOfFoldTable:
    """Slices with labels and out-of-fold probabilities, and whose they are."""

    labels: NDArray[np.bool_]
    """``(N, 6)``."""
    probabilities: Floats
    """``(N, 6)``, calibrated by other folds."""
    patients: NDArray[Any]
    """``(N,)``."""
    names: tuple[str, ...] = ()
    """What the data call each slice, where that is known."""
    folds: NDArray[np.int64] | None = None
    """``(N,)``: which fold's model answered, where that is known."""
    logits: Floats | None = None
    """``(N, 6)``, before any calibration, where they are known."""


def read_out_of_fold(path: Path) -> OutOfFoldTable:
    """Read the ``oof.csv`` of a training run.

    Raises
    ------
    DataError
        If it is no such table; names the column that is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {type(error).__name__}") from None
    if not rows:
        raise DataError(f"{path} has no rows; name the oof.csv of a training run")
    wanted = ("patient", *(f"true_{label}" for label in LABELS), *LABELS)
    missing = [column for column in wanted if column not in rows[0]]
    if missing:
        raise DataError(f"{path} has no column {missing[0]}; name the oof.csv of a training run")
    try:
        y = np.array([[float(row[f"true_{label}"]) for label in LABELS] for row in rows])
        p = np.array([[float(row[label]) for label in LABELS] for row in rows])
        raw = [f"logit_{label}" for label in LABELS]
        whole = all(column in rows[0] for column in raw)
        logits = np.array([[float(row[k]) for k in raw] for row in rows]) if whole else None
        folds = np.array([int(row["fold"]) for row in rows]) if "fold" in rows[0] else None
    except (TypeError, ValueError):
        raise DataError(f"{path} holds a label or probability that is no number") from None
    if not np.all((p >= 0) & (p <= 1)):
        raise DataError(f"{path} holds a probability outside 0 … 1")
    if logits is not None and not np.isfinite(logits).all():
        raise DataError(f"{path} holds a logit that is not finite")
    who = np.array([row["patient"] for row in rows])
    names = tuple(row.get("name") or "" for row in rows)
    return OutOfFoldTable(y >= 0.5, p, who, names, folds, logits)
