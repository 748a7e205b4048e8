"""What a predictor says of a slice and of a study: plain values, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ich_cli.core.ctslice import SliceId
from ich_cli.core.errors import InputError, Status
from ich_cli.core.labels import ANY, LABELS

Probabilities = tuple[float, float, float, float, float, float]
"""One probability in [0, 1] a label, in the order of `LABELS`."""


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
    """

    id: SliceId
    probabilities: Probabilities | None = None
    positive: tuple[str, ...] = ()
    status: Status = "ok"
    note: str = ""

    @classmethod
    def from_error(cls, error: InputError, id: SliceId | None = None) -> SlicePrediction:
        """Return the row of a file that could not be used."""
        return cls(id or SliceId(error.name), status=error.status, note=error.note)

    def by_label(self) -> dict[str, float]:
        """Return label → probability; empty where there is no answer."""
        return dict(zip(LABELS, self.probabilities, strict=True)) if self.probabilities else {}


@dataclass(frozen=True, slots=True)
class StudyPrediction:
    """The answer for a study: of each label the highest probability of its slices.

    The maximum asks one slice to be sure; it grows with the number of slices, which a threshold
    for slices does not know. So `positive` is a list of what to look at first, not a diagnosis.
    """

    study_uid: str
    probabilities: Probabilities | None
    positive: tuple[str, ...]
    worst: SliceId | None
    """Slice with the highest probability of `any`."""
    slices: int
    """Slices with an answer."""
    refused: int
    """Files or frames of this study that were skipped or failed."""


@dataclass(slots=True)
class _Running:
    best: list[float] = field(default_factory=lambda: [-1.0] * len(LABELS))
    positive: set[str] = field(default_factory=set)
    worst: SliceId | None = None
    slices: int = 0
    refused: int = 0


def by_study(predictions: Iterable[SlicePrediction]) -> list[StudyPrediction]:
    """Gather slices into studies, most urgent first.

    Files without a StudyInstanceUID (broken ones) belong to no study and are left out.

    Parameters
    ----------
    predictions
        In any order; read once.

    Returns
    -------
    list of StudyPrediction
        By falling probability of `any`; studies without any answer come last.
    """
    running: dict[str, _Running] = {}
    for one in predictions:
        if one.id.study_uid:
            _add(running.setdefault(one.id.study_uid, _Running()), one)
    studies = [_finish(uid, sums) for uid, sums in running.items()]
    return sorted(studies, key=_urgency, reverse=True)


def _add(study: _Running, one: SlicePrediction) -> None:
    if one.probabilities is None:
        study.refused += 1
        return
    study.slices += 1
    study.positive.update(one.positive)
    if one.probabilities[ANY] > study.best[ANY]:
        study.worst = one.id
    study.best = [max(a, b) for a, b in zip(study.best, one.probabilities, strict=True)]


def _finish(uid: str, study: _Running) -> StudyPrediction:
    a, b, c, d, e, f = study.best
    return StudyPrediction(
        study_uid=uid,
        probabilities=(a, b, c, d, e, f) if study.slices else None,
        positive=tuple(label for label in LABELS if label in study.positive),
        worst=study.worst,
        slices=study.slices,
        refused=study.refused,
    )


def _urgency(study: StudyPrediction) -> float:
    return study.probabilities[ANY] if study.probabilities else -1.0


def over_thresholds(
    probabilities: Probabilities, thresholds: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the labels whose probability is at least their threshold, in order of `LABELS`."""
    return tuple(
        label for label, p in zip(LABELS, probabilities, strict=True) if p >= thresholds[label]
    )
