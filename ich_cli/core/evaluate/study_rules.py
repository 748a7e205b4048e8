"""From slices to studies: aggregations compared per patient, and the study rule learned."""

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
from ich_cli.core.evaluate.metrics import auroc, known_by_group
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.study import AGGREGATIONS, FITTED_AGGREGATION, StudyRule, aggregate

SENSITIVITY: Final = 0.95
"""Sensitivity of "not negative": at most one bleeding study in twenty is ruled out."""
SPECIFICITY: Final = 0.95
"""Specificity of "positive": at most one other study in twenty is ruled in."""
_FEWEST: Final = 5
"""Fewest studies with, and without, hemorrhage from which a rule is learned."""


def aggregate_studies(found: OutOfFoldTable, aggregation: str) -> tuple[NDArray[np.bool_], Floats]:
    """Return labels and aggregated probabilities of patients, ``(P, 6)`` each."""
    unique, member = np.unique(found.patients, return_inverse=True)
    order = np.argsort(member, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(member, minlength=unique.size))[:-1])
    y = np.array([found.labels[own].any(axis=0) for own in rows])
    return y, np.array([aggregate(found.probabilities[own], aggregation) for own in rows])


@dataclass(frozen=True)
class AggregationResult:
    """AUROC per patient of one aggregation, for each label."""

    aggregation: str
    auroc: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    """95 % intervals, bootstrap over patients; the same draws for all aggregations."""


def compare_aggregations(
    found: OutOfFoldTable, names: Sequence[str] = tuple(AGGREGATIONS), *, bootstrap: int = 1000,
    seed: int = 0,
) -> list[AggregationResult]:  # fmt: skip
    """Measure how well aggregations separate patients with and without each label.

    Parameters
    ----------
    found
        Result of `read_out_of_fold`.
    names
        Names of `AGGREGATIONS`.
    bootstrap
        Number of draws; 0 for no intervals.
    seed
        Seed of the draws.
    """
    out = []
    for name in names:
        y, p = aggregate_studies(found, name)
        values = {label: auroc(y[:, k], p[:, k]) for k, label in enumerate(LABELS)}
        intervals = percentiles(draw_auroc(y, p, bootstrap, seed))
        out.append(AggregationResult(name, values, intervals))
    return out


def learn_rule(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike,
    aggregation: str = FITTED_AGGREGATION,
) -> StudyRule | None:  # fmt: skip
    """Learn the rule that turns slice probabilities into a study's.

    Slope and bias calibrate each label's aggregate; for labels with fewer than 5 studies only the
    bias is learned. The rule-out threshold is the highest at which 95 % of the bleeding studies are
    not negative, the rule-in threshold the lowest at which 95 % of the others are not positive;
    if they cross, they are swapped.

    Parameters
    ----------
    labels, probabilities, patients
        ``(N, 6)``, ``(N, 6)`` and ``(N,)`` of slices, out of fold. Labels may be NaN, unknown.
    aggregation
        One of `AGGREGATIONS`.

    Returns
    -------
    StudyRule or None
        None if fewer than 5 studies bleed, or fewer than 5 do not.
    """
    values, who = np.asarray(labels, np.float64), np.asarray(patients)
    found = OutOfFoldTable(values >= 0.5, np.asarray(probabilities, np.float64), who)
    y, together = aggregate_studies(found, aggregation)
    member = np.unique(who, return_inverse=True)[1]
    known = known_by_group(values >= 0.5, ~np.isnan(values), member)
    bleeds = y[:, ANY]
    if min(bleeds.sum(), (~bleeds).sum()) < _FEWEST:
        return None
    learned = learn_calibration(
        np.where(known, y, np.nan), logit(np.clip(together, 1e-6, 1 - 1e-6))
    )
    slope = tuple(round(1 / value, 6) for value in learned.temperature)
    rule = StudyRule(aggregation, slope, tuple(round(value, 6) for value in learned.bias))
    p = rule.calibrate(together)[:, ANY]
    low, high = at_sensitivity(bleeds, p, SENSITIVITY), at_specificity(bleeds, p, SPECIFICITY)
    return replace(rule, rule_out=min(low, high), rule_in=max(low, high))


def count_verdicts(found: OutOfFoldTable, rule: StudyRule) -> dict[str, tuple[int, int]]:
    """Return verdict → number of studies with and without hemorrhage that have it."""
    y, together = aggregate_studies(found, rule.aggregation)
    given = np.array([rule.verdict(float(p)) for p in rule.calibrate(together)[:, ANY]])
    bleeds = y[:, ANY]
    return {
        name: (int((bleeds & (given == name)).sum()), int((~bleeds & (given == name)).sum()))
        for name in ("positive", "unsure", "negative")
    }
