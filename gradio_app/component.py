"""Viewer component of the page: its HTML and JavaScript, and the functions they call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import gradio as gr

from gradio_app.downloads import EXPORT_FORMATS, ExportRequest, card_html, save
from gradio_app.encoding import encode_map, encode_slice, palette
from gradio_app.service import EXAMPLE_SUBTYPES, Service
from gradio_app.session_store import MAX_FILES
from gradio_app.theme import STATIC
from gradio_app.view_state import ViewState
from ich_cli.core.errors import IchError
from ich_cli.core.imaging import DISPLAY_WINDOWS, LEVELS, OPACITY
from ich_cli.core.labels import LABELS, RESEARCH_ONLY

_SCRIPTS: Final = ("state", "slices", "render", "chart", "results", "upload", "layout", "events")

Ask = dict[str, Any]


def script() -> str:
    """Return the page's script: the files of `static/`, of which each uses those before it."""
    return "\n".join((STATIC / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)


class Viewer:
    """Answers what the page asks for, and makes the component.

    Parameters
    ----------
    service
        Who knows the studies.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def component(self) -> gr.HTML:
        """Return the component, to be made inside a `gr.Blocks`."""
        asked = (
            self.on_slice, self.on_map, self.on_faith, self.on_save, self.on_card, self.on_cancel,
        )  # fmt: skip
        return gr.HTML(
            None,
            html_template=(STATIC / "viewer.html").read_text("utf-8"),
            js_on_load=script(),
            apply_default_css=False,
            server_functions=[_told(one) for one in asked],
            settings=self._settings(),
        )

    async def on_open(self, request: gr.Request) -> AsyncIterator[str]:
        """Show the example to whoever opens the page."""
        async for state in self._service.example():
            yield _json(state)

    async def on_study(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[str]:
        """Analyse an upload, or a study that is open by another bundle."""
        ask: Ask = event._data if isinstance(event._data, dict) else {}
        number = ask.get("ask") if isinstance(ask.get("ask"), int) else 0
        try:
            states = self._states(ask, str(request.session_hash))
            async for state in states:
                yield _json(state | {"ask": number})
        except IchError as error:
            yield _json({"phase": "failed", "message": str(error), "ask": number})

    def on_leave(self, request: gr.Request) -> None:
        """Delete what a page that was closed had uploaded."""
        self._service.sessions.end(str(request.session_hash))

    async def on_slice(self, ask: Ask) -> Ask:
        """Return a slice's HU."""
        study = self._service.sessions.get(ask.get("token"))
        return await asyncio.to_thread(lambda: encode_slice(study.slice(_index(ask))))

    async def on_map(self, ask: Ask) -> Ask:
        """Return the map of a label over a slice; of several wishes, the last."""
        study = self._service.sessions.get(ask.get("token"))
        name, predictor = self._service.predictor(ask.get("bundle"))
        index, label = _index(ask), _label(ask)
        study.wanted = (name, index)

        def work() -> Ask:
            if study.wanted != (name, index):  # the reader has moved on
                return {"stale": True}
            values = study.maps(name, predictor, index)[label]
            empty = "" if values.any() else f"Nothing in this slice speaks for {label}."
            return {"map": encode_map(values), "columns": values.shape[1], "note": empty}

        found: Ask = await self._service.render(work)
        return found

    async def on_faith(self, ask: Ask) -> Ask:
        """Return what covering the map's hottest region does to the answer."""
        study = self._service.sessions.get(ask.get("token"))
        name, predictor = self._service.predictor(ask.get("bundle"))
        index, label = _index(ask), _label(ask)
        key = study.watched = (name, index, label)

        def work() -> Ask:
            if study.watched != key:
                return {"stale": True}
            return {"text": study.faith(name, predictor, index, label)}

        found: Ask = await self._service.render(work)
        return found

    async def on_save(self, ask: Ask) -> Ask:
        """Return a file to save."""
        study = self._service.sessions.get(ask.get("token"))
        name, predictor = self._service.predictor(ask.get("bundle"))
        request = ExportRequest(study, name, predictor, _index(ask), _label(ask))
        found: Ask = await self._service.render(lambda: save(ask.get("kind"), request))
        return found

    async def on_card(self, ask: Ask) -> Ask:
        """Return a bundle's card."""
        _, predictor = self._service.predictor(ask.get("bundle"))
        return {"html": card_html(predictor.bundle.card)}

    async def on_cancel(self, ask: Ask) -> Ask:
        """Stop the analysis of a study; what is answered already stays."""
        study = self._service.sessions.get(ask.get("token"))
        if study.job is not None and not study.shared:
            study.job.cancel()
        return {"cancelled": True}

    def _states(self, ask: Ask, owner: str) -> AsyncIterator[ViewState]:
        if ask.get("example"):
            return self._service.example(ask.get("bundle"))
        paths = ask.get("paths")
        if paths is None:
            return self._service.follow(
                self._service.sessions.get(ask.get("token")), ask.get("bundle")
            )
        if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
            raise IchError("the upload is not complete; upload it again")
        return self._service.follow(self._service.sessions.open(owner, paths), ask.get("bundle"))

    def _settings(self) -> dict[str, Any]:
        predictors, settings = self._service.predictors, self._service.settings
        planted = ", ".join(EXAMPLE_SUBTYPES[:-1]) + f" and {EXAMPLE_SUBTYPES[-1]}"
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
            "saves": [[kind, one.button, one.about] for kind, one in EXPORT_FORMATS.items()],
            "example": (
                f"The example: a synthetic head, made here, with {planted} hemorrhage. It was "
                "picked; on synthetic heads the model that ships errs often."
            ),
        }


def _told(ask: Callable[[Ask], Awaitable[Ask]]) -> Callable[[Any], Awaitable[Ask]]:
    """Turn what the reader can act on into a line for the page; the rest is told by its kind."""

    async def told(what: Any) -> Ask:
        try:
            return await ask(what if isinstance(what, dict) else {})
        except IchError as error:
            return {"error": str(error)}
        except Exception as error:  # its text may quote a patient's data
            return {"error": f"unexpected {type(error).__name__}; please report it"}

    told.__name__ = ask.__name__
    return told


def _index(ask: Ask) -> int:
    index = ask.get("index")
    if not isinstance(index, int):
        raise IchError("no slice was named")
    return index


def _label(ask: Ask) -> str:
    label = ask.get("label")
    if label not in LABELS:
        raise IchError(f"a label is one of {', '.join(LABELS)}")
    return str(label)


def _json(state: ViewState) -> str:
    """Return a state as text: gradio would search plain values for files, one by one."""
    return json.dumps(state)
