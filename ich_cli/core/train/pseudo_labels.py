"""Labels for slices that nobody has labelled: what a model says of them, taken as their labels.

Lee, "Pseudo-Label", ICML 2013 workshop (hard ones); Xie et al., "Self-training with Noisy Student",
CVPR 2020 (soft ones).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import LabelRow, PreparedDataset, count_labels, slice_key
from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.evaluate import read_predictions
from ich_cli.core.labels import ANY
from ich_cli.core.system import sha256_of

PseudoKind = Literal["soft", "hard"]


@dataclass(frozen=True)
class PseudoLabels:
    """Where pseudo-labels come from, and which of them are taken."""

    predictions: Path
    """A table as `ich predict` writes it."""
    kind: PseudoKind = "soft"
    """``soft``: the probabilities themselves; ``hard``: 0 and 1."""
    high: float | None = None
    """A label is sure from this probability on; by default 0.5 (soft) or 0.9 (hard)."""
    low: float | None = None
    """… and up to this one; by default 1 - `high`. A slice counts if all six labels are sure."""

    def __post_init__(self) -> None:
        high = {"soft": 0.5, "hard": 0.9}[self.kind] if self.high is None else self.high
        low = 1 - high if self.low is None else self.low
        if not 0 <= low <= high <= 1 or (self.kind == "hard" and low == high):
            raise UsageError(
                "thresholds of pseudo-labels: 0 ≤ LOW ≤ HIGH ≤ 1; hard ones LOW < HIGH"
            )
        object.__setattr__(self, "high", round(high, 9))
        object.__setattr__(self, "low", round(low, 9))

    def choose(self, probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float32], int]:
        """Make labels of probabilities.

        Parameters
        ----------
        probabilities
            ``(N, 6)`` in [0, 1]; NaN where there are none.

        Returns
        -------
        tuple
            float32 ``(N, 6)``, NaN in the rows that are left out; and how many of these are left
            out because their `any` contradicts their subtypes (hard labels only).
        """
        high, low = float(self.high or 0), float(self.low or 0)
        with np.errstate(invalid="ignore"):
            sure = ((probabilities >= high) | (probabilities <= low)).all(axis=1)
        labels, at_odds = probabilities.astype(np.float32), 0
        if self.kind == "hard":
            labels = (probabilities >= high).astype(np.float32)
            agree = labels[:, ANY] == labels[:, ANY + 1 :].max(axis=1)
            at_odds = int((sure & ~agree).sum())
            sure &= agree
        labels[~sure] = np.nan
        return labels, at_odds


def pseudo_label(
    data: PreparedDataset, measured: PreparedDataset, how: PseudoLabels
) -> PreparedDataset:
    """Return a data set without labels with pseudo-labels.

    Parameters
    ----------
    data
        Prepared without labels.
    measured
        The data set that is split into folds: slices of its studies, and copies of its pictures,
        are left out, for they would be learned from while they are measured on.
    how
        Where the labels come from.

    Returns
    -------
    PreparedDataset
        Rows that are left out keep NaN. ``about["pseudo_labels"]`` has the hash of the
        predictions, the thresholds, and counts; no name of a file.

    Raises
    ------
    DataError
        If no slice is left, or the table does not parse.
    """
    rows, refused = read_predictions(how.predictions)
    table: dict[str, LabelRow] = {}
    for row in rows:
        table.setdefault(_key(row.sop_uid or row.path, row.frame), row.probabilities)
    names = [_key(*_taken_apart(row.name)) for row in data.rows]
    none = (np.nan,) * 6
    found = np.array([table.get(name, none) for name in names], np.float64).reshape(-1, 6)
    predicted = ~np.isnan(found).any(axis=1)
    known = _of(data, measured)
    found[known] = np.nan
    labels, at_odds = how.choose(found)
    used = ~np.isnan(labels).any(axis=1)
    about: dict[str, Any] = {
        "sha256": sha256_of(how.predictions),
        "kind": how.kind,
        "high": how.high,
        "low": how.low,
        "slices": len(data),
        "used": int(used.sum()),
        "without_prediction": int((~predicted).sum()),
        "in_the_measured_data": int((predicted & known).sum()),
        "unsure": int((predicted & ~known & ~used).sum()) - at_odds,
        "any_against_subtypes": at_odds,
        "predictions_without_slice": len(table.keys() - set(names)),
        "refused_files": refused,
        "labels": count_labels(labels[used], data.patients[used]),
    }
    if not about["used"]:
        raise DataError(f"no slice of {data.name} gets a label: {tell(about)}")
    return replace(data, labels=labels, about={**data.about, "pseudo_labels": about})


def tell(about: dict[str, Any]) -> str:
    """Say in a line what of a data set has pseudo-labels, and why the rest has none."""
    told = (
        ("without_prediction", "without a prediction"),
        ("in_the_measured_data", "of studies that are measured on"),
        ("unsure", "unsure"),
        ("any_against_subtypes", "whose `any` contradicts the subtypes"),
        ("predictions_without_slice", "predictions without a slice here"),
        ("refused_files", "rows of predictions without probabilities"),
    )
    parts = [f"{about[key]} {text}" for key, text in told if about[key]]
    used = f"{about['used']} of {about['slices']} slices have {about['kind']} pseudo-labels"
    bleeding = f"{about['labels']['any']['slices']} of them bleed" if about["used"] else ""
    return "; ".join(part for part in (used, bleeding, *parts) if part)


def _of(data: PreparedDataset, measured: PreparedDataset) -> NDArray[np.bool_]:
    """Return which slices belong to studies of another data set, or are copies of its pictures."""
    studies = {row.study for row in measured.rows} - {""}
    pictures = {row.hash for row in measured.rows}
    return np.array([row.study in studies or row.hash in pictures for row in data.rows], bool)


def _taken_apart(name: str) -> tuple[str, int]:
    """Return what an index calls a slice without its frame, and that."""
    stem, mark, frame = name.rpartition("#")
    return (stem, int(frame)) if mark and frame.isdecimal() else (name, 1)


def _key(name: str, frame: int) -> str:
    return f"{slice_key(name)}#{frame}"
