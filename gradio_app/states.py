"""What the page is told of a study, as plain JSON types. Nothing in it names a person or a file.

Slices are rows of the upload: `index` is what the page asks for them by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from gradio_app.study import Study
from ich_cli.core.errors import InputError
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.prediction import SlicePrediction, by_study
from ich_cli.core.reading import Entry

Phase = Literal["waiting", "reading", "predicting", "done", "cancelled", "failed"]
State = dict[str, Any]

_DIGITS: Final = 4
_WORST: Final = 6


def message(phase: Phase, text: str = "", **more: Any) -> State:
    """Return the state of a page without a study to show."""
    return {"phase": phase, "message": text, **more}


def describe(
    study: Study, name: str, thresholds: Mapping[str, float], phase: Phase, text: str = ""
) -> State:
    """Return the state of a study, whole or half answered.

    Parameters
    ----------
    study
        Scanned.
    name
        Of the bundle.
    thresholds
        Of the bundle, by label.
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
        "done": len(rows),
        "total": len(study.entries),
        "thresholds": [thresholds[label] for label in LABELS],
        "series": _series(study, rows),
        "studies": _studies(study, rows, thresholds, finished=phase == "done"),
        "refused": _refused(study, rows),
    }


def _series(study: Study, rows: Sequence[SlicePrediction]) -> list[State]:
    """Return the series in the order of the upload, each with its slices from feet to head."""
    found: dict[str, State] = {}
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
        one["slices"].append(_slice(index, row))
    return list(found.values())


def _slice(index: int, row: SlicePrediction | None) -> list[Any]:
    """Return index, six probabilities or None, and the note."""
    if row is None or row.probabilities is None:
        return [index, None, ""]
    return [index, [round(p, _DIGITS) for p in row.probabilities], row.note]


def _studies(
    study: Study,
    rows: Sequence[SlicePrediction],
    thresholds: Mapping[str, float],
    *,
    finished: bool,
) -> list[State]:
    """Return a verdict and notes for each study of the upload, in its order."""
    uids = dict.fromkeys(
        entry.id.study_uid for entry in study.entries if not isinstance(entry, InputError)
    )
    answered = {one.study_uid: one for one in by_study(rows)}
    found = []
    for uid in uids:
        own = [row for row in rows if row.id.study_uid == uid]
        one = answered.get(uid)
        six = one.probabilities if one else None
        found.append({
            "highest": [round(p, _DIGITS) for p in six] if six else None,
            "verdict": _verdict(own, six, thresholds) if finished else None,
            "notes": _notes(own, _entries_of(study, uid)),
        })  # fmt: skip
    return found


def _entries_of(study: Study, uid: str) -> int:
    return sum(not isinstance(e, InputError) and e.id.study_uid == uid for e in study.entries)


def _verdict(
    rows: Sequence[SlicePrediction], six: Sequence[float] | None, thresholds: Mapping[str, float]
) -> State:
    if six is None:
        return {"tone": "quiet", "text": "No slice of this study could be answered."}
    count = sum(row.probabilities is not None for row in rows)
    over = sum(ANY_LABEL in row.positive for row in rows)
    limit = thresholds[ANY_LABEL]
    if over:
        return {
            "tone": "alert",
            "text": f"Hemorrhage suspected on {over} of {count} slices.",
        }
    return {
        "tone": "calm",
        "text": f"No slice of {count} reaches the threshold {limit:.2f} for hemorrhage.",
    }


ANY_LABEL: Final = LABELS[ANY]


def _notes(rows: Sequence[SlicePrediction], total: int) -> list[str]:
    """Return the remarks on the slices, each once, with the number of slices that it is about."""
    counts = Counter(note for row in rows if row.note for note in row.note.split("; "))
    return [
        f"{note} ({count} of {total} slices)" if count < total else note
        for note, count in counts.most_common()
    ]


def _refused(study: Study, rows: Sequence[SlicePrediction]) -> list[State]:
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
