"""Predictions for slices, series and studies: plain values, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from numpy.typing import NDArray

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import InputError, ReasonCode, Status
from ich_cli.core.labels import LABELS
from ich_cli.core.series import Series
from ich_cli.core.study.quality_gate import Reason
from ich_cli.core.study.rule import Verdict
from ich_cli.core.study.slice_facts import SliceFacts

Probabilities = tuple[float, float, float, float, float, float]
"""One probability in [0, 1] for each label, in the order of `LABELS`."""


@dataclass(frozen=True, slots=True)
class SlicePrediction:
    """Prediction for one slice, or the reason why there is none.

    Parameters
    ----------
    id
        File, frame and UIDs.
    probabilities
        Calibrated, in the order of `LABELS`; None where the file was skipped or failed.
    positive
        Labels whose probability reaches the bundle's threshold.
    status
        ``ok``, ``repaired``, ``skipped`` or ``failed``.
    note
        Repairs, remarks or the reason for a refusal, on one line.
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
        """Return the row of a file that cannot be used."""
        study, series, sop = error.uids
        found = id or SliceId(error.name, study_uid=study, series_uid=series, sop_uid=sop)
        return cls(found, status=error.status, note=error.note, code=error.code)

    def with_probabilities(
        self, probabilities: NDArray[Any], thresholds: Mapping[str, float]
    ) -> SlicePrediction:
        """Return it with six probabilities and the labels that reach their thresholds."""
        six = cast("Probabilities", tuple(float(p) for p in probabilities))
        return replace(self, probabilities=six, positive=over_thresholds(six, thresholds))

    @property
    def along(self) -> float | None:
        """Position along the slice normal in mm; None where unknown."""
        return self.facts.along if self.facts else None

    def by_label(self) -> dict[str, float]:
        """Return label → probability; empty where there is no prediction."""
        return dict(zip(LABELS, self.probabilities, strict=True)) if self.probabilities else {}


@dataclass(frozen=True)
class SeriesPrediction:
    """Predictions for the slices of a series."""

    series: Series
    slices: tuple[SlicePrediction, ...]
    """One for each slice of the series, then one for each refused file or frame."""
    partial: bool = False
    """True where only the first slices are there."""
    logits: tuple[NDArray[Any], ...] = field(default=(), repr=False, compare=False)
    """Logits ``(6,)`` of the slice model, while partial and a sequence stage is to follow."""


@dataclass(frozen=True, slots=True)
class StudyPrediction:
    """Prediction for a study, computed from its slices by the bundle's `StudyRule`."""

    study_uid: str
    probabilities: Probabilities | None
    """Probabilities of the study, in the order of `LABELS`; None without a predicted slice."""
    positive: tuple[str, ...]
    """Labels that reach their slice thresholds in at least one slice."""
    worst: SliceId | None
    """Slice with the highest probability of `any`."""
    slices: int
    """Number of predicted slices."""
    refused: int
    """Number of files and frames of the study that were skipped or failed."""
    verdict: Verdict = ""
    """positive, unsure or negative; empty without a predicted slice."""
    quality: tuple[Reason, ...] = ()
    """Reasons why the study cannot be assessed reliably; with one it is never negative."""
    note: str = ""
    """Series that the prediction is from, where others were not used."""


def over_thresholds(
    probabilities: Probabilities, thresholds: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the labels whose probability is at least their threshold, in order of `LABELS`."""
    return tuple(
        label for label, p in zip(LABELS, probabilities, strict=True) if p >= thresholds[label]
    )
