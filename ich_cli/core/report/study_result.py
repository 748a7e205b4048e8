"""A study and all that its reports need: its slices, their answers, and who gave them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.errors import InputError
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Entry
from ich_cli.core.study import SlicePrediction, StudyPrediction, StudyRule, by_study


@dataclass(frozen=True, eq=False)
class StudyResult:
    """One study with its answer. `write_report` and `write_dicom` take it."""

    study: StudyPrediction
    entries: tuple[Entry, ...]
    """Its slices and refused files, series by series, in anatomical order."""
    rows: tuple[SlicePrediction, ...]
    """One an entry."""
    predictor: Predictor
    rule: StudyRule
    thresholds: Mapping[str, float]
    limits: Limits = field(default=DEFAULT_LIMITS)

    @property
    def name(self) -> str:
        """A file's name without its ending: a hash of the study's UID, never a patient's name."""
        return f"study-{hashlib.sha256(self.study.study_uid.encode()).hexdigest()[:12]}"

    @cached_property
    def answered(self) -> tuple[int, ...]:
        """Indices of the entries with an answer; slice number k is ``answered[k - 1]``."""
        return tuple(index for index, row in enumerate(self.rows) if row.probabilities)


def study_results(
    predictor: Predictor,
    entries: Sequence[Entry],
    rows: Sequence[SlicePrediction],
    *,
    limits: Limits = DEFAULT_LIMITS,
    thresholds: Mapping[str, float] | None = None,
) -> list[StudyResult]:
    """Gather answers into studies, as a worklist.

    Parameters
    ----------
    predictor
        The one that gave the answers.
    entries
        As `series.scan` gave them.
    rows
        One an entry, as `Predictor.stream` gave them.
    limits
        Bounds on what is read again.
    thresholds
        In place of the predictor's, as for `Predictor.stream`.

    Returns
    -------
    list of StudyResult
        In the order of `by_study`. Slices without a StudyInstanceUID belong to none.
    """
    rule = predictor.study_rule(thresholds)
    own: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        own.setdefault(row.id.study_uid, []).append(index)
    return [
        StudyResult(
            study,
            tuple(entries[index] for index in own[study.study_uid]),
            tuple(rows[index] for index in own[study.study_uid]),
            predictor,
            rule,
            dict(thresholds or predictor.thresholds),
            limits,
        )
        for study in by_study(rows, rule)
    ]


def refused(result: StudyResult) -> dict[str, int]:
    """Return reason → number of files or frames of the study that have no answer for it."""
    counts: dict[str, int] = {}
    for entry, row in zip(result.entries, result.rows, strict=True):
        if not row.probabilities:
            reason = entry.reason if isinstance(entry, InputError) else row.note
            counts[reason] = counts.get(reason, 0) + 1
    return counts
