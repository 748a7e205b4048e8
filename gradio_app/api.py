"""The API for programs: `predict` and `explain`, over HTTP, gradio's clients and MCP.

docs/api.md shows how to call it. Nothing that is sent in is kept after the answer.
"""

# no `from __future__ import annotations`: gradio reads the types of the functions below

import base64
import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gradio as gr
from gradio import FileData
from gradio.components.api_component import Api
from gradio.events import api

from gradio_app.api_types import ExplainAnswer, Label, PredictAnswer, SliceAnswer, StudyAnswer
from gradio_app.downloads import ExportRequest, export_png
from gradio_app.open_study import OpenStudy
from gradio_app.service import Service
from gradio_app.view_state import ViewState, describe, places, study_uids
from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.study import SlicePrediction, StudyPrediction, studies_of

T = TypeVar("T")


def add_api(blocks: gr.Blocks, service: Service) -> None:
    """Add both endpoints to the `gr.Blocks` that is being built."""

    async def predict(files: list[FileData], bundle: str = "") -> PredictAnswer:
        """Give the probability of intracranial hemorrhage and its subtypes for head-CT DICOM.

        Returns a row a slice, a verdict a study, and the reason for every file that was not used.
        Research use only, not a medical device.

        Args:
            files: DICOM files or zips of them, each a path that an upload returned.
            bundle: Name of the model; empty for the first one that the server has.
        """
        return await _with_study(service, files, bundle, _predicted)

    async def explain(
        files: list[FileData],
        slice: int = 0,
        label: Label = "any",
        bundle: str = "",
        picture: bool = True,
        series: int = 0,
    ) -> ExplainAnswer:
        """Show where the model looked: a picture of one slice beside its map for a label.

        Returns its probability, threshold, the place of the map's peak, and the picture as base64
        PNG. Research use only, not a medical device.

        Args:
            files: DICOM files or zips of them, each a path that an upload returned.
            slice: Place of the slice in its series, from 1, as `predict` gave it; 0: the highest.
            label: Which of the six labels.
            bundle: Name of the model; empty for the first one that the server has.
            picture: Whether the picture is wanted; without it the answer is short.
            series: Number of the series, from 1, as `predict` gave it; 0 where there is but one.
        """
        if label not in LABELS:
            raise gr.Error(f"a label is one of {', '.join(LABELS)}", print_exception=False)

        def explained(service: Service, study: OpenStudy, name: str) -> ExplainAnswer:
            index = _chosen(service, study, name, (int(series), int(slice)), label)
            return _explained(service, study, name, index, label, picture=picture)

        return await _with_study(service, files, bundle, explained)

    for function in (predict, explain):
        api(function, api_name=function.__name__, concurrency_limit=None)
    for block in blocks.blocks.values():
        if isinstance(block, Api):
            # gradio would fetch addresses and copy any path it is given: only uploads may come in
            block.async_move_resource_to_block_cache = _only_uploads  # type: ignore[assignment]


async def _only_uploads(path: Any) -> str:
    """Stand in for gradio's own: it would fetch any address that a caller names."""
    if "://" in str(path):
        raise gr.Error("addresses are not fetched: upload the file", print_exception=False)
    return str(path)


async def _with_study(
    service: Service,
    files: Sequence[Any],
    bundle: str,
    answer: Callable[[Service, OpenStudy, str], T],
) -> T:
    """Analyse files that were sent in, answer, and delete them."""
    owner = secrets.token_urlsafe(16)
    try:
        name, predictor = service.predictor(bundle)
        study = service.sessions.open(owner, [_path(one) for one in files])
        await service.submit(study, name, predictor).wait()
        found: T = await service.render(lambda: answer(service, study, name))
        return found
    except IchError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except gr.Error:
        raise
    except Exception as error:  # its text may quote a patient's data
        text = f"unexpected {type(error).__name__}; please report it"
        raise gr.Error(text, print_exception=False) from None
    finally:
        service.sessions.end(owner)


