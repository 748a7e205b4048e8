"""View state: everything the page shows of a study, as JSON types without names or file names.

Messages name a slice by its `index` among the slices of the scan. People and programs see the
number of its series and its position there (`positions`), and the number of its file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, Literal

from gradio_app.open_study import OpenStudy, file_number
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.study import (
    SeriesPrediction,
    SlicePrediction,
    StudyGroup,
    StudyPrediction,
    StudyRule,
    group_by_study,
    predict_study,
)

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor

Phase = Literal["waiting", "reading", "predicting", "done", "cancelled", "failed"]
ViewState = dict[str, Any]

_DIGITS: Final = 4
_SENTENCES: Final = {
    "positive": ("alert", "Hemorrhage suspected."),
    "unsure": ("unsure", "Unsure: a radiologist must decide."),
    "negative": ("calm", "No hemorrhage suspected."),
}


def message(phase: Phase, text: str = "", **more: Any) -> ViewState:
    """Return the view state of a page without a study."""
    return {"phase": phase, "message": text, **more}


def describe(
    study: OpenStudy, name: str, predictor: Predictor, phase: Phase, text: str = ""
) -> ViewState:
    """Return the view state of a scanned study, whose prediction may still be running.

    Parameters
    ----------
    study
        The study, scanned.
    name, predictor
        The bundle.
    phase
        Phase of the analysis.
    text
        Message to show.
    """
    predictions, rows = list(study.predictions(name)), study.rows(name)
    groups = studies(study, name)
    shown = dict(_series(predictions, groups))
    names = {key: str(number) for number, key in enumerate(shown, 1)}
    return {
        "phase": phase,
        "message": text,
        "token": study.token,
        "example": study.shared,
        "bundle": name,
        "first": study.first,
        "done": len(rows),
        "total": len(study.found),
        "thresholds": [predictor.thresholds[label] for label in LABELS],
        "series": list(shown.values()),
        "studies": [_study(one, predictor, names, finished=phase == "done") for one in groups],
        "refused": _refused(rows),
    }


def studies(study: OpenStudy, name: str) -> list[StudyGroup]:
    """Return the predictions of a bundle by study, in the order of the series; none without one."""
    groups = group_by_study(study.predictions(name), study.found.refused)
    return [one for one in groups if one.series]


def positions(state: ViewState) -> dict[int, tuple[int, int]]:
    """Return index → (number of the series, position in it), both from 1, as on the page."""
    return {
        one[0]: (number, position)
        for number, series in enumerate(state["series"], 1)
        for position, one in enumerate(series["slices"], 1)
    }


def _series(
    predictions: Sequence[SeriesPrediction], groups: Sequence[StudyGroup]
) -> Iterator[tuple[str, ViewState]]:
    """Yield keys and series, with their slices from feet to head, without unreadable slices."""
    study_of = {one.series.key: at for at, group in enumerate(groups) for one in group.series}
    first = 0
    for one in predictions:
        rows = zip_longest(one.series.slices, one.slices[: len(one.series)])
        slices = [
            [index, *_slice(row), file_number(ref.id)]
            for index, (ref, row) in enumerate(rows, first)
            if row is None or row.probabilities
        ]
        first += len(one.series)
        if slices:
            key, thickness = one.series.key, one.series.slices[0].geometry.thickness
            yield key, {"study": study_of[key], "thickness": thickness, "slices": slices}


def _slice(row: SlicePrediction | None) -> list[Any]:
    """Return six probabilities (None: not predicted yet) and note of a slice."""
    if row is None or row.probabilities is None:
        return [None, ""]
    return [[round(p, _DIGITS) for p in row.probabilities], row.note]


def _study(
    group: StudyGroup, predictor: Predictor, names: Mapping[str, str], *, finished: bool
) -> ViewState:
    """Return the summary of a study; verdict, quality findings and note only when finished."""
    rule = predictor.study_rule()
    own = [row for row in group.rows if row.probabilities]
    one = predict_study(group, rule, names=names) if finished else None
    return {
        "highest": _highest(own),
        "verdict": verdict(one, own, rule) if one else None,
        "quality": [reason.text for reason in one.quality] if one else [],
        "note": one.note if one else "",
        "notes": _notes(own),
    }


def verdict(one: StudyPrediction, rows: Sequence[SlicePrediction], rule: StudyRule) -> ViewState:
    """Return the verdict as a sentence, its explanation, and the tone that sets its color."""
    if one.probabilities is None:
        return {"tone": "quiet", "text": "No slice of this study could be read.", "more": ""}
    count, over = len(rows), sum("any" in row.positive for row in rows)
    tone, text = _SENTENCES[one.verdict]
    band = (
        f"negative below {rule.rule_out:.2f}, positive from {rule.rule_in:.2f}"
        if rule.rule_out < rule.rule_in
        else f"positive from {rule.rule_in:.2f}"
    )
    more = (
        f"Probability of any hemorrhage in the study {one.probabilities[ANY]:.2f} ({band}). "
        f"{over} of {count} slices reach the slice threshold."
    )
    if one.verdict == "unsure" and one.quality:
        more += " Its quality is too low to rule out a hemorrhage."
    return {"tone": tone, "text": text, "more": more}


def _highest(rows: Sequence[SlicePrediction]) -> list[float] | None:
    """Return the highest slice probability of each label."""
    sixes = [row.probabilities for row in rows if row.probabilities]
    return [round(max(column), _DIGITS) for column in zip(*sixes, strict=True)] if sixes else None


def _notes(rows: Sequence[SlicePrediction]) -> list[str]:
    """Return the notes on the slices, each once, with the number of slices that have it."""
    counts = Counter(note for row in rows if row.note for note in row.note.split("; "))
    return [
        f"{note} ({count} of {len(rows)} slices)" if count < len(rows) else note
        for note, count in counts.most_common()
    ]


def _refused(rows: Sequence[SlicePrediction]) -> list[ViewState]:
    """Return the refused files and frames with reasons, each reason of a file once."""
    counts = Counter((file_number(row.id), row.note) for row in rows if not row.probabilities)
    return [
        {"file": number, "reason": reason, "count": count}
        for (number, reason), count in counts.items()
    ]
