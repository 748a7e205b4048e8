"""The Space: its files, its bundle, and its start."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from threading import Timer
from urllib.request import urlopen

import pytest
import yaml

from ich_cli.core.errors import HubError
from ich_cli.core.publish import push_space, space_files
from tests.hub.conftest import bundle_files, client_environment
from tests.hub.server import Hub

ROOT = Path(__file__).resolve().parents[2]
SPACE = "owner/demo"
WEIGHTS = f"owner/name@{'a1' * 20}"
LEFT_OUT = ("gradio", "accelerate", "tensorboard")  # the Space's SDK; what only training needs


def front_matter(card: bytes) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.decode().split("---\n")[1])
    return found


def stage(folder: Path, weights: str) -> Path:
    """Write the Space's files as in a clone of it."""
    for one in space_files(weights):
        path = folder / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            one.content if isinstance(one.content, bytes) else one.content.read_bytes()
        )
    return folder


def test_versions_are_those_of_the_project(tmp_path: Path) -> None:
    folder = stage(tmp_path, WEIGHTS)
    card = front_matter((folder / "README.md").read_bytes())
    assert f"gradio=={card['sdk_version']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert (card["sdk"], card["app_file"], card["models"]) == ("gradio", "app.py", ["owner/name"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = [one for one in project if re.split("[><=]", one)[0] not in LEFT_OUT]
    needed = (folder / "requirements.txt").read_text().splitlines()
    assert sorted(one for one in needed if not one.startswith("#")) == sorted(wanted)
    assert "do not give it scans of patients" in (folder / "README.md").read_text()


def test_only_code_is_included(tmp_path: Path) -> None:
    names = {one.path for one in space_files(WEIGHTS)}
    assert {"app.py", "ich_cli/core/predict/predictor.py", "gradio_app/static/viewer.css"} <= names
    assert not [one for one in names if "__pycache__" in one or one.endswith(".safetensors")]
    assert len((ROOT / "hub" / "space" / "app.py").read_text().splitlines()) < 20


def test_push(hub: Hub) -> None:
    first = push_space(SPACE, WEIGHTS)
    repository = hub.repositories["space", SPACE]
    assert (repository.sdk, repository.variables) == ("gradio", {"ICH_WEIGHTS": WEIGHTS})
    assert first.url == f"{hub.endpoint}/spaces/{SPACE}"
    assert repository.head.oid == first.commit
    assert len(repository.head.files) == len(space_files(WEIGHTS)) + 1  # and .gitattributes
    assert push_space(SPACE, WEIGHTS).changed == ()
    assert len(repository.commits) == 2
    assert len(hub.requests("POST", "/variables")) == 1  # setting it would start the Space anew


def test_push_replaces_the_bundle_and_deletes_old_code(hub: Hub) -> None:
    push_space(SPACE, WEIGHTS)
    hub.publish(SPACE, {"ich_cli/old.py": b"", "theirs.txt": b""}, kind="space")
    other = f"someone/else@{'b2' * 20}"
    assert sorted(push_space(SPACE, other).changed) == ["README.md", "ich_cli/old.py"]
    repository = hub.repositories["space", SPACE]
    assert repository.variables == {"ICH_WEIGHTS": other}
    assert front_matter(repository.head.files["README.md"].data)["models"] == ["someone/else"]
    assert "theirs.txt" in repository.head.files


def test_without_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(HubError, match="publishing needs a token"):
        push_space(SPACE, WEIGHTS)


@pytest.mark.slow
def test_it_starts_as_a_space_does(hub: Hub, tiny_bundle: Path, tmp_path: Path) -> None:
    commit = hub.publish("owner/name", bundle_files(tiny_bundle))
    folder = stage(tmp_path / "app", f"owner/name@{commit}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = client_environment(hub, tmp_path) | {
        "ICH_WEIGHTS": f"owner/name@{commit}",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(tmp_path / "uploads"),
        "HF_TOKEN": "",  # a Space has none unless it is given one
    }
    where = [sys.executable, "-c", "import ich_cli; print(ich_cli.__file__)"]
    code = subprocess.run(where, cwd=folder, env=environment, capture_output=True, check=True)
    assert str(folder) in code.stdout.decode()  # it runs the code that went along, not this one
    log = tmp_path / "log"
    with (
        log.open("wb") as notes,
        subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=notes,
        ) as space,
    ):  # fmt: skip
        watchdog = Timer(300, space.kill)
        watchdog.start()
        try:
            assert space.stdout is not None
            address = space.stdout.readline().strip()  # it says where it listens, once it does
            assert address.rstrip("/") == f"http://127.0.0.1:{port}", log.read_text()
            page = urlopen(address, timeout=60).read().decode()
        finally:
            watchdog.cancel()
            space.kill()
    assert "Research use only, not a medical device." in page
    # the caveat of the configured bundle, which no other bundle has
    assert "nothing: random numbers" in log.read_text()


def test_environment_of_processes_is_clean() -> None:
    assert "PYTHONPATH" not in client_environment(None, Path("x"))
    assert os.environ.get("HF_HUB_OFFLINE") == "1"  # as conftest.py says: no test leaves localhost
