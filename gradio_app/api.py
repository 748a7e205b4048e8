"""The API for programs: `predict` and `explain`, over HTTP, gradio's clients and MCP.

docs/api.md shows how to call it. Nothing that is sent in is kept after the answer.
"""

# no `from __future__ import annotations`: gradio reads the types of the functions below

import base64
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict, TypeVar

import gradio as gr
from gradio import FileData

from gradio_app.desk import Desk
from gradio_app.saving import Wish, save_png
from gradio_app.states import describe
from gradio_app.study import Study
from ich_cli.core.errors import IchError, InputError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.prediction import SlicePrediction

T = TypeVar("T")

Label = Literal[
    "any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"
]


class SliceAnswer(TypedDict):
    """One slice. `slice` is its number, from 1, for `explain`; `file` that of the upload."""

    slice: int
    file: int
    sop_uid: str
    series_uid: str
    probabilities: dict[str, float]
    positive: list[str]
    note: str


class Refusal(TypedDict):
    """A file, by its number from 1, or a frame of it, that could not be used."""

    file: int
    reason: str


class StudyAnswer(TypedDict):
    """One study: of each label the highest probability of its slices, and the verdict."""

    study_uid: str
    verdict: str
    probabilities: dict[str, float]


class PredictAnswer(TypedDict):
    """What `predict` returns."""

    bundle: str
    thresholds: dict[str, float]
    studies: list[StudyAnswer]
    slices: list[SliceAnswer]
    refused: list[Refusal]
    warning: str


class ExplainAnswer(TypedDict):
    """What `explain` returns; `png` is the picture in base64."""

    bundle: str
    slice: int
    label: str
    probability: float
    threshold: float
    positive: bool
    png: str
    warning: str


def add_api(desk: Desk) -> None:
    """Add both endpoints to the `gr.Blocks` that is being built."""

    async def predict(files: list[FileData], bundle: str = "") -> PredictAnswer:
        """Give the probability of intracranial hemorrhage and its subtypes for head-CT DICOM.

        Research use only, not a medical device.

        Args:
            files: DICOM files of one or several studies, or zips of them.
            bundle: Name of the model; empty for the first one that the server has.

        Returns:
            A row a slice, a verdict a study, and the reason for every file that was not used.
        """
        return await _with_study(desk, files, bundle, _predicted)

    async def explain(
        files: list[FileData], slice: int = 0, label: Label = "any", bundle: str = ""
    ) -> ExplainAnswer:
        """Show where the model looked: a picture of one slice beside its map for a label.

        Research use only, not a medical device.

        Args:
            files: DICOM files of one study, or a zip of them.
            slice: Number of the slice, from 1, as `predict` gave it; 0 for the one with the
                highest probability of the label.
            label: Which of the six labels.
            bundle: Name of the model; empty for the first one that the server has.

        Returns:
            Probability and threshold of the label, and the picture as PNG in base64.
        """
        if label not in LABELS:
            raise gr.Error(f"a label is one of {', '.join(LABELS)}", print_exception=False)

        def explained(desk: Desk, study: Study, name: str) -> ExplainAnswer:
            return _explained(desk, study, name, int(slice), label)

        return await _with_study(desk, files, bundle, explained)

    for function in (predict, explain):
        gr.api(function, api_name=function.__name__, concurrency_limit=None)


async def _with_study(
    desk: Desk,
    files: Sequence[Any],
    bundle: str,
    answer: Callable[[Desk, Study, str], T],
) -> T:
    """Analyse files that were sent in, answer, and delete them."""
    owner = secrets.token_urlsafe(16)
    try:
        name, predictor = desk.predictor(bundle)
        study = desk.sessions.open(owner, [_path(one) for one in files])
        await desk.submit(study, name, predictor).wait()
        found: T = await desk.look(lambda: answer(desk, study, name))
        return found
    except IchError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except gr.Error:
        raise
    except Exception as error:  # its text may quote a patient's data
        text = f"unexpected {type(error).__name__}; please report it"
        raise gr.Error(text, print_exception=False) from None
    finally:
        desk.sessions.end(owner)


def _path(file: Any) -> str:
    path = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    if not isinstance(path, str):
        raise IchError("files are given as uploads: see docs/api.md")
    return path


def _predicted(desk: Desk, study: Study, name: str) -> PredictAnswer:
    predictor = desk.predictors[name]
    told = describe(study, name, predictor.thresholds, "done")
    uids = list(
        dict.fromkeys(e.id.study_uid for e in study.entries if not isinstance(e, InputError))
    )
    return {
        "bundle": name,
        "thresholds": dict(predictor.thresholds),
        "studies": [
            {
                "study_uid": uid,
                "verdict": one["verdict"]["text"],
                "probabilities": dict(zip(LABELS, one["highest"] or (), strict=False)),
            }
            for uid, one in zip(uids, told["studies"], strict=True)
        ],
        "slices": [
            _slice(study, index, row)
            for index, row in enumerate(study.rows[name])
            if row.probabilities
        ],
        "refused": [{"file": one["file"], "reason": one["reason"]} for one in told["refused"]],
        "warning": _warning(desk, name),
    }


def _slice(study: Study, index: int, row: SlicePrediction) -> SliceAnswer:
    return {
        "slice": index + 1,
        "file": study.file_number(study.entries[index]),
        "sop_uid": row.id.sop_uid,
        "series_uid": row.id.series_uid,
        "probabilities": {label: round(p, 6) for label, p in row.by_label().items()},
        "positive": list(row.positive),
        "note": row.note,
    }


def _explained(desk: Desk, study: Study, name: str, number: int, label: Label) -> ExplainAnswer:
    predictor, rows, at = desk.predictors[name], study.rows[name], LABELS.index(label)
    answered = [index for index, row in enumerate(rows) if row.probabilities]
    if not answered:
        raise IchError("no slice could be read: " + (rows[0].note if rows else "nothing there"))
    index = number - 1 if number else max(answered, key=lambda i: (rows[i].probabilities or ())[at])
    if index not in answered:
        raise IchError(f"there is no slice {number} with an answer; `predict` lists them")
    probability = (rows[index].probabilities or ())[at]
    png = save_png(Wish(study, name, predictor, index, label))
    return {
        "bundle": name,
        "slice": index + 1,
        "label": label,
        "probability": round(probability, 6),
        "threshold": predictor.thresholds[label],
        "positive": label in rows[index].positive,
        "png": base64.b64encode(png).decode("ascii"),
        "warning": _warning(desk, name),
    }


def _warning(desk: Desk, name: str) -> str:
    return f"{RESEARCH_ONLY} {desk.predictors[name].caveat}".strip()
