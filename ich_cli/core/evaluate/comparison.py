"""Comparison of models on the cases that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.bootstrap import percentiles, resample
from ich_cli.core.evaluate.cases import Cases
from ich_cli.core.evaluate.labelled_predictions import LabelledPredictions
from ich_cli.core.evaluate.metrics import Report

METRICS = ("any.auroc", "macro.auroc", "any.ap", "macro.ap", "any.f1", "macro.f1",
           "macro.f1_at_half", "any.ece", "weighted_log_loss")  # fmt: skip
"""Metrics that models are compared by."""


@dataclass(frozen=True)
class Comparison:
    """A model's metrics and their differences from the first model's."""

    name: str
    values: dict[str, float | None]
    """Metric → value."""
    differences: dict[str, float]
    """Metric → value minus the first model's; empty for the first model."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % intervals of the differences, paired: the same draws of patients for both models."""


def compare_models(
    models: Sequence[LabelledPredictions], unit: str, bootstrap: int, seed: int
) -> tuple[list[Comparison], int]:
    """Compare models on the slices, or studies, that all of them have.

    Parameters
    ----------
    models
        At least one.
    unit
        ``slice`` or ``study``.
    bootstrap, seed
        Number of draws, 0 for no intervals, and their seed.

    Returns
    -------
    tuple
        One `Comparison` for each model, and the number of shared cases.

    Raises
    ------
    DataError
        If no case is shared, or their labels differ.
    """
    names = [one.name for one in models]
    shared = align_cases([one.slices if unit == "slice" else one.studies for one in models], names)
    reports = [one.report(bootstrap=0) for one in shared]
    few = bootstrap == 0 or reports[0].patients < 2
    draws = [{} if few else resample(one.scores, bootstrap, seed) for one in shared]
    first = _values(reports[0])
    out = [Comparison(names[0], first, {})]
    for name, report, drawn in zip(names[1:], reports[1:], draws[1:], strict=True):
        own = _values(report)
        known = {k: v for k, v in own.items() if v is not None and first[k] is not None}
        differences = {k: v - float(first[k] or 0.0) for k, v in known.items()}
        paired = {k: drawn[k] - draws[0][k] for k in differences if k in drawn}
        out.append(Comparison(name, own, differences, percentiles(paired)))
    return out, len(shared[0])


def align_cases(cases: Sequence[Cases], names: Sequence[str]) -> list[Cases]:
    """Return the cases that all models have, in the order of the first model's.

    Parameters
    ----------
    cases
        Cases of each model.
    names
        Names of the models, for error messages.

    Raises
    ------
    DataError
        If no case is shared, or their labels differ.
    """
    shared = set.intersection(*({n for n in one.names if n} for one in cases))
    if not shared:
        raise DataError(f"{' and '.join(names)} have no slice in common; "
                        "check that identifiers match")  # fmt: skip
    order = [name for name in cases[0].names if name in shared]
    out = []
    for one in cases:
        place = {name: k for k, name in enumerate(one.names)}
        out.append(one.take(np.array([place[name] for name in order])))
    for one, name in zip(out[1:], names[1:], strict=True):
        if not np.array_equal(one.labels, out[0].labels):
            raise DataError(f"{name} has other labels than {names[0]} for the same slices")
    # draws are paired only if all models group the slices into the same patients
    return [replace(one, patients=out[0].patients, studies=out[0].studies) for one in out]


def _values(report: Report) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for name in METRICS:
        label, _, metric = name.partition(".")
        source = report.macro if label == "macro" else report.labels.get(label, {})
        out[name] = source[metric] if metric else report.weighted_log_loss
    return out
