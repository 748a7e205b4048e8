"""HTTP API: `predict` and `explain`, also for gradio's clients and MCP.

docs/http-api.md shows how to call it. Uploaded files are deleted after the response.
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

from gradio_app.api_types import ExplainResponse, Label, PredictResponse, SliceResult, StudyVerdict
from gradio_app.downloads import ExportRequest, export_png
from gradio_app.open_study import OpenStudy, file_number
from gradio_app.service import Service
from gradio_app.view_state import ViewState, describe, positions, studies
from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.study import SlicePrediction, StudyPrediction, predict_study

T = TypeVar("T")


def add_api(blocks: gr.Blocks, service: Service) -> None:
    """Add both endpoints to the `gr.Blocks` in whose context it is called."""

    async def predict(files: list[FileData], bundle: str = "") -> PredictResponse:
        """Predict intracranial hemorrhage and its subtypes on head CT (DICOM).

        Returns a row per slice, a verdict per study, and the reason for each file not used.
        Research use only, not a medical device.

        Args:
            files: DICOM files or zips of them, as paths that the upload returned.
            bundle: Name of the model; empty for the default.
        """
        return await _with_study(service, files, bundle, _predicted)

    async def explain(
        files: list[FileData],
        slice: int = 0,
        label: Label = "any",
        bundle: str = "",
        picture: bool = True,
        series: int = 0,
    ) -> ExplainResponse:
        """Explain the prediction for one slice and one label by a heat map.

        Returns probability, threshold, the position of the map's peak, and an image of the slice
        beside its map as base64 PNG. Research use only, not a medical device.

        Args:
            files: DICOM files or zips of them, as paths that the upload returned.
            slice: Position in the series, from 1, as in `predict`; 0: the highest probability.
            label: One of the six labels.
            bundle: Name of the model; empty for the default.
            picture: Include the PNG; without it the response is short.
            series: Number of the series, from 1, as in `predict`; 0 if there is only one.
        """
        if label not in LABELS:
            raise gr.Error(
                f"unknown label: choose one of {', '.join(LABELS)}", print_exception=False
            )

        def explained(service: Service, study: OpenStudy, name: str) -> ExplainResponse:
            index = _chosen(service, study, name, (int(series), int(slice)), label)
            return _explained(service, study, name, index, label, picture=picture)

        return await _with_study(service, files, bundle, explained)

    for function in (predict, explain):
        api(function, api_name=function.__name__, concurrency_limit=None)
    for block in blocks.blocks.values():
        if isinstance(block, Api):
            # gradio itself would fetch URLs and copy any path: accept uploads only
            block.async_move_resource_to_block_cache = _refuse_urls  # type: ignore[assignment]


async def _refuse_urls(path: Any) -> str:
    """Replace gradio's handling of paths, which would fetch any URL."""
    if "://" in str(path):
        raise gr.Error("URLs are not fetched: upload the file", print_exception=False)
    return str(path)


async def _with_study(
    service: Service,
    files: Sequence[Any],
    bundle: str,
    respond: Callable[[Service, OpenStudy, str], T],
) -> T:
    """Analyse uploaded files, build the response, and delete the files."""
    owner = secrets.token_urlsafe(16)
    try:
        name, predictor = service.predictor(bundle)
        study = service.sessions.open(owner, [_path(one) for one in files])
        await service.submit(study, name, predictor).wait()
        found: T = await service.render(lambda: respond(service, study, name))
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
    """Return the path of an upload: MCP passes it as text, other clients in a dict."""
    path = file.get("path") if isinstance(file, dict) else file
    if not isinstance(path, str):
        raise IchError("upload the files first and pass the paths: see docs/http-api.md")
    return path


def _predicted(service: Service, study: OpenStudy, name: str) -> PredictResponse:
    predictor = service.predictors[name]
    state, rule = describe(study, name, predictor, "done"), predictor.study_rule()
    return {
        "bundle": name,
        "thresholds": dict(predictor.thresholds),
        "studies": [
            _study(predict_study(group, rule), one)
            for group, one in zip(studies(study, name), state["studies"], strict=True)
        ],
        "slices": [
            _slice(study.row(name, study.places[index]), position)
            for index, position in positions(state).items()
        ],
        "refused": [{"file": one["file"], "reason": one["reason"]} for one in state["refused"]],
        "warning": _warning(service, name),
    }


def _study(one: StudyPrediction, state: ViewState) -> StudyVerdict:
    return {
        "study_uid": one.study_uid,
        "verdict": one.verdict,
        "sentence": state["verdict"]["text"],
        "probabilities": {
            label: round(p, 6) for label, p in zip(LABELS, one.probabilities or (), strict=False)
        },
        "quality": state["quality"],
        "note": state["note"],
    }


def _slice(row: SlicePrediction, position: tuple[int, int]) -> SliceResult:
    return {
        "series": position[0],
        "slice": position[1],
        "file": file_number(row.id),
        "sop_uid": row.id.sop_uid,
        "series_uid": row.id.series_uid,
        "probabilities": {label: round(p, 6) for label, p in row.by_label().items()},
        "positive": list(row.positive),
        "note": row.note,
    }


def _chosen(
    service: Service, study: OpenStudy, name: str, wanted: tuple[int, int], label: Label
) -> int:
    """Return the index of the slice at a series and position; 0 matches any: the highest wins."""
    position = positions(describe(study, name, service.predictors[name], "done"))
    if not position:
        raise IchError(f"no slice could be read: {study.rows(name)[0].note}")
    count = max(series for series, _ in position.values())
    if wanted[1] and not wanted[0] and count > 1:
        raise IchError(f"there are {count} series: choose one by its number in `predict`")
    fits = [
        index
        for index, at in position.items()
        if all(w in (0, p) for w, p in zip(wanted, at, strict=True))
    ]
    if not fits:
        raise IchError(
            f"there is no slice {wanted[1]} in series {wanted[0] or 1}; `predict` lists them"
        )
    return max(fits, key=lambda index: study.row(name, study.places[index]).by_label()[label])


def _explained(
    service: Service, study: OpenStudy, name: str, index: int, label: Label, *, picture: bool
) -> ExplainResponse:
    predictor, place = service.predictors[name], study.places[index]
    row = study.row(name, place)
    series, position = positions(describe(study, name, predictor, "done"))[index]
    values = study.maps(name, predictor, place)[label]
    png = export_png(ExportRequest(study, name, predictor, place, label)) if picture else b""
    return {
        "bundle": name,
        "series": series,
        "slice": position,
        "file": file_number(row.id),
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
