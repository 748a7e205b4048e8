"""Slices or studies that are evaluated: labels, probabilities, patients, positive calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core.evaluate.bootstrap import Scores
from ich_cli.core.evaluate.metrics import Report, evaluate
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
    ) -> Self:
        """Call positive what reaches its threshold; a soft label counts as positive from 0.5 on."""
        y, p = np.asarray(labels) >= 0.5, np.asarray(probabilities, np.float64)
        who = _numbered(patients)
        cut = np.array([thresholds[label] for label in LABELS])
        study = who if studies is None else _numbered(studies)
        return cls(y, p, who, study, thresholds, p >= cut, names or ("",) * len(y),
                   np.arange(len(y)))  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def scores(self) -> Scores:
        """Arrays that the bootstrap draws from."""
        return Scores(self.labels, self.probabilities, self.patients, self.called, self.called_best)

    def take(self, index: NDArray[Any]) -> Self:
        """Return some of the cases, by index or mask."""
        best = None if self.called_best is None else self.called_best[index]
        kept = np.arange(len(self))[index]
        return replace(
            self, labels=self.labels[index], probabilities=self.probabilities[index],
            patients=self.patients[index], studies=self.studies[index], called=self.called[index],
            rows=self.rows[index], called_best=best, names=tuple(self.names[k] for k in kept),
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
        return replace(
            self.take(highest), labels=np.logical_or.reduceat(self.labels[order], starts),
            probabilities=p, called=called, called_best=None, names=names, unit="study",
            thresholds={**self.thresholds, LABELS[ANY]: rule.rule_in},
        )  # fmt: skip

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
            called_best=self.called_best,
        )  # fmt: skip


def concatenate_cases(parts: Sequence[Cases]) -> Cases:
    """Put parts of one data set together, one after the other; `called_best` is dropped."""
    fields = ("labels", "probabilities", "patients", "studies", "called", "rows")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in fields
    }
    names = tuple(name for one in parts for name in one.names)
    return replace(parts[0], **arrays, called_best=None, names=names)


def _numbered(values: ArrayLike) -> NDArray[np.int64]:
    return np.unique(np.asarray(values), return_inverse=True)[1].astype(np.int64)
