"""Patients and slices that several prepared data sets share, or that one of them has twice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.prepare_store import digest_of
from ich_cli.core.data.prepared import IndexRow, PreparedDataset

_UNIQUE: Final = re.compile(r"[0-2]\.[0-9.]{6,62}(#\d+)?|ID_[0-9a-f]{9,16}(#\d+)?", re.ASCII)
"""UIDs, and RSNA's pseudonyms of studies and instances."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Groups of patients that must stay together, and slices that are there already."""

    groups: tuple[NDArray[np.int64], ...]
    """Group of each slice of each data set, int64 ``(N,)``; equal to the patients of the first set
    where nothing is shared."""
    repeated: tuple[NDArray[np.bool_], ...]
    """True for slices whose pixels are in an earlier row or data set, bool ``(N,)``."""
    joined_patients: int
    """Number of groups of several patients: the same one in several sets, or with copied slices."""

    @property
    def repeated_slices(self) -> int:
        """Number of copies of slices."""
        return sum(int(one.sum()) for one in self.repeated)

    def shared_with_first(self, number: int) -> NDArray[np.bool_]:
        """Return which slices of a data set are of patients of the first, bool ``(N,)``."""
        return np.isin(self.groups[number], self.groups[0])

    def to_dict(self) -> dict[str, int]:
        """Return the counts."""
        return {"patients": self.joined_patients, "slices": self.repeated_slices}

    def describe(self) -> str:
        """Describe the overlap in one line; empty where there is none."""
        if not self.joined_patients and not self.repeated_slices:
            return ""
        return (
            f"overlap: {self.joined_patients} patients are in several data sets or share slices, "
            f"and stay in one fold; {self.repeated_slices} copies of slices are left out of "
            "training"
        )


def find_overlap(data: Sequence[PreparedDataset]) -> Overlap:
    """Compare the patients, studies and pixels of data sets, slice by slice.

    Patients are compared by their pseudonyms; pixels by the hash of HU, and in data sets of earlier
    versions by the hash of prepared pixels, which needs the same preprocessing.
    """
    starts = np.cumsum([0, *(int(one.patients.max(initial=-1)) + 1 for one in data)]).tolist()
    parents = list(range(starts[-1]))
    by_prepared = any(not row.hu_hash for one in data for row in one.rows)
    first: dict[str, int] = {}
    seen: set[str] = set()
    repeated = []
    for one, start in zip(data, starts, strict=False):
        setting = _setting(one) if by_prepared else None
        copies = np.zeros(len(one), bool)
        for index, row in enumerate(one.rows):
            patient = start + row.patient
            for token in _patient_tokens(row):
                _join(parents, first.setdefault(token, patient), patient)
            for token in _pixel_tokens(row, setting):
                _join(parents, first.setdefault(token, patient), patient)
                copies[index] |= token in seen
                seen.add(token)
        repeated.append(copies)
    roots = np.array([_root(parents, k) for k in range(len(parents))], np.int64)
    patients = [start + one.patients for one, start in zip(data, starts, strict=False)]
    groups = tuple(roots[one] for one in patients)
    _, counts = np.unique(roots[np.unique(np.concatenate(patients))], return_counts=True)
    return Overlap(groups, tuple(repeated), int((counts > 1).sum()))


def _patient_tokens(row: IndexRow) -> Iterator[str]:
    if row.pseudonym:
        yield f"patient {row.pseudonym}"
    if _UNIQUE.fullmatch(row.study):
        yield f"study {row.study}"
    elif _UNIQUE.fullmatch(row.name):
        yield f"slice {row.name}"


def _pixel_tokens(row: IndexRow, setting: tuple[str, str] | None) -> Iterator[str]:
    if row.hu_hash:
        yield f"hu {row.hu_hash}"
    if setting is not None and row.hash != setting[1]:
        yield f"{setting[0]} {row.hash}"


def _setting(data: PreparedDataset) -> tuple[str, str]:
    """Return the preprocessing as text, and the hash of a black slice, which is no copy."""
    own = data.preprocess
    black = digest_of(bytes(own.channels * own.size * own.size))
    return f"{own.preset} {own.size} {own.windows} {own.context}", black


def _root(parents: list[int], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


def _join(parents: list[int], one: int, other: int) -> None:
    """Join two groups; the root is the first patient of a group."""
    if one != other:
        one, other = _root(parents, one), _root(parents, other)
        parents[max(one, other)] = min(one, other)
