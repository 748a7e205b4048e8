"""Fixtures: the study with planted identifiers, and a workspace for each test."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.privacy.corpus import Planter, plant
from tests.privacy.ground import Ground


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Planter]:
    return plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture
def ground(
    planted: tuple[Path, Path, Planter],
    tmp_path: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ground:
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("ICH_WEIGHTS", str(tiny_bundle))
    for name in ("TMPDIR", "XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return Ground(*planted, work, temporary, tiny_bundle)
