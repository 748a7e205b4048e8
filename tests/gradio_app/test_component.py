"""Tests of the server functions that the page calls, with valid and invalid parameters."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradio_app.component import Viewer, _errors_as_text
from gradio_app.open_study import OpenStudy
from gradio_app.service import Service, Settings
from gradio_app.session_store import GONE
from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from tests.support.serving import named_study

ME: Any = SimpleNamespace(session_hash="me")


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "uploads").mkdir()
    predictor = Predictor.load(tiny_bundle, device="cpu")
    made = Service(
        {"tiny": predictor}, folder / "studies", folder / "uploads", Settings(16, 50, 1, 2)
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def viewer(service: Service) -> Viewer:
    return Viewer(service)


def upload(service: Service, folder: Path) -> list[str]:
    place = service.sessions._uploads / folder.name
    place.mkdir(parents=True)
    return [str(path.rename(place / f"page-{at}")) for at, path in enumerate(named_study(folder))]


def request_study(viewer: Viewer, data: Any) -> list[dict[str, Any]]:
    """Return all view states that the page receives for a study request."""

    async def follow() -> list[dict[str, Any]]:
        event: Any = SimpleNamespace(_data=data)
        return [json.loads(state) async for state in viewer.on_study(event, ME)]

    return asyncio.run(follow())


@pytest.fixture(scope="module")
def token(service: Service, viewer: Viewer, tmp_path_factory: pytest.TempPathFactory) -> str:
    last = request_study(
        viewer, {"paths": upload(service, tmp_path_factory.mktemp("study")), "request": 7}
    )[-1]
    assert (last["phase"], last["request"], last["done"]) == ("done", 7, 4)
    return str(last["token"])


def call(function: Any, params: Any) -> dict[str, Any]:
    """Call a server function as the page does: an error is a result."""
    answer: dict[str, Any] = asyncio.run(_errors_as_text(function)(params))
    return answer


def test_slice_is_returned(service: Service, viewer: Viewer, token: str) -> None:
    answer = call(viewer.on_slice, {"token": token, "index": 1})
    assert "error" not in answer
    assert service.sessions.get(token).slice((0, 1)).hu.shape == (64, 64)


@pytest.mark.parametrize("label", ["any", "subdural"])
def test_map_is_the_one_of_the_study(
    service: Service, viewer: Viewer, token: str, label: str
) -> None:
    answer = call(viewer.on_map, {"token": token, "index": 1, "label": label})
    name, predictor = service.predictor("")
    values = service.sessions.get(token).maps(name, predictor, (0, 1))[label]
    assert answer["columns"] == values.shape[1]
    assert answer["note"] == (
        "" if values.any() else f"The map for {label} is empty in this slice."
    )


def test_empty_map_has_a_note(viewer: Viewer, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = dict.fromkeys(LABELS, np.zeros((4, 4), np.float32))
    monkeypatch.setattr(OpenStudy, "maps", lambda *_: nothing)
    answer = call(viewer.on_map, {"token": token, "index": 0, "label": "epidural"})
    assert answer["note"] == "The map for epidural is empty in this slice."


@pytest.mark.parametrize("function", ["on_map", "on_faithfulness"])
def test_superseded_request_is_not_computed(
    service: Service, viewer: Viewer, token: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = service.sessions.get(token)
    render = service.render

    async def later(work: Any) -> Any:
        study.latest_map, study.latest_faithfulness = (
            ("tiny", (0, 3)),
            ("tiny", (0, 3), "any"),
        )  # a newer request
        return await render(work)

    monkeypatch.setattr(service, "render", later)
    params = {"token": token, "index": 0, "label": "any"}
    assert call(getattr(viewer, function), params) == {"stale": True}


def test_faithfulness_is_the_sentence_of_the_study(
    viewer: Viewer, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        OpenStudy, "faithfulness", lambda _, name, __, place, label: f"{name} {place} {label}"
    )
    answer = call(viewer.on_faithfulness, {"token": token, "index": 2, "label": "subdural"})
    assert answer == {"text": "tiny (0, 2) subdural"}


@pytest.mark.parametrize(
    ("kind", "name", "starts"),
    [
        ("csv", "ich-slices.csv", b"path,frame,"),
        ("png", "ich-slice.png", b"\x89PNG"),
        ("html", "ich-report.html", b"<!doctype html"),
        ("dicom", "ich-dicom.zip", b"PK"),
    ],
)
def test_exports(viewer: Viewer, token: str, kind: str, name: str, starts: bytes) -> None:
    answer = call(viewer.on_export, {"token": token, "index": 1, "label": "any", "format": kind})
    data = base64.b64decode(answer["data"])
    assert answer["name"] == name
    assert data.lower().startswith(starts.lower())
    assert b"Planted" not in data
    if kind == "png":
        assert Image.open(io.BytesIO(data)).width > 300
    if kind == "dicom":
        packed = zipfile.ZipFile(io.BytesIO(data))
        assert all(packed.read(one)[128:132] == b"DICM" for one in packed.namelist())
        assert len(packed.namelist()) >= 2


def test_card_and_cancel(service: Service, viewer: Viewer, token: str) -> None:
    assert "<" in call(viewer.on_card, {})["html"]
    assert call(viewer.on_cancel, {"token": token}) == {"cancelled": True}
    assert service.sessions.get(token).rows("tiny")  # finished slices are kept


WRONG: list[tuple[str, Any, str]] = [
    ("on_slice", {"index": 0}, GONE),
    ("on_slice", {"token": ["a"], "index": 0}, GONE),
    ("on_slice", "no function at all", GONE),
    ("on_slice", {"token": True}, "no slice index was given"),
    ("on_slice", {"token": True, "index": "0"}, "no slice index was given"),
    ("on_map", {"token": True, "index": 0}, f"unknown label: choose one of {', '.join(LABELS)}"),
    ("on_map", {"token": True, "index": 0, "label": "any", "bundle": "x"}, "bundle"),
    ("on_export", {"token": True, "index": 0, "label": "any", "format": "exe"}, "unknown format"),
    ("on_cancel", {}, GONE),
]


@pytest.mark.parametrize(("function", "params", "error"), WRONG)
def test_invalid_parameters_return_one_line(
    viewer: Viewer, token: str, function: str, params: Any, error: str
) -> None:
    if isinstance(params, dict) and params.get("token") is True:
        params = params | {"token": token}
    answer = call(getattr(viewer, function), params)
    assert set(answer) == {"error"}
    assert error in answer["error"]
    assert "\n" not in answer["error"]


def test_unexpected_error_returns_only_its_type() -> None:
    async def broken(_: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("Planted^Name")

    assert call(broken, {}) == {"error": "unexpected ZeroDivisionError; please report it"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, GONE),
        ({"paths": "page-1"}, "the upload is not complete; upload it again"),
        ({"paths": [1]}, "the upload is not complete; upload it again"),
        ({"paths": ["/etc/passwd"], "request": 3}, None),
        ({"token": "none"}, GONE),
    ],
)
def test_study_that_cannot_be_opened_fails_with_a_message(
    viewer: Viewer, data: Any, message: str | None
) -> None:
    (state,) = request_study(viewer, data)
    assert state["phase"] == "failed"
    assert state["message"] == message or message is None
    assert "passwd" not in state["message"]
    assert state["request"] == (data or {}).get("request", 0)


def test_closing_the_page_deletes_its_study(
    service: Service, viewer: Viewer, tmp_path: Path
) -> None:
    study = service.sessions.open("another", upload(service, tmp_path / "closing"))
    assert study.folder.exists()
    viewer.on_leave(SimpleNamespace(session_hash="another"))  # type: ignore[arg-type]
    assert not study.folder.exists()
    with pytest.raises(IchError):
        service.sessions.get(study.token)
