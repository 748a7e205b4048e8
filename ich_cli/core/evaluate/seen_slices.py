"""Slices and patients of a data set that a bundle was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.bundle import BundleConfig, LearnedFrom, to_numbers
from ich_cli.core.data import PreparedDataset, public_data_set, public_sets_in, public_source

_LEAST_SHARE = 0.1
"""Least share of a patient's slices that a filter finds, so that it is not by chance."""


@dataclass(frozen=True, eq=False)
class SeenSlices:
    """Slices of a data set that weights were trained on, as far as that is known."""

    data: str
    """Name of the data set."""
    slices: NDArray[np.bool_]
    """True for slices with the pixels of a training slice, bool ``(N,)``."""
    of_patients: NDArray[np.bool_]
    """True for all slices of patients with such slices or a known pseudonym, bool ``(N,)``."""
    patients: NDArray[np.int64]
    """Patient of each slice, int64 ``(N,)``."""
    known: bool = True
    """False where more slices may have been seen: older bundles and data sets have no hashes."""
    public: tuple[str, ...] = ()
    """Public data sets that both are drawn from, where shared patients cannot be found."""

    @property
    def title(self) -> str:
        """Part of the data, for captions."""
        count, seen = len(self.slices), int(self.of_patients.sum())
        if seen == count:
            return "slices it was trained on"
        if seen:
            return f"{seen} slices of patients it was trained on, {count - seen} of others"
        if self.known and not self.public:
            return "slices it was not trained on"
        return "it is not known whether it was trained on these slices"

    def counts(self) -> str:
        """Describe the shared slices and patients; empty where there are none."""
        if not self.of_patients.any():
            return ""
        patients = np.unique(self.patients[self.of_patients]).size
        return (
            f"{int(self.slices.sum())} of {len(self.slices)} slices and {patients} of "
            f"{np.unique(self.patients).size} patients of {self.data}"
        )

    def remark(self) -> str:
        """Return the warning to show with the metrics; empty where nothing is shared."""
        if self.of_patients.any():
            return f"this bundle was trained on {self.counts()}: these metrics are optimistic"
        if self.public:
            return (
                f"this bundle was trained on patients of {', '.join(self.public)}, as those of "
                f"{self.data} are; it is not known which of them are shared: these metrics may be "
                "optimistic"
            )
        if not self.known:
            return (
                "it is not known which slices this bundle was trained on: these metrics are "
                f"optimistic if slices of {self.data} are among them"
            )
        return ""

    def take(self, rows: NDArray[np.int64]) -> SeenSlices:
        """Return some of the slices."""
        return SeenSlices(
            self.data, self.slices[rows], self.of_patients[rows], self.patients[rows], self.known,
            self.public,
        )  # fmt: skip


def learned_from(configs: Sequence[BundleConfig]) -> LearnedFrom:
    """Return the training data of all members; it is incomplete where one does not record it."""
    return reduce(LearnedFrom.union, (one.learned_from for one in configs), LearnedFrom())


def find_seen(
    configs: Sequence[BundleConfig], data: PreparedDataset, *, whole_sets: bool = True
) -> SeenSlices:
    """Compare a data set with the training data of weights, slice by slice and patient by patient.

    Parameters
    ----------
    configs
        Config of a single model, or those of an ensemble's members.
    data
        Data set to compare.
    whole_sets
        A bundle without hashes has seen all of a data set that its training names by checksum.
    """
    learned = learned_from(configs)
    slices = _found(learned, data)
    if whole_sets and any(_names(one, data) for one in configs):
        slices[:] = True
    pseudonyms = frozenset(learned.patients)
    public = np.array([row.pseudonym in pseudonyms for row in data.rows], bool)
    of_patients = np.isin(data.patients, np.unique(data.patients[slices | public]))
    hashed = any(row.hu_hash for row in data.rows)
    shared = () if of_patients.any() else _shared_sets(configs, learned, data)
    return SeenSlices(
        data.name, slices, of_patients, data.patients, learned.complete and hashed, shared
    )


def _found(learned: LearnedFrom, data: PreparedDataset) -> NDArray[np.bool_]:
    hashed = np.array([bool(row.hu_hash) for row in data.rows], bool)
    found = hashed & learned.contains(to_numbers(row.hu_hash or "0" for row in data.rows))
    if learned.filter:  # chance hits of a filter are spread over patients
        _, member = np.unique(data.patients, return_inverse=True)
        counts, hits = np.bincount(member), np.bincount(member, found)
        likely = hits >= np.maximum(np.minimum(2, counts), _LEAST_SHARE * counts)
        found &= likely[member]
    return found


def _names(config: BundleConfig, data: PreparedDataset) -> bool:
    unknown = config.learned_from is None or not config.learned_from.complete
    return unknown and data.sha256 in config.training.get("data_sha256", ())


def _shared_sets(
    configs: Sequence[BundleConfig], learned: LearnedFrom, data: PreparedDataset
) -> tuple[str, ...]:
    """Return public data sets that both are drawn from, where patients cannot be compared."""
    named = [public_data_set(row.pseudonym) for row in data.rows]
    if learned.complete and all(named):
        return ()
    texts = (one.training["data"] for one in configs if one.learned_from is None)
    before = {*learned.sets, *(name for text in texts for name in public_sets_in(text))}
    return tuple(sorted(before & {*named, public_source(data.about["source"]["kind"])} - {""}))
