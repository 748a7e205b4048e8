"""Viewer component of the page: its HTML and JavaScript, and the server functions they call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, Final

import gradio as gr

from gradio_app.downloads import EXPORT_FORMATS, ExportRequest, card_html, export
from gradio_app.encoding import encode_map, encode_slice, palette
from gradio_app.open_study import OpenStudy
from gradio_app.service import EXAMPLE_SUBTYPES, Service
from gradio_app.session_store import MAX_FILES
from gradio_app.theme import STATIC
from gradio_app.view_state import ViewState
from ich_cli.core.errors import IchError
from ich_cli.core.imaging import DISPLAY_WINDOWS, LEVELS, OPACITY
from ich_cli.core.labels import LABELS, RESEARCH_ONLY

_SCRIPTS: Final = ("state", "slices", "render", "chart", "results", "upload", "layout", "events")

Params = dict[str, Any]
"""Parameters or result of a server function, as JSON types."""


def script() -> str:
    """Return the page's script: the JavaScript files of `static/`, joined."""
    return "\n".join((STATIC / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)


class Viewer:
    """Makes the viewer component and handles its events and server calls.

    Parameters
    ----------
    service
        Service that holds studies and models.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def component(self) -> gr.HTML:
        """Return the component; call it inside a `gr.Blocks`."""
        functions = (
            self.on_slice, self.on_map, self.on_faithfulness, self.on_export, self.on_card,
            self.on_cancel,
        )  # fmt: skip
        return gr.HTML(
            None,
            html_template=(STATIC / "viewer.html").read_text("utf-8"),
            js_on_load=script(),
            apply_default_css=False,
            server_functions=[_errors_as_text(one) for one in functions],
            settings=self._settings(),
        )

    async def on_open(self, request: gr.Request) -> AsyncIterator[str]:
        """Yield the view states of the example to a page that was just opened."""
        async for state in self._service.example():
            yield _json(state)

    async def on_study(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[str]:
        """Analyse an upload, or the open study with another bundle."""
        params: Params = event._data if isinstance(event._data, dict) else {}
        number = params.get("request") if isinstance(params.get("request"), int) else 0
        try:
            async for state in self._states(params, str(request.session_hash)):
                yield _json(state | {"request": number})
        except IchError as error:
            yield _json({"phase": "failed", "message": str(error), "request": number})

    def on_leave(self, request: gr.Request) -> None:
        """Delete the study of a page that was closed."""
        self._service.sessions.end(str(request.session_hash))

    async def on_slice(self, params: Params) -> Params:
        """Return the HU of a slice."""
        study = self._study(params)
        place = study.place(params.get("index"))
        return await asyncio.to_thread(lambda: encode_slice(study.slice(place)))

    async def on_map(self, params: Params) -> Params:
        """Return the map of a label for a slice; superseded requests return ``stale``."""
        study, (name, predictor) = (
            self._study(params),
            self._service.predictor(params.get("bundle")),
        )
        place, label = study.place(params.get("index")), _label(params)
        study.latest_map = key = (name, place)

        def work() -> Params:
            if study.latest_map != key:
                return {"stale": True}
            values = study.maps(name, predictor, place)[label]
            note = "" if values.any() else f"The map for {label} is empty in this slice."
            return {"map": encode_map(values), "columns": values.shape[1], "note": note}

        return await self._render(work)

    async def on_faithfulness(self, params: Params) -> Params:
        """Return how far the probability drops without the map's hottest region."""
        study, (name, predictor) = (
            self._study(params),
            self._service.predictor(params.get("bundle")),
        )
        place, label = study.place(params.get("index")), _label(params)
        study.latest_faithfulness = key = (name, place, label)

        def work() -> Params:
            if study.latest_faithfulness != key:
                return {"stale": True}
            return {"text": study.faithfulness(name, predictor, place, label)}

        return await self._render(work)

    async def on_export(self, params: Params) -> Params:
        """Return a file to save."""
        name, predictor = self._service.predictor(params.get("bundle"))
        study = self._study(params)
        place = study.place(params.get("index"))
        request = ExportRequest(study, name, predictor, place, _label(params))
        return await self._render(lambda: export(params.get("format"), request))

    async def on_card(self, params: Params) -> Params:
        """Return the model card of a bundle."""
        _, predictor = self._service.predictor(params.get("bundle"))
        return {"html": card_html(predictor.bundle.card)}

    async def on_cancel(self, params: Params) -> Params:
        """Cancel the analysis of a study; finished slices are kept."""
        study = self._study(params)
        if study.job is not None and not study.shared:
            study.job.cancel()
        return {"cancelled": True}

    def _study(self, params: Params) -> OpenStudy:
        return self._service.sessions.get(params.get("token"))

    async def _render(self, work: Callable[[], Params]) -> Params:
        found: Params = await self._service.render(work)
        return found

    def _states(self, params: Params, owner: str) -> AsyncIterator[ViewState]:
        if params.get("example"):
            return self._service.example(params.get("bundle"))
        paths = params.get("paths")
        if paths is None:
            return self._service.follow(self._study(params), params.get("bundle"))
        if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
            raise IchError("the upload is not complete; upload it again")
        study = self._service.sessions.open(owner, paths)
        return self._service.follow(study, params.get("bundle"))

    def _settings(self) -> dict[str, Any]:
        predictors, settings = self._service.predictors, self._service.settings
        subtypes = ", ".join(EXAMPLE_SUBTYPES[:-1]) + f" and {EXAMPLE_SUBTYPES[-1]}"
        return {
            "labels": list(LABELS),
            "windows": [[name, *window] for name, window in DISPLAY_WINDOWS.items()],
            "palette": palette(),
            "opacity": OPACITY,
            "levels": list(LEVELS),
            "bundles": list(predictors),
            "caveats": {
                name: f"{RESEARCH_ONLY} {one.caveat}".strip() for name, one in predictors.items()
            },
            "maxFiles": MAX_FILES,
            "maxBytes": settings.max_file_mb * 2**20,
            "exports": [[name, one.button, one.about] for name, one in EXPORT_FORMATS.items()],
            "example": (
                f"Example: a synthetic head CT, generated here, with {subtypes} hemorrhage. It was "
                "selected; on synthetic heads the default model is often wrong."
            ),
        }


def _errors_as_text(function: Callable[[Params], Awaitable[Params]]) -> Any:
    """Wrap a server function: its errors become one line of text."""

    @wraps(function)
    async def wrapped(params: Any) -> Params:
        try:
            return await function(params if isinstance(params, dict) else {})
        except IchError as error:
            return {"error": str(error)}
        except Exception as error:  # its text may quote a patient's data
            return {"error": f"unexpected {type(error).__name__}; please report it"}

    return wrapped


def _label(params: Params) -> str:
    label = params.get("label")
    if label not in LABELS:
        raise IchError(f"unknown label: choose one of {', '.join(LABELS)}")
    return str(label)


def _json(state: ViewState) -> str:
    """Return a view state as text; gradio would search plain values for file paths."""
    return json.dumps(state)
