"""Slices or studies that are evaluated: labels, probabilities, patients, positive calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core.evaluate.bootstrap import Scores
from ich_cli.core.evaluate.metrics import Report, countable, evaluate, known_by_group
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.study import StudyRule, aggregate

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cases:
    """N slices, or studies, each with labels and probabilities. Names stay in memory."""

    labels: NDArray[np.bool_]
    """``(N, 6)``."""
    probabilities: Floats
    """``(N, 6)`` in [0, 1]."""
    patients: NDArray[np.int64]
    """``(N,)``: number of the patient; one for each case where patients are unknown."""
    studies: NDArray[np.int64]
    """``(N,)``: number of the study; the patient's where studies are unknown."""
    thresholds: Mapping[str, float]
    called: NDArray[np.bool_]
    """``(N, 6)``: labels that are called positive."""
    names: tuple[str, ...]
    """Name of each case in the data."""
    rows: NDArray[np.int64]
    """``(N,)``: row in the data set or table, from 0; of a study, that of its highest slice."""
    called_best: NDArray[np.bool_] | None = None
    """``(N, 6)``: as `called`, at the thresholds with the best F1 on other slices."""
    unit: str = "slice"
    known: NDArray[np.bool_] | None = None
    """bool ``(N, 6)``: labels that are known; None if all are."""
    study_labels: NDArray[np.float64] | None = None
    """``(N, 6)``: labels of each slice's study, where labels are known per study only."""

    @classmethod
    def from_arrays(
        cls,
        labels: ArrayLike,
        probabilities: ArrayLike,
        thresholds: Mapping[str, float],
        *,
        patients: ArrayLike,
        studies: ArrayLike | None = None,
        names: tuple[str, ...] = (),
        study_labels: ArrayLike | None = None,
    ) -> Self:
        """Call positive what reaches its threshold; a soft label counts as positive from 0.5 on.

        Labels that are NaN are unknown.
        """
        y, p = np.asarray(labels) >= 0.5, np.asarray(probabilities, np.float64)
        known = ~np.isnan(np.asarray(labels, np.float64))
        who = _numbered(patients)
        cut = np.array([thresholds[label] for label in LABELS])
        study = who if studies is None else _numbered(studies)
        return cls(y, p, who, study, thresholds, p >= cut, names or ("",) * len(y),
                   np.arange(len(y)), known=None if known.all() else known,
                   study_labels=None if study_labels is None else np.asarray(study_labels, float),
                   )  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def scores(self) -> Scores:
        """Arrays that the bootstrap draws from."""
        counted = None if self.known is None else countable(self.labels, self.known)
        return Scores(
            self.labels, self.probabilities, self.patients, self.called, self.called_best, counted
        )

    @property
    def known_labels(self) -> Floats:
        """float64 ``(N, 6)``: labels, NaN where unknown."""
        known = True if self.known is None else self.known
        return np.where(known, self.labels, np.nan)

    def take(self, index: NDArray[Any]) -> Self:
        """Return some of the cases, by index or mask."""
        best = None if self.called_best is None else self.called_best[index]
        known = None if self.known is None else self.known[index]
        study = None if self.study_labels is None else self.study_labels[index]
        kept = np.arange(len(self))[index]
        return replace(
            self, labels=self.labels[index], probabilities=self.probabilities[index],
            patients=self.patients[index], studies=self.studies[index], called=self.called[index],
            rows=self.rows[index], called_best=best, known=known, study_labels=study,
            names=tuple(self.names[k] for k in kept),
        )  # fmt: skip

    def by_study(self, rule: StudyRule) -> Self:
        """Return one case for each study, as ``ich predict --by study`` predicts it.

        Its probability is the rule's. `any` is called positive where the verdict is positive; a
        subtype where one of the slices reaches its threshold.
        """
        order = np.argsort(self.studies, kind="stable")
        starts = np.flatnonzero(np.diff(self.studies[order], prepend=-1))
        parts = np.split(order, starts[1:])
        together = np.array([aggregate(self.probabilities[own], rule.aggregation) for own in parts])
        p = np.asarray(rule.calibrate(together), np.float64)
        called = np.logical_or.reduceat(self.called[order], starts)
        called[:, ANY] = p[:, ANY] >= rule.rule_in
        # models differ in the highest slice of a study, but must give the study the same name
        names = tuple(min(self.names[k] for k in own) for own in parts)
        highest = np.array([own[self.probabilities[own, ANY].argmax()] for own in parts])
        labels, known = self._study_labels(order, starts)
        return replace(
            self.take(highest), labels=labels, known=known, study_labels=None,
            probabilities=p, called=called, called_best=None, names=names, unit="study",
            thresholds={**self.thresholds, LABELS[ANY]: rule.rule_in},
        )  # fmt: skip

    def _study_labels(
        self, order: NDArray[np.intp], starts: NDArray[np.intp]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
        """Return the labels of studies, bool ``(M, 6)``, and which of them are known."""
        if self.study_labels is not None:
            given = self.study_labels[order[starts]]
            known = ~np.isnan(given)
            return given >= 0.5, None if known.all() else known
        labels = np.logical_or.reduceat(self.labels[order], starts)
        if self.known is None:
            return labels, None
        member = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
        return labels, known_by_group(self.labels[order], self.known[order], member)

    def report(
        self,
        bootstrap: int = 1000,
        seed: int = 0,
        progress: Callable[[int], None] = lambda n: None,
    ) -> Report:
        """Compute the metrics of the cases; see `evaluate`.

        Raises
        ------
        DataError
            If there is no case.
        """
        return evaluate(
            self.labels, self.probabilities, self.patients, self.thresholds, unit=self.unit,
            bootstrap=bootstrap, seed=seed, progress=progress, called=self.called,
            called_best=self.called_best, known=self.known,
        )  # fmt: skip


def concatenate_cases(parts: Sequence[Cases]) -> Cases:
    """Put parts of one data set together, one after the other; `called_best` is dropped."""
    fields = ("labels", "probabilities", "patients", "studies", "called", "rows")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in fields
    }
    names = tuple(name for one in parts for name in one.names)
    masks = [np.ones(one.labels.shape, bool) if one.known is None else one.known for one in parts]
    known = None if all(one.known is None for one in parts) else np.concatenate(masks)
    return replace(parts[0], **arrays, called_best=None, known=known, names=names)


def _numbered(values: ArrayLike) -> NDArray[np.int64]:
    return np.unique(np.asarray(values), return_inverse=True)[1].astype(np.int64)
