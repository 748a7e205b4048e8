"""Fixtures shared by tests of several packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.phantom import write_studies


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two small heads, one with subdural blood and one with blood in the ventricles."""
    root = tmp_path_factory.mktemp("phantoms") / "set"
    write_studies(root, 2, 3, ("subdural",), size=96, slices=(10, 10), thickness=(8, 8))
    return root
