"""From slices to studies, learned and measured on predictions that nobody's model has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from ich_cli.core.data import Floats, OutOfFoldTable
from ich_cli.core.evaluate.bootstrap import draw_auroc, percentiles
from ich_cli.core.evaluate.calibration import at_sensitivity, at_specificity, learn_calibration
from ich_cli.core.evaluate.metrics import auroc
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.study import AGGREGATIONS, LEARNED, StudyRule, aggregate

SENSITIVITY: Final = 0.95
"""Of "not negative": at most one bleeding study in twenty is ruled out."""
SPECIFICITY: Final = 0.95
"""Of "positive": at most one sound study in twenty is ruled in."""
_FEWEST: Final = 5
"""Studies of each kind; with fewer no rule is learned."""


def of_studies(found: OutOfFoldTable, how: str) -> tuple[NDArray[np.bool_], Floats]:
    """Return labels and aggregated probabilities of patients, ``(P, 6)`` each."""
    unique, member = np.unique(found.patients, return_inverse=True)
    order = np.argsort(member, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(member, minlength=unique.size))[:-1])
    y = np.array([found.labels[own].any(axis=0) for own in rows])
    return y, np.array([aggregate(found.probabilities[own], how) for own in rows])


@dataclass(frozen=True)
class RuleComparison:
    """How well an aggregation tells patients apart, per label."""

    aggregation: str
    auroc: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    """95 %, by bootstrap over patients; the same draws for all aggregations."""


def compare_rules(
    found: OutOfFoldTable, names: Sequence[str] = tuple(AGGREGATIONS), *, bootstrap: int = 1000,
    seed: int = 0,
) -> list[RuleComparison]:  # fmt: skip
    """Measure aggregations against each other, per patient.

    Parameters
    ----------
    found
        As `read_out_of_fold` gave it.
    names
        Of `AGGREGATIONS`.
    bootstrap
        Draws; 0 gives no intervals.
    seed
        Of the draws.
    """
    return [_compared(name, *of_studies(found, name), bootstrap, seed) for name in names]


def learn_rule(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike,
    aggregation: str = LEARNED,
) -> StudyRule | None:  # fmt: skip
    """Learn how slices become the answer for a study.

    Slope and bias make each label's aggregate a probability that can be taken at its word; of
    labels with fewer than 5 studies the bias alone is learned. The rule-out threshold is the
    highest at which 95 % of the bleeding studies are not negative, the rule-in threshold the
    lowest at which 95 % of the others are not positive; where they cross, they change places.

    Parameters
    ----------
    labels, probabilities, patients
        ``(N, 6)``, ``(N, 6)`` and ``(N,)`` of slices, out of fold.
    aggregation
        One of `AGGREGATIONS`.

    Returns
    -------
    StudyRule or None
        None where fewer than 5 studies bleed, or fewer than 5 do not.
    """
    found = OutOfFoldTable(
        np.asarray(labels) >= 0.5, np.asarray(probabilities, np.float64), np.asarray(patients)
    )
    y, together = of_studies(found, aggregation)
    bleeds = y[:, ANY]
    if min(bleeds.sum(), (~bleeds).sum()) < _FEWEST:
        return None
    learned = learn_calibration(y, logit(np.clip(together, 1e-6, 1 - 1e-6)))
    slope = tuple(round(1 / value, 6) for value in learned.temperature)
    rule = StudyRule(aggregation, slope, tuple(round(value, 6) for value in learned.bias))
    p = rule.calibrate(together)[:, ANY]
    low, high = at_sensitivity(bleeds, p, SENSITIVITY), at_specificity(bleeds, p, SPECIFICITY)
    return replace(rule, rule_out=min(low, high), rule_in=max(low, high))


def verdicts(found: OutOfFoldTable, rule: StudyRule) -> dict[str, tuple[int, int]]:
    """Return verdict → how many bleeding and how many other studies have it."""
    y, together = of_studies(found, rule.aggregation)
    called = np.array([rule.verdict(float(p)) for p in rule.calibrate(together)[:, ANY]])
    bleeds = y[:, ANY]
    return {
        name: (int((bleeds & (called == name)).sum()), int((~bleeds & (called == name)).sum()))
        for name in ("positive", "unsure", "negative")
    }


def _compared(name: str, y: NDArray[np.bool_], p: Floats, draws: int, seed: int) -> RuleComparison:
    whole = {label: auroc(y[:, k], p[:, k]) for k, label in enumerate(LABELS)}
    return RuleComparison(name, whole, percentiles(draw_auroc(y, p, draws, seed)))
