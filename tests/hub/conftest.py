"""Fixtures: a Hub on localhost, and the client configured to use it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.server import WRITE, Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Start an empty Hub; configure the client of this process to use it, with an empty cache."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    server = Hub()
    home = tmp_path / "hf-home"
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,  # the Hub of the tests stores large files by LFS
        "ENDPOINT": server.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_TOKEN_PATH": str(home / "token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", WRITE)
    close_session()
    yield server
    close_session()
    server.close()
    assert server.unknown == [], "requests that the Hub of the tests does not know"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace sleeping between attempts; return the waiting times in seconds."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def bundle_files(folder: Path) -> dict[str, bytes]:
    """Return a bundle's files: path in the repository → content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def client_environment(hub: Hub | None, folder: Path) -> dict[str, str]:
    """Return the environment of a process that uses `hub`, with its own home folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ICH_", "PYTHONPATH"))}
    return kept | {
        "HF_HOME": str(folder / "home"),
        "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
        "HF_TOKEN": WRITE,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
    }
