"""View state: everything the page shows of a study, as JSON types without names or file names.

Requests address a slice by its `index` among the entries of the upload. People and programs see
its series and its position there (`positions`), as in other viewers, and the number of its file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from gradio_app.open_study import OpenStudy
from ich_cli.core.errors import InputError
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.series import Entry
from ich_cli.core.study import SlicePrediction, StudyPrediction, StudyRule, studies_of

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
    rows = list(study.rows.get(name, ()))
    return {
        "phase": phase,
        "message": text,
        "token": study.token,
        "example": study.shared,
        "bundle": name,
        "first": study.first,
        "done": len(rows),
        "total": len(study.entries),
        "thresholds": [predictor.thresholds[label] for label in LABELS],
        "series": _series(study, rows),
        "studies": _studies(study, rows, predictor, finished=phase == "done"),
        "refused": _refused(study, rows),
    }


def study_uids(study: OpenStudy) -> list[str]:
    """Return the study UIDs of an upload, in the order of its files."""
    found = (one.id.study_uid for one in study.entries if not isinstance(one, InputError))
    return list(dict.fromkeys(found))


def positions(state: ViewState) -> dict[int, tuple[int, int]]:
    """Return index → (number of the series, position in it), both from 1, as on the page."""
    return {
        one[0]: (number, position)
        for number, series in enumerate(state["series"], 1)
        for position, one in enumerate(series["slices"], 1)
    }


def _series(study: OpenStudy, rows: Sequence[SlicePrediction]) -> list[ViewState]:
    """Return the series in upload order, each with its slices from feet to head."""
    found: dict[str, ViewState] = {}
    numbers: dict[str, int] = {}
    for index, entry in enumerate(study.entries):
        if isinstance(entry, InputError):
            continue
        row = rows[index] if index < len(rows) else None
        if row is not None and row.probabilities is None:
            continue
        number = numbers.setdefault(entry.id.study_uid, len(numbers))
        one = found.setdefault(
            entry.series,
            {"study": number, "thickness": entry.geometry.thickness, "slices": []},
        )
        one["slices"].append([*_slice(index, row), study.file_number(entry)])
    return list(found.values())


def _slice(index: int, row: SlicePrediction | None) -> list[Any]:
    """Return index, six probabilities (None: not predicted yet) and note of a slice."""
    if row is None or row.probabilities is None:
        return [index, None, ""]
    return [index, [round(p, _DIGITS) for p in row.probabilities], row.note]


def _studies(
    study: OpenStudy, rows: Sequence[SlicePrediction], predictor: Predictor, *, finished: bool
) -> list[ViewState]:
    """Return the summary of each study in upload order; the verdict only when finished."""
    rule = predictor.study_rule()
    predicted = {one.study_uid: one for one in studies_of(rows, rule)} if finished else {}
    found = []
    for uid in study_uids(study):
        own = [row for row in rows if row.id.study_uid == uid and row.probabilities]
        one = predicted.get(uid)
        quality = [reason.text for reason in one.quality] if one else []
        found.append({
            "highest": _highest(own),
            "verdict": verdict(one, own, rule) if one else None,
            "notes": [*quality, *_notes(own)],
        })  # fmt: skip
    return found


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


def _refused(study: OpenStudy, rows: Sequence[SlicePrediction]) -> list[ViewState]:
    """Return the refused files and frames with reasons, each reason of a file once."""
    found: dict[tuple[int, str], int] = {}
    for index, entry in enumerate(study.entries):
        reason = _reason(entry, rows[index] if index < len(rows) else None)
        if reason:
            key = study.file_number(entry), reason
            found[key] = found.get(key, 0) + 1
    return [
        {"file": number, "reason": reason, "count": count}
        for (number, reason), count in found.items()
    ]


def _reason(entry: Entry, row: SlicePrediction | None) -> str:
    if isinstance(entry, InputError):
        return entry.note
    return row.note if row is not None and row.probabilities is None else ""
