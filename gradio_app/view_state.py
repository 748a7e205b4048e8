"""What the page is told of a study, as plain JSON types. Nothing in it names a person or a file.

`index`, a row of the upload, is what the page asks for slices by. People and programs are told a
slice by its series and its place there (`places`), as in every viewer, and the number of its file.
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
    "unsure": ("unsure", "Unsure: a reader must decide."),
    "negative": ("calm", "No hemorrhage suspected."),
}


def message(phase: Phase, text: str = "", **more: Any) -> ViewState:
    """Return the state of a page without a study to show."""
    return {"phase": phase, "message": text, **more}


def describe(
    study: OpenStudy, name: str, predictor: Predictor, phase: Phase, text: str = ""
) -> ViewState:
    """Return the state of a study, whole or half answered.

    Parameters
    ----------
    study
        Scanned.
    name
        Of the bundle.
    predictor
        The bundle.
    phase
        How far it is.
    text
        A remark for people.
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
    """Return the UIDs of the studies in an upload, in its order."""
    found = (one.id.study_uid for one in study.entries if not isinstance(one, InputError))
    return list(dict.fromkeys(found))


def places(told: ViewState) -> dict[int, tuple[int, int]]:
    """Return index → number of the series and place in it, both from 1, as the page shows them."""
    return {
        one[0]: (number, place)
        for number, series in enumerate(told["series"], 1)
        for place, one in enumerate(series["slices"], 1)
    }


def _series(study: OpenStudy, rows: Sequence[SlicePrediction]) -> list[ViewState]:
    """Return the series in the order of the upload, each with its slices from feet to head."""
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
    """Return index, six probabilities or None, and the note; the number of the file comes after."""
    if row is None or row.probabilities is None:
        return [index, None, ""]
    return [index, [round(p, _DIGITS) for p in row.probabilities], row.note]


def _studies(
    study: OpenStudy, rows: Sequence[SlicePrediction], predictor: Predictor, *, finished: bool
) -> list[ViewState]:
    """Return what is said of each study of the upload, in its order; the verdict at the end."""
    rule = predictor.study_rule()
    answered = {one.study_uid: one for one in studies_of(rows, rule)} if finished else {}
    found = []
    for uid in study_uids(study):
        own = [row for row in rows if row.id.study_uid == uid and row.probabilities]
        one = answered.get(uid)
        quality = [reason.text for reason in one.quality] if one else []
        found.append({
            "highest": _highest(own),
            "verdict": verdict(one, own, rule) if one else None,
            "notes": [*quality, *_notes(own)],
        })  # fmt: skip
    return found


def verdict(one: StudyPrediction, rows: Sequence[SlicePrediction], rule: StudyRule) -> ViewState:
    """Return one sentence on a study, what it rests on, and how it is to be painted."""
    if one.probabilities is None:
        return {"tone": "quiet", "text": "No slice of this study could be answered.", "more": ""}
    count, over = len(rows), sum("any" in row.positive for row in rows)
    tone, text = _SENTENCES[one.verdict]
    band = (
        f"negative below {rule.rule_out:.2f}, positive from {rule.rule_in:.2f} on"
        if rule.rule_out < rule.rule_in
        else f"positive from {rule.rule_in:.2f} on"
    )
    more = (
        f"Probability of any hemorrhage in the study {one.probabilities[ANY]:.2f} ({band}). "
        f"{over} of {count} slices reach the threshold for slices."
    )
    if one.verdict == "unsure" and one.quality:
        more += " Its quality does not allow to rule a hemorrhage out."
    return {"tone": tone, "text": text, "more": more}


def _highest(rows: Sequence[SlicePrediction]) -> list[float] | None:
    """Return of each label the highest probability of a slice."""
    sixes = [row.probabilities for row in rows if row.probabilities]
    return [round(max(column), _DIGITS) for column in zip(*sixes, strict=True)] if sixes else None


def _notes(rows: Sequence[SlicePrediction]) -> list[str]:
    """Return the remarks on the slices, each once, with the number of slices that it is about."""
    counts = Counter(note for row in rows if row.note for note in row.note.split("; "))
    return [
        f"{note} ({count} of {len(rows)} slices)" if count < len(rows) else note
        for note, count in counts.most_common()
    ]


def _refused(study: OpenStudy, rows: Sequence[SlicePrediction]) -> list[ViewState]:
    """Return the refused files and frames with their reasons, each reason of a file once."""
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
