"""The demo page: what it says of a study, what it keeps to itself, and the server as it runs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pydicom
import pytest

from gradio_app import answers as page
from gradio_app.app import build_demo
from ich_cli.core.errors import IchError, NothingFoundError
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.phantom import write_studies
from ich_cli.core.predictor import Predictor

PATIENT = "Planted^Name"
CAVEAT = "These weights never saw a real CT"


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predictor:
    return Predictor.load(tiny_bundle, device="cpu")


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four slices named after a patient, whose name is inside as well, then a text file."""
    folder = tmp_path_factory.mktemp("upload")
    write_studies(folder, 1, seed=3, size=64, slices=(4, 4))
    paths = []
    for path in sorted(folder.glob("study-*/*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.PatientName = PATIENT
        paths.append(path.with_name(f"{PATIENT}-{path.name}"))
        dataset.save_as(paths[-1])
    notes = folder / f"{PATIENT}.txt"
    notes.write_text("no image", "utf-8")
    return [*paths, notes]


@pytest.fixture(scope="module")
def answers(predictor: Predictor, upload: list[Path]) -> page.Answers:
    return page.analyse(predictor, upload, page.demo_limits(16))


def test_slices_stand_in_the_table_with_the_worst_first(answers: page.Answers) -> None:
    table = page.slice_table(answers)

    highest = [row[page.SLICE_HEADERS.index("any")] for row in table]
    assert highest == sorted(highest, reverse=True)
    assert sorted(row[0] for row in table) == [1, 2, 3, 4]
    assert {row[1] for row in table} == {"file 1", "file 2", "file 3", "file 4"}
    assert table[0][0] == answers.worst
    assert all(len(row) == len(page.SLICE_HEADERS) for row in table)


def test_headline_is_the_highest_any_and_where_it_is(answers: page.Answers) -> None:
    highest = max(row.probabilities[ANY] for row in answers.rows if row.probabilities)

    text = page.headline(answers)

    assert text.startswith(f"### Highest probability of any hemorrhage: {highest:.3f}")
    assert f"At slice {answers.worst} of 4. 1 refused" in text


def test_refused_file_is_listed_with_its_reason(answers: page.Answers) -> None:
    assert [row[:2] for row in page.refused_table(answers)] == [["file 5", "failed"]]
    assert "not DICOM" in page.refused_table(answers)[0][2]


def test_zip_counts_as_one_file(predictor: Predictor, upload: list[Path], tmp_path: Path) -> None:
    packed = tmp_path / "study"  # content decides, not the name's ending
    with zipfile.ZipFile(packed, "w") as archive:
        for path in upload:
            archive.write(path, path.name)

    found = page.analyse(predictor, [upload[-1], packed], page.demo_limits(16))

    assert {row[1] for row in page.slice_table(found)} == {"file 2"}
    assert [row[0] for row in page.refused_table(found)] == ["file 1", "file 2"]


def test_nothing_shown_names_the_patient(predictor: Predictor, answers: page.Answers) -> None:
    shown = [page.headline(answers), page.slice_table(answers), page.refused_table(answers)]
    captions = [page.view(predictor, answers, number, "any").caption for number in range(1, 5)]

    assert "Planted" in str(answers.entries[0])  # it was there to be shown
    assert "Planted" not in str([*shown, *captions])


def test_view_is_the_slice_in_the_brain_window_with_the_edges_named(
    predictor: Predictor, answers: page.Answers
) -> None:
    shown = page.view(predictor, answers, 2, "subdural")

    assert shown.picture.shape == (64, 64, 3)
    assert shown.overlay is not None
    assert shown.overlay.shape == (64, 64, 3)
    assert "Slice 2 of 4" in shown.caption
    assert f"subdural {answers.six(2)[LABELS.index('subdural')]:.3f}" in shown.caption
    assert "left R, right L, top A, bottom P" in shown.caption
    assert page.view(predictor, answers, 2).overlay is None


def test_two_studies_are_listed_most_urgent_first(
    predictor: Predictor, upload: list[Path], tmp_path: Path
) -> None:
    write_studies(tmp_path, 1, seed=4, size=64, slices=(3, 3))
    paths = [*upload[:4], *sorted(tmp_path.glob("study-*/*.dcm"))]

    found = page.analyse(predictor, paths, page.demo_limits(16))

    lines = page.headline(found).splitlines()
    first, second = (float(line.split()[1]) for line in lines if line[:3] in ("1. ", "2. "))
    assert "2 studies, most urgent first:" in lines
    assert first >= second


def test_upload_that_is_gone_is_told_without_its_name(
    predictor: Predictor, upload: list[Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copy(upload[0], tmp_path))
    found = page.analyse(predictor, [copy], page.demo_limits(16))
    copy.unlink()

    for work in (
        lambda: page.view(predictor, found, 1),
        lambda: page.analyse(predictor, [copy], page.demo_limits(16)),
    ):
        with pytest.raises(IchError, match=r"^the upload is no longer there; upload it again$"):
            work()


def test_nothing_chosen_is_told(predictor: Predictor) -> None:
    with pytest.raises(NothingFoundError, match="no file was chosen"):
        page.analyse(predictor, [], page.demo_limits(16))


def test_file_over_the_limit_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    large = tmp_path / "large.dcm"
    with large.open("wb") as file:
        file.seek(2**20 + 1)
        file.write(b"\0")

    found = page.analyse(predictor, [large], page.demo_limits(1))

    assert page.headline(found).startswith("### No slice could be read.")
    assert [row[1] for row in page.refused_table(found)] == ["failed"]


@pytest.fixture(scope="module")
def demo(predictor: Predictor) -> gr.Blocks:
    async def build() -> gr.Blocks:  # without a running loop gradio opens some and closes none
        return build_demo(predictor, 16)

    return asyncio.run(build())


def test_page_warns_and_bounds_uploads(demo: gr.Blocks) -> None:
    texts = [str(getattr(block, "value", "")) for block in demo.blocks.values()]

    assert any("Research use only, not a medical device." in t and CAVEAT in t for t in texts)
    assert demo.max_file_size == 16 * 2**20
    assert demo.analytics_enabled is False
    assert demo.delete_cache == (300, 3600)
    upload = next(block for block in demo.blocks.values() if isinstance(block, gr.File))
    assert upload.file_types is None


def test_every_event_that_uses_the_model_waits_its_turn(demo: gr.Blocks) -> None:
    events = list(demo.fns.values())

    assert len(events) == 4
    assert {(one.concurrency_id, one.concurrency_limit) for one in events} == {("model", 1)}
    assert [one.api_name for one in events if one.api_visibility == "public"] == ["predict"]


def test_choosing_a_row_shows_its_slice(demo: gr.Blocks, answers: page.Answers) -> None:
    handler = next(one.fn for one in demo.fns.values() if one.fn.__name__ == "on_select")
    selected = SimpleNamespace(row_value=[3, "file 3"])

    number, picture, overlay, caption = handler(answers, "none", selected)

    assert (number, picture.shape, overlay) == (3, (64, 64, 3), None)
    assert "Slice 3 of 4" in caption


ASK = """
import json, sys
from gradio_client import Client, handle_file
address, folder, *files = sys.argv[1:]
client = Client(address, verbose=False, download_files=folder)
result = client.predict([handle_file(file) for file in files], "any", api_name="/predict")
print(json.dumps([result, client.view_api(print_info=False, return_format="dict")]))
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_served_page_answers_for_uploads_and_leaves_none_behind(
    tiny_bundle: Path, upload: list[Path], tmp_path: Path, port: int
) -> None:
    # server and client in processes of their own: their libraries leave sockets to the collector
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = {**os.environ, "TMPDIR": str(temporary), "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    serve = [sys.executable, "-m", "ich_cli", "serve", "--port", str(port), "-w", str(tiny_bundle)]
    with subprocess.Popen(
        serve, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            ask = [sys.executable, "-c", ASK, address, str(tmp_path / "client"), *map(str, upload)]
            asked = subprocess.run(ask, env=env, capture_output=True, text=True, check=False)
            second = subprocess.run(serve, env=env, capture_output=True, text=True, check=False)
            while_serving = [path.name for path in temporary.glob("ich-serve-*/**/*.dcm")]
        finally:
            server.send_signal(signal.SIGINT)
            _, told = server.communicate(timeout=60)

    assert address == f"http://127.0.0.1:{port}/"
    assert asked.returncode == 0, asked.stderr
    result, api = json.loads(asked.stdout)
    assert result[0].startswith("### Highest probability of any hemorrhage: ")
    assert len(result[1]["data"]) == 4
    assert "Planted" not in str(result)
    assert list(api["named_endpoints"]) == ["/predict"]
    assert server.returncode == 0
    assert CAVEAT in told
    assert second.returncode == 1
    assert f"ich: 127.0.0.1:{port} cannot be listened on; choose another --port" in second.stderr
    assert len(while_serving) == 4
    assert list(temporary.glob("ich-serve-*")) == []
