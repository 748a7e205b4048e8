"""The wheel contains what the installed program needs, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("ich_cli", "gradio_app", "hub", "pyproject.toml", "README.md", "LICENSE", "model_card.md")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy, because building leaves folders in its source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in NEEDED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--disable-pip-version-check", "--wheel-dir", folder, source],
        check=True, timeout=300,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def source_files() -> dict[str, Path]:
    """Return name in the wheel → source file."""
    expected = {
        str(path.relative_to(ROOT)): path
        for package in ("ich_cli", "gradio_app")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    hub = {
        f"ich_cli/bundles/{path.relative_to(ROOT / 'hub')}": path
        for path in (ROOT / "hub").rglob("*") if path.is_file()
    }  # fmt: skip
    return {**expected, **hub, "ich_cli/templates/model_card.md": ROOT / "model_card.md"}


def test_the_wheel_contains_exactly_the_files_of_the_packages(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == set(source_files())


def test_files_are_equal_to_their_sources(wheel: zipfile.ZipFile) -> None:
    different = [
        name for name, path in source_files().items() if wheel.read(name) != path.read_bytes()
    ]
    assert different == []


def test_the_default_bundle_and_the_pages_files_are_included(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    assert {f"ich_cli/bundles/default/{name}" for name in (
        "config.json", "README.md", "0/model.safetensors", "1/model.safetensors",
    )} <= inside  # fmt: skip
    assert {f"gradio_app/static/{name}" for name in (
        "viewer.html", "viewer.css", "icon.png", "state.js",
    )} <= inside  # fmt: skip
    assert {"ich_cli/core/report/templates/report.html.j2", "ich_cli/py.typed"} <= inside


def test_metadata(wheel: zipfile.ZipFile) -> None:
    about = metadata(wheel)
    assert (about["Name"], about["License-Expression"]) == ("ich-cli", "Apache-2.0")
    assert about["Requires-Python"] == "<3.14,>=3.11"
    assert about.get_all("License-File") == ["LICENSE"]
    assert "research use only" in about.get_payload().lower()
    (entry,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "ich = ich_cli.main:main" in wheel.read(entry).decode()


def test_developer_tools_are_not_required(wheel: zipfile.ZipFile) -> None:
    wanted = [one for one in metadata(wheel).get_all("Requires-Dist") or [] if "extra" not in one]
    names = {one.split(">")[0].split("<")[0] for one in wanted}
    assert {"torch", "gradio", "pydicom"} <= names
    assert not names & {"pytest", "hypothesis", "mypy", "ruff", "setuptools", "twine", "uv"}


def test_the_wheel_is_under_20_mb(wheel: zipfile.ZipFile) -> None:
    assert wheel.filename is not None
    assert Path(wheel.filename).stat().st_size < 20_000_000
