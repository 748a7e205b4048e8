"""What is evaluated: slices or studies with their labels, answers, and what is called positive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.bootstrap import Scores
from ich_cli.core.evaluate.metrics import Report, evaluate
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.study import StudyRule, aggregate

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cases:
    """N slices, or studies, each with labels and probabilities. Names are in memory only."""

    labels: NDArray[np.bool_]
    """``(N, 6)``."""
    probabilities: Floats
    """``(N, 6)`` in [0, 1]."""
    patients: NDArray[np.int64]
    """``(N,)``: whose they are; each case its own where nobody knows."""
    studies: NDArray[np.int64]
    """``(N,)``: of which study; the patient's where nobody knows."""
    thresholds: Mapping[str, float]
    called: NDArray[np.bool_]
    """``(N, 6)``: what is called positive."""
    names: tuple[str, ...]
    """What the data call each of them."""
    rows: NDArray[np.int64]
    """``(N,)``: place in the data set or table, from 0; of a study, of its highest slice."""
    called_best: NDArray[np.bool_] | None = None
    """``(N, 6)``: the same at thresholds of best F1 that other slices have chosen."""
    unit: str = "slice"

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        probabilities: ArrayLike,
        thresholds: Mapping[str, float],
        *,
        patients: ArrayLike,
        studies: ArrayLike | None = None,
        names: tuple[str, ...] = (),
    ) -> Self:
        """Call positive what reaches its threshold; a soft label counts from 0.5 on."""
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
        """What draws are made from."""
        return Scores(self.labels, self.probabilities, self.patients, self.called, self.called_best)

    def take(self, index: NDArray[Any]) -> Self:
        """Return some of them, by index or mask."""
        best = None if self.called_best is None else self.called_best[index]
        kept = np.arange(len(self))[index]
        return replace(
            self, labels=self.labels[index], probabilities=self.probabilities[index],
            patients=self.patients[index], studies=self.studies[index], called=self.called[index],
            rows=self.rows[index], called_best=best, names=tuple(self.names[k] for k in kept),
        )  # fmt: skip

    def by_study(self, rule: StudyRule) -> Self:
        """Return one case a study, as ``ich predict --by study`` answers.

        Its probability is the rule's. `any` is called positive where the verdict is; a subtype
        where one of the slices reaches its threshold.
        """
        order = np.argsort(self.studies, kind="stable")
        starts = np.flatnonzero(np.diff(self.studies[order], prepend=-1))
        parts = np.split(order, starts[1:])
        together = np.array([aggregate(self.probabilities[own], rule.aggregation) for own in parts])
        p = np.asarray(rule.calibrate(together), np.float64)
        called = np.logical_or.reduceat(self.called[order], starts)
        called[:, ANY] = p[:, ANY] >= rule.rule_in
        # models differ in which slice is the highest, and must name a study alike
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
        """Return their metrics; see `evaluate`.

        Raises
        ------
        DataError
            If there is none.
        """
        return evaluate(
            self.labels, self.probabilities, self.patients, self.thresholds, unit=self.unit,
            bootstrap=bootstrap, seed=seed, progress=progress, called=self.called,
            called_best=self.called_best,
        )  # fmt: skip


def in_common(cases: list[Cases], names: list[str]) -> list[Cases]:
    """Return the slices that all have, in the order of the first.

    Raises
    ------
    DataError
        If there is none, or their labels differ.
    """
    shared = set.intersection(*({n for n in one.names if n} for one in cases))
    if not shared:
        raise DataError(f"{' and '.join(names)} have no slice in common; how are they called?")
    order = [name for name in cases[0].names if name in shared]
    out = []
    for one in cases:
        place = {name: k for k, name in enumerate(one.names)}
        out.append(one.take(np.array([place[name] for name in order])))
    for one, name in zip(out[1:], names[1:], strict=True):
        if not np.array_equal(one.labels, out[0].labels):
            raise DataError(f"{name} has other labels than {names[0]} for the same slices")
    # whose a slice is must be the same for all, or the same draw would not be
    return [replace(one, patients=out[0].patients, studies=out[0].studies) for one in out]


def _numbered(values: ArrayLike) -> NDArray[np.int64]:
    return np.unique(np.asarray(values), return_inverse=True)[1].astype(np.int64)


def joined(parts: list[Cases]) -> Cases:
    """Put parts of the same cases together, one after the other."""
    fields = ("labels", "probabilities", "patients", "studies", "called", "rows")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in fields
    }
    return replace(
        parts[0],
        **arrays,
        called_best=None,
        names=tuple(name for one in parts for name in one.names),
    )
