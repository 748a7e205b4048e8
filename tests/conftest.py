"""Shared fixtures. Tests need no network; real files are used where they are present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at import: before anything imports the client
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real files that are not part of the project; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real files are absent: ../shared/data is not part of the project")
    return SHARED_DATA
