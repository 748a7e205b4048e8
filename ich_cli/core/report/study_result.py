"""Studies and all that their reports need: slices, predictions, and the predictor."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Refused, Series, SliceRef
from ich_cli.core.study import (
    SeriesPrediction,
    SlicePrediction,
    StudyGroup,
    StudyPrediction,
    StudyRule,
    group_by_study,
    predict_study,
    urgency,
)


@dataclass(frozen=True, eq=False)
class PredictedSlice:
    """A slice of a study with its prediction."""

    number: int
    """Number among the predicted slices of the study, from 1."""
    series: Series
    index: int
    """Index in the series."""
    row: SlicePrediction

    @property
    def ref(self) -> SliceRef:
        """The slice."""
        return self.series.slices[self.index]


@dataclass(frozen=True, eq=False)
class StudyResult:
    """One study with its predictions; `write_report` and `write_dicom` take it."""

    study: StudyPrediction
    group: StudyGroup
    """Predictions for its series, and its refused files."""
    predictor: Predictor
    rule: StudyRule
    thresholds: Mapping[str, float]
    limits: Limits = field(default=DEFAULT_LIMITS)
    shares_uid: bool = False
    """True where another patient has a study with the same UID."""

    @property
    def name(self) -> str:
        """File name without suffix: a hash of the study's UID, without patient data.

        Where several patients have the same StudyInstanceUID, the hash is of the series, too.
        """
        text = self.study.study_uid
        if self.shares_uid:
            text += "".join(one.series.key for one in self.group.series)
        return f"study-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @cached_property
    def slices(self) -> tuple[PredictedSlice, ...]:
        """Slices with a prediction, series by series, each in anatomical order."""
        found = [
            (one.series, index, row)
            for one in self.group.series
            for index, row in enumerate(one.slices)
            if row.probabilities
        ]
        return tuple(PredictedSlice(number, *one) for number, one in enumerate(found, 1))


def study_results(
    predictor: Predictor,
    predictions: Iterable[SeriesPrediction],
    refused: Iterable[Refused] = (),
    *,
    limits: Limits = DEFAULT_LIMITS,
    thresholds: Mapping[str, float] | None = None,
    all_series: bool = False,
) -> list[StudyResult]:
    """Group predictions into studies, in the order of a worklist.

    Parameters
    ----------
    predictor
        Predictor that made the predictions.
    predictions
        Predictions for series.
    refused
        Files that belong to no series, `Scan.refused`.
    limits
        Bounds on reading the slices again.
    thresholds
        Thresholds used instead of the predictor's.
    all_series
        As for `by_study`.

    Returns
    -------
    list of StudyResult
        In the order of `by_study`. Slices without a StudyInstanceUID are left out.
    """
    rule = predictor.study_rule(thresholds)
    cut = dict(thresholds or predictor.thresholds)
    groups = group_by_study(predictions, refused)
    uses = Counter(group.study_uid for group in groups)
    results = [
        StudyResult(
            predict_study(group, rule, all_series=all_series), group, predictor, rule, cut, limits,
            shares_uid=uses[group.study_uid] > 1,
        )
        for group in groups
    ]  # fmt: skip
    return sorted(results, key=lambda result: urgency(result.study))


def refusals(result: StudyResult) -> Counter[str]:
    """Count the files and frames of a study without a prediction by reason."""
    counts: Counter[str] = Counter()
    for one in result.group.series:
        slices = one.slices[: len(one.series)]
        counts.update(row.note for row in slices if not row.probabilities)
        counts.update(file.error.reason for file in one.series.refused)
    counts.update(file.error.reason for file in result.group.refused)
    return counts
