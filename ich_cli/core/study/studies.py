"""Group predictions into studies, and predict each study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import ReasonCode
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.series import Refused, Series
from ich_cli.core.study.predictions import (
    Probabilities,
    SeriesPrediction,
    SlicePrediction,
    StudyPrediction,
)
from ich_cli.core.study.quality_gate import GateSlice, Reason, assess
from ich_cli.core.study.rule import StudyRule, Verdict
from ich_cli.core.study.sections import Sections
from ich_cli.core.study.series_choice import Candidate, choose_series, describe_choice
from ich_cli.core.study.slice_facts import SliceFacts

VERDICTS: Final = ("positive", "unsure", "negative", "")
"""Verdicts in the order of a worklist."""


@dataclass(frozen=True)
class StudyGroup:
    """Predictions and refused files of one study."""

    study_uid: str
    series: list[SeriesPrediction] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    """Files of the study that belong to none of `series`."""

    @property
    def rows(self) -> list[SlicePrediction]:
        """Rows of all slices, then of the files in `refused`."""
        slices = [row for one in self.series for row in one.slices]
        return [*slices, *(SlicePrediction.from_error(one.error, one.id) for one in self.refused)]


def group_by_study(
    predictions: Iterable[SeriesPrediction], refused: Iterable[Refused] = ()
) -> list[StudyGroup]:
    """Group predictions by patient and study, in the order of the first series of each.

    Parameters
    ----------
    predictions
        Predictions for series; read once.
    refused
        Files that belong to no series, as in `Scan.refused`; each belongs to the first study with
        its StudyInstanceUID. Files without one are left out.
    """
    studies: dict[tuple[str, str], StudyGroup] = {}
    first: dict[str, StudyGroup] = {}
    for one in predictions:
        uid = one.series.study
        if uid:
            group = studies.setdefault((one.series.patient, uid), StudyGroup(uid))
            group.series.append(one)
            first.setdefault(uid, group)
    for file in refused:
        uid = file.id.study_uid
        if uid and uid not in first:
            first[uid] = studies.setdefault(("", uid), StudyGroup(uid))
        if uid:
            first[uid].refused.append(file)
    return list(studies.values())


def by_study(
    predictions: Iterable[SeriesPrediction],
    rule: StudyRule | None = None,
    refused: Iterable[Refused] = (),
    *,
    all_series: bool = False,
) -> list[StudyPrediction]:
    """Predict studies from the predictions for their series, in the order of a worklist.

    Parameters
    ----------
    predictions, refused
        As for `group_by_study`.
    rule
        Rule of the bundle, `Predictor.study_rule`; without it the highest probability of a slice
        counts, with one threshold of 0.5.
    all_series
        Use all series with a head, not only the one that fits (`choose_series`).

    Returns
    -------
    list of StudyPrediction
        Positive ones first, then unsure, negative, and those without a predicted slice; within
        each by descending probability of `any`.
    """
    used = rule or StudyRule()
    groups = group_by_study(predictions, refused)
    found = [predict_study(group, used, all_series=all_series) for group in groups]
    return sorted(found, key=urgency)


def predict_study(
    group: StudyGroup,
    rule: StudyRule,
    *,
    all_series: bool = False,
    names: Mapping[str, str] | None = None,
) -> StudyPrediction:
    """Predict a study from the predictions for its series.

    Series without a head do not count where another one shows a head. Series that are not axial do
    not count where another one is axial. Of the rest the one that fits counts, by `choose_series`,
    or with `all_series` each. `names` maps keys of series to their names in the note, in place of
    SeriesInstanceUIDs.
    """
    series = [_SeriesRows(one.slices, one.series) for one in group.series] + _refused_series(group)
    usable = [one for one in series if one.predicted] or [one for one in series if one.not_axial]
    reasons = {id(one): one.reasons() for one in usable}
    heads = [one for one in usable if all(r.code != "not-a-head" for r in reasons[id(one)])]
    counted = heads or usable
    note = ""
    if not all_series and len(counted) > 1 and counted[0].predicted:
        candidates = [one.candidate(names or {}) for one in counted]
        chosen = choose_series(candidates)
        unused = sum(bool(one.predicted) for one in series) - len(chosen)
        note = describe_choice([candidates[k] for k in chosen], unused)
        counted = [counted[k] for k in chosen]
    rows = [row for one in counted for row in one.predicted]
    six = _probabilities([one for one in counted if one.predicted], rule)
    quality = tuple(dict.fromkeys(reason for one in counted for reason in reasons[id(one)]))
    return StudyPrediction(
        study_uid=group.study_uid,
        probabilities=six,
        positive=tuple(label for label in LABELS if any(label in row.positive for row in rows)),
        worst=max(rows, key=lambda row: row.by_label()["any"]).id if rows else None,
        slices=sum(len(one.predicted) for one in series),
        refused=sum(len(one.refused) for one in series),
        verdict=_verdict(six[ANY], quality, rule) if six else "",
        quality=quality,
        note=note,
    )


def urgency(study: StudyPrediction) -> tuple[int, float]:
    """Return the sort key of a study in a worklist."""
    return VERDICTS.index(study.verdict), -(study.probabilities or (0.0,))[ANY]


class _SeriesRows:
    """Rows of a series, split into predicted and refused ones."""

    def __init__(self, rows: Iterable[SlicePrediction], series: Series | None = None) -> None:
        self.series = series
        self.predicted: list[SlicePrediction] = []
        self.refused: list[SlicePrediction] = []
        for row in rows:
            (self.refused if row.probabilities is None else self.predicted).append(row)

    @property
    def not_axial(self) -> int:
        """Number of slices left out because they are not axial."""
        return sum(row.code is ReasonCode.NOT_AXIAL for row in self.refused)

    def candidate(self, names: Mapping[str, str]) -> Candidate:
        """Return the properties by which `choose_series` chooses."""
        facts = [row.facts or SliceFacts() for row in self.predicted]
        uid = self.predicted[0].id.series_uid
        name = names.get(self.series.key, uid) if self.series else uid
        return Candidate.from_slices(self.series, name, facts)

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probabilities ``(N, 6)`` of slices or sections about 5 mm apart, N > 0."""
        slices = np.array([row.probabilities for row in self.predicted], np.float64)
        sections = Sections.from_positions([row.along for row in self.predicted])
        return slices if sections is None else sections.average(slices)

    def reasons(self) -> tuple[Reason, ...]:
        slices = [GateSlice(row.facts, row.id.instance) for row in self.predicted if row.facts]
        unreadable = sum(row.status == "failed" for row in self.refused)
        return assess(slices, unreadable=unreadable, not_axial=self.not_axial)


def _refused_series(group: StudyGroup) -> list[_SeriesRows]:
    """Return series of which every file was refused."""
    series: dict[str, list[SlicePrediction]] = {}
    for one in group.refused:
        row = SlicePrediction.from_error(one.error, one.id)
        series.setdefault(one.id.series_uid, []).append(row)
    return [_SeriesRows(rows) for rows in series.values()]


def _probabilities(series: Sequence[_SeriesRows], rule: StudyRule) -> Probabilities | None:
    if not series:
        return None
    six = rule.probabilities(np.concatenate([one.probabilities() for one in series]))
    return cast(Probabilities, tuple(six.tolist()))


def _verdict(probability: float, reasons: Sequence[Reason], rule: StudyRule) -> Verdict:
    """Return negative only for a study judged well, and positive only for a head."""
    verdict = rule.verdict(probability)
    doubtful = verdict == "negative" and reasons
    return "unsure" if doubtful or any(r.code == "not-a-head" for r in reasons) else verdict
