"""Pseudo-labels: predictions of a model as labels of unlabelled slices.

Lee, "Pseudo-Label", ICML 2013 workshop (hard ones); Xie et al., "Self-training with Noisy Student",
CVPR 2020 (soft ones).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import LabelRow, PreparedDataset, count_labels, find_overlap, slice_key
from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.evaluate import read_predictions
from ich_cli.core.labels import ANY
from ich_cli.core.system import sha256_of

PseudoKind = Literal["soft", "hard"]


@dataclass(frozen=True)
class PseudoLabels:
    """Source of pseudo-labels and the thresholds that select them."""

    predictions: Path
    """Table written by `ich predict`."""
    kind: PseudoKind = "soft"
    """``soft``: the probabilities themselves; ``hard``: 0 and 1."""
    high: float | None = None
    """A label is certain from this probability on; by default 0.5 (soft) or 0.9 (hard)."""
    low: float | None = None
    """A label is certain up to this probability; by default 1 - `high`. A slice is used if all six
    labels are certain."""

    def __post_init__(self) -> None:
        high = {"soft": 0.5, "hard": 0.9}[self.kind] if self.high is None else self.high
        low = 1 - high if self.low is None else self.low
        if not 0 <= low <= high <= 1 or (self.kind == "hard" and low == high):
            raise UsageError(
                "--pseudo-threshold must satisfy 0 ≤ LOW ≤ HIGH ≤ 1, and LOW < HIGH for hard labels"
            )
        object.__setattr__(self, "high", round(high, 9))
        object.__setattr__(self, "low", round(low, 9))

    def choose(self, probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float32], int]:
        """Convert probabilities to labels.

        Parameters
        ----------
        probabilities
            ``(N, 6)`` in [0, 1]; NaN where missing.

        Returns
        -------
        tuple
            Labels float32 ``(N, 6)``, NaN in excluded rows; and the number of rows excluded
            because `any` contradicts the subtypes (hard labels only).
        """
        high, low = float(self.high or 0), float(self.low or 0)
        with np.errstate(invalid="ignore"):
            certain = ((probabilities >= high) | (probabilities <= low)).all(axis=1)
        labels, contradicting = probabilities.astype(np.float32), 0
        if self.kind == "hard":
            labels = (probabilities >= high).astype(np.float32)
            agree = labels[:, ANY] == labels[:, ANY + 1 :].max(axis=1)
            contradicting = int((certain & ~agree).sum())
            certain &= agree
        labels[~certain] = np.nan
        return labels, contradicting


def apply_pseudo_labels(
    data: PreparedDataset, evaluated: PreparedDataset, source: PseudoLabels
) -> PreparedDataset:
    """Return an unlabelled data set with pseudo-labels.

    Parameters
    ----------
    data
        Data set prepared without labels.
    evaluated
        Data set that is split into folds. Slices of its patients and copies of its images are
        excluded, since they would leak into the evaluation.
    source
        Predictions and thresholds.

    Returns
    -------
    PreparedDataset
        Excluded rows keep NaN. ``about["pseudo_labels"]`` has the hash of the predictions, the
        thresholds and counts; no file names.

    Raises
    ------
    DataError
        If no slice gets a label, or the table does not parse.
    """
    rows, refused = read_predictions(source.predictions)
    table: dict[str, LabelRow] = {}
    for row in rows:
        table.setdefault(_key(row.sop_uid or row.path, row.frame), row.probabilities)
    names = [_key(*_split_frame(row.name)) for row in data.rows]
    none = (np.nan,) * 6
    found = np.array([table.get(name, none) for name in names], np.float64).reshape(-1, 6)
    predicted = ~np.isnan(found).any(axis=1)
    known = find_overlap((evaluated, data)).shared_with_first(1)
    found[known] = np.nan
    labels, contradicting = source.choose(found)
    used = ~np.isnan(labels).any(axis=1)
    about: dict[str, Any] = {
        "sha256": sha256_of(source.predictions),
        "kind": source.kind,
        "high": source.high,
        "low": source.low,
        "slices": len(data),
        "used": int(used.sum()),
        "without_prediction": int((~predicted).sum()),
        "in_the_measured_data": int((predicted & known).sum()),
        "unsure": int((predicted & ~known & ~used).sum()) - contradicting,
        "any_against_subtypes": contradicting,
        "predictions_without_slice": len(table.keys() - set(names)),
        "refused_files": refused,
        "labels": count_labels(labels[used], data.patients[used]),
    }
    if not about["used"]:
        raise DataError(f"no slice of {data.name} gets a label: {describe_pseudo_labels(about)}")
    return replace(data, labels=labels, about={**data.about, "pseudo_labels": about})


def describe_pseudo_labels(about: dict[str, Any]) -> str:
    """Describe in one line how many slices have pseudo-labels and why the others have none."""
    reasons = (
        ("without_prediction", "without a prediction"),
        ("in_the_measured_data", "of patients in the evaluated data"),
        ("unsure", "uncertain"),
        ("any_against_subtypes", "with `any` contradicting the subtypes"),
        ("predictions_without_slice", "predictions for slices not in the data"),
        ("refused_files", "rows of predictions without probabilities"),
    )
    parts = [f"{about[key]} {text}" for key, text in reasons if about[key]]
    used = f"{about['used']} of {about['slices']} slices have {about['kind']} pseudo-labels"
    positive = f"{about['labels']['any']['slices']} of them positive" if about["used"] else ""
    return "; ".join(part for part in (used, positive, *parts) if part)


def _split_frame(name: str) -> tuple[str, int]:
    """Split a slice's name in the index into name and frame."""
    stem, mark, frame = name.rpartition("#")
    return (stem, int(frame)) if mark and frame.isdecimal() else (name, 1)


def _key(name: str, frame: int) -> str:
    return f"{slice_key(name)}#{frame}"
