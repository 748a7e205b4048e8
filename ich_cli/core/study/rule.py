"""Derive a study's probability and verdict from its slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core.errors import BundleError
from ich_cli.core.labels import LABELS
from ich_cli.core.study.aggregation import AGGREGATIONS, aggregate
from ich_cli.core.study.logistic import logit, sigmoid
from ich_cli.core.system import finite_numbers, is_number, require, require_keys

Verdict = Literal["positive", "unsure", "negative", ""]
"""Verdict on a study; empty where it has no prediction."""

EVEN: Final = 0.5
"""A calibrated probability from which a hemorrhage is more likely than not."""

DEFAULT_AGGREGATION: Final = "max"
"""Aggregation for bundles without a study rule."""
FITTED_AGGREGATION: Final = "top5-mean"
"""Aggregation for which training fits a rule; docs/reports.md compares them."""

_EDGE: Final = 1e-6  # keeps the logit of 0 and 1 finite


@dataclass(frozen=True)
class StudyRule:
    """Aggregation, calibration and thresholds of a study.

    Label by label ``probability = sigmoid(slope · logit(aggregate) + bias)``; with slope 1 and
    bias 0 it is the aggregate itself.
    """

    aggregation: str = DEFAULT_AGGREGATION
    """One of `AGGREGATIONS`."""
    slope: tuple[float, ...] = (1.0,) * len(LABELS)
    """Positive, one per label."""
    bias: tuple[float, ...] = (0.0,) * len(LABELS)
    """One per label."""
    rule_out: float = EVEN
    """Studies with a lower probability of `any` are negative."""
    rule_in: float = EVEN
    """From this probability of `any` on, studies are positive; in between they are unsure."""

    def __post_init__(self) -> None:
        known = isinstance(self.aggregation, str) and self.aggregation in AGGREGATIONS
        choices = ", ".join(AGGREGATIONS)
        require(known, f"study.aggregation must be one of {choices}", BundleError)
        for name in ("slope", "bias"):
            numbers = finite_numbers(getattr(self, name), len(LABELS), f"study.{name}")
            object.__setattr__(self, name, numbers)
        for name in ("rule_out", "rule_in"):
            number = is_number(getattr(self, name))
            require(number, f"study.{name} must be a finite number", BundleError)
        require(min(self.slope) > 0, "study.slope must be positive", BundleError)
        ordered = 0 <= self.rule_out <= self.rule_in <= 1
        message = "study.rule_out and study.rule_in must be between 0 and 1, in ascending order"
        require(ordered, message, BundleError)

    @classmethod
    def from_threshold(cls, threshold: float) -> StudyRule:
        """Return the rule of a bundle without one.

        A study's probability is that of its highest slice. Below the slices' threshold of `any`
        it is negative, from 0.5 on positive; the other way round if the threshold is over 0.5.
        """
        return cls(rule_out=min(threshold, EVEN), rule_in=max(threshold, EVEN))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StudyRule:
        """Read what `to_dict` wrote.

        Raises
        ------
        BundleError
            Names the key that is missing, unknown, or of the wrong type or range.
        """
        require_keys(values, cls.__dataclass_fields__, prefix="ich.study.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "slope": list(self.slope), "bias": list(self.bias)}

    @property
    def is_calibrated(self) -> bool:
        """True if the aggregate is calibrated."""
        return set(self.slope) != {1.0} or set(self.bias) != {0.0}

    def probabilities(self, slices: ArrayLike) -> NDArray[np.float64]:
        """Return the study's probabilities ``(6,)`` from those of its slices ``(N, 6)``, N > 0.

        Slices are those of `Sections` where a series is not cut in about 5 mm.
        """
        return self.calibrate(aggregate(slices, self.aggregation))

    def calibrate(self, together: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated probabilities of aggregates ``(…, 6)``."""
        if not self.is_calibrated:
            return together
        x = logit(np.clip(together, _EDGE, 1 - _EDGE))
        return sigmoid(np.array(self.slope) * x + np.array(self.bias))

    def verdict(self, probability: float) -> Verdict:
        """Return the verdict on a study with this probability of `any`."""
        if probability >= self.rule_in:
            return "positive"
        return "negative" if probability < self.rule_out else "unsure"
