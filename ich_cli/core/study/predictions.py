"""What a predictor says of a slice and of a study: plain values, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import InputError, ReasonCode, Status
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.series import Series
from ich_cli.core.study.quality_gate import Reason, Seen, judge
from ich_cli.core.study.rule import StudyRule, Verdict
from ich_cli.core.study.slice_facts import SliceFacts

Probabilities = tuple[float, float, float, float, float, float]
"""One probability in [0, 1] a label, in the order of `LABELS`."""

VERDICTS: Final = ("positive", "unsure", "negative", "")
"""In the order of a worklist."""


@dataclass(frozen=True, slots=True)
class SlicePrediction:
    """The answer for one slice, or the reason why there is none.

    Parameters
    ----------
    id
        Which slice.
    probabilities
        Calibrated, in the order of `LABELS`; None where the file was skipped or failed.
    positive
        Labels whose probability reaches the bundle's threshold.
    status
        ``ok``, ``repaired``, ``skipped`` or ``failed``.
    note
        What was mended, looks odd or went wrong; one line.
    facts
        Measurements for the quality gate, where the slice was read.
    code
        The reason for a refused file as a code, where the study acts on it.
    """

    id: SliceId
    probabilities: Probabilities | None = None
    positive: tuple[str, ...] = ()
    status: Status = "ok"
    note: str = ""
    facts: SliceFacts | None = None
    code: ReasonCode | None = None

    @classmethod
    def from_error(cls, error: InputError, id: SliceId | None = None) -> SlicePrediction:
        """Return the row of a file that could not be used."""
        study, series, sop = error.uids
        found = id or SliceId(error.name, study_uid=study, series_uid=series, sop_uid=sop)
        return cls(found, status=error.status, note=error.note, code=error.code)

    def by_label(self) -> dict[str, float]:
        """Return label → probability; empty where there is no answer."""
        return dict(zip(LABELS, self.probabilities, strict=True)) if self.probabilities else {}


@dataclass(frozen=True)
class SeriesPrediction:
    """Predictions for the slices of a series."""

    series: Series
    slices: tuple[SlicePrediction, ...]
    """One for each slice of the series, then one for each refused file or frame."""
    partial: bool = False
    """True where the prediction was cancelled: only the first slices are there."""


@dataclass(frozen=True, slots=True)
class StudyPrediction:
    """The answer for a study, put together from its slices by the bundle's `StudyRule`."""

    study_uid: str
    probabilities: Probabilities | None
    """Of the study, in the order of `LABELS`; None where no slice has an answer."""
    positive: tuple[str, ...]
    """Labels that reach their slice thresholds in at least one slice."""
    worst: SliceId | None
    """Slice with the highest probability of `any`."""
    slices: int
    """Slices with an answer."""
    refused: int
    """Files or frames of this study that were skipped or failed."""
    verdict: Verdict = ""
    """positive, unsure or negative; empty where no slice has an answer."""
    quality: tuple[Reason, ...] = ()
    """Why it cannot be judged, or not well. With a reason it is never called negative."""


@dataclass(slots=True)
class _Series:
    rows: list[SlicePrediction] = field(default_factory=list)
    unreadable: int = 0
    not_axial: int = 0
    refused: int = 0

    def add(self, one: SlicePrediction) -> None:
        if one.probabilities is not None:
            self.rows.append(one)
            return
        self.refused += 1
        self.unreadable += one.status == "failed"
        self.not_axial += one.code is ReasonCode.NOT_AXIAL

    def reasons(self) -> tuple[Reason, ...]:
        seen = [Seen(one.facts, one.id.instance) for one in self.rows if one.facts]
        return judge(seen, unreadable=self.unreadable, not_axial=self.not_axial)


def by_study(
    predictions: Iterable[SlicePrediction], rule: StudyRule | None = None
) -> list[StudyPrediction]:
    """Gather slices into studies, as a worklist.

    Files without a StudyInstanceUID (broken ones) belong to no study and are left out.

    Parameters
    ----------
    predictions
        In any order; read once.
    rule
        The bundle's, `Predictor.study_rule`; without it the highest slice counts, and the band of
        "unsure" is empty, at 0.5.

    Returns
    -------
    list of StudyPrediction
        Positive ones first, then unsure, negative, and without any answer; inside each by falling
        probability of `any`.
    """
    studies: dict[str, dict[str, _Series]] = {}
    for one in predictions:
        if one.id.study_uid:
            series = studies.setdefault(one.id.study_uid, {})
            series.setdefault(one.id.series_uid, _Series()).add(one)
    used = rule or StudyRule()
    found = [_study(uid, list(series.values()), used) for uid, series in studies.items()]
    return sorted(found, key=_urgency)


def _study(uid: str, series: Sequence[_Series], rule: StudyRule) -> StudyPrediction:
    # coronal views beside axial ones are no fault, where there is nothing else they are
    usable = [one for one in series if one.rows] or [one for one in series if one.not_axial]
    judged = [(one, one.reasons()) for one in usable]
    heads = [pair for pair in judged if all(r.code != "not-a-head" for r in pair[1])]
    counted = heads or judged  # of a scan of the whole body, the head alone speaks
    rows = [row for one, _ in counted for row in one.rows]
    six = _together(rows, rule)
    reasons = _distinct(reason for _, own in counted for reason in own)
    return StudyPrediction(
        study_uid=uid,
        probabilities=six,
        positive=tuple(label for label in LABELS if any(label in row.positive for row in rows)),
        worst=max(rows, key=lambda row: row.by_label()["any"]).id if rows else None,
        slices=sum(len(one.rows) for one in series),
        refused=sum(one.refused for one in series),
        verdict=_verdict(six[ANY], reasons, rule) if six else "",
        quality=reasons,
    )


def _together(rows: Sequence[SlicePrediction], rule: StudyRule) -> Probabilities | None:
    if not rows:
        return None
    six = rule.probabilities([row.probabilities or () for row in rows])
    return cast(Probabilities, tuple(six.tolist()))


def _distinct(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(reasons))


def _verdict(probability: float, reasons: Sequence[Reason], rule: StudyRule) -> Verdict:
    """Call nothing negative that could not be judged well, and nothing positive that is no head."""
    verdict = rule.verdict(probability)
    doubtful = verdict == "negative" and reasons
    return "unsure" if doubtful or any(r.code == "not-a-head" for r in reasons) else verdict


def _urgency(study: StudyPrediction) -> tuple[int, float]:
    return VERDICTS.index(study.verdict), -(study.probabilities or (0.0,))[ANY]


def over_thresholds(
    probabilities: Probabilities, thresholds: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the labels whose probability is at least their threshold, in order of `LABELS`."""
    return tuple(
        label for label, p in zip(LABELS, probabilities, strict=True) if p >= thresholds[label]
    )