def _path(file: Any) -> str:
    """Return the path of an upload: MCP hands the bare text on, the other ways a dict."""
    path = file.get("path") if isinstance(file, dict) else file
    if not isinstance(path, str):
        raise IchError("files are given as uploads: see docs/api.md")
    return path


def _predicted(service: Service, study: OpenStudy, name: str) -> PredictAnswer:
    predictor = service.predictors[name]
    told = describe(study, name, predictor, "done")
    answered = {one.study_uid: one for one in studies_of(study.rows[name], predictor.study_rule())}
    uids, place = study_uids(study), places(told)
    return {
        "bundle": name,
        "thresholds": dict(predictor.thresholds),
        "studies": [
            _study(answered[uid], one) for uid, one in zip(uids, told["studies"], strict=True)
        ],
        "slices": [
            _slice(study, index, row, place[index])
            for index, row in enumerate(study.rows[name])
            if row.probabilities
        ],
        "refused": [{"file": one["file"], "reason": one["reason"]} for one in told["refused"]],
        "warning": _warning(service, name),
    }


def _study(one: StudyPrediction, told: ViewState) -> StudyAnswer:
    return {
        "study_uid": one.study_uid,
        "verdict": one.verdict,
        "sentence": told["verdict"]["text"],
        "probabilities": {
            label: round(p, 6) for label, p in zip(LABELS, one.probabilities or (), strict=False)
        },
        "quality": [reason.text for reason in one.quality],
    }


def _slice(
    study: OpenStudy, index: int, row: SlicePrediction, place: tuple[int, int]
) -> SliceAnswer:
    return {
        "series": place[0],
        "slice": place[1],
        "file": study.file_number(study.entries[index]),
        "sop_uid": row.id.sop_uid,
        "series_uid": row.id.series_uid,
        "probabilities": {label: round(p, 6) for label, p in row.by_label().items()},
        "positive": list(row.positive),
        "note": row.note,
    }


def _chosen(
    service: Service, study: OpenStudy, name: str, wanted: tuple[int, int], label: Label
) -> int:
    """Return the entry at a series and a place; 0 for any: of several the highest one."""
    rows, at = study.rows[name], LABELS.index(label)
    answered = {i: row.probabilities[at] for i, row in enumerate(rows) if row.probabilities}
    if not answered:
        raise IchError("no slice could be read: " + (rows[0].note if rows else "nothing there"))
    place = places(describe(study, name, service.predictors[name], "done"))
    count = max(series for series, _ in place.values())
    if wanted[1] and not wanted[0] and count > 1:
        raise IchError(f"there are {count} series: name one, as `predict` numbers them")
    fits = [i for i in answered if all(w in (0, p) for w, p in zip(wanted, place[i], strict=True))]
    if not fits:
        raise IchError(
            f"there is no slice {wanted[1]} in series {wanted[0] or 1}; `predict` lists them"
        )
    return max(fits, key=lambda i: answered[i])


def _explained(
    service: Service, study: OpenStudy, name: str, index: int, label: Label, *, picture: bool
) -> ExplainAnswer:
    predictor, row = service.predictors[name], study.rows[name][index]
    series, place = places(describe(study, name, predictor, "done"))[index]
    values = study.maps(name, predictor, index)[label]
    png = export_png(ExportRequest(study, name, predictor, index, label)) if picture else b""
    return {
        "bundle": name,
        "series": series,
        "slice": place,
        "file": study.file_number(study.entries[index]),
        "label": label,
        "probability": round(row.by_label()[label], 6),
        "threshold": predictor.thresholds[label],
        "positive": label in row.positive,
        "peak": list(divmod(int(values.argmax()), values.shape[1])) if values.any() else [],
        "png": base64.b64encode(png).decode("ascii"),
        "warning": _warning(service, name),
    }


def _warning(service: Service, name: str) -> str:
    return f"{RESEARCH_ONLY} {service.predictors[name].caveat}".strip()
