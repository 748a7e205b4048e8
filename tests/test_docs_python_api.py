"""The recipes of docs/python-api.md run as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ich_cli import PhantomConfig, generate_phantom
from ich_cli.core.phantom.write_dicom import to_datasets

TEXT = (Path(__file__).parents[1] / "docs" / "python-api.md").read_text("utf-8")
RECIPES = dict(re.findall(r"^## (\d+ · .+?)$.*?^```python$(.*?)^```$", TEXT, re.M | re.S))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """Return a folder with the files that the recipes name."""
    folder = tmp_path_factory.mktemp("recipes")
    phantom = generate_phantom(PhantomConfig(3, ("subdural",), 64, (4, 4), (5.0, 5.0)))
    (folder / "study").mkdir()
    for number, dataset in enumerate(to_datasets(phantom), 1):
        dataset.save_as(folder / "study" / f"{number}.dcm", enforce_file_format=True)
    shutil.copyfile(folder / "study" / "2.dcm", folder / "scan.dcm")
    np.save(folder / "volume.npy", phantom.hu)
    shutil.copytree(tiny_bundle, folder / "my-bundle")
    return folder


def test_there_are_ten_recipes() -> None:
    assert len(RECIPES) == 10
    assert len(RECIPES) == len(re.findall(r"^## ", TEXT, re.M)) == TEXT.count("```python")


@pytest.mark.parametrize("title", RECIPES)
def test_recipe(title: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ICH_WEIGHTS", str(folder / "my-bundle"))
    code = compile(RECIPES[title], f"docs/python-api.md, {title}", "exec")
    exec(code, {"__name__": "recipe"})


def test_results_of_the_recipes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ways to the same probabilities: array, batch, files."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ICH_WEIGHTS", str(folder / "my-bundle"))
    names: list[dict[str, object]] = []
    for number in ("2 ", "5 "):
        names.append({})
        exec(next(code for title, code in RECIPES.items() if title.startswith(number)), names[-1])
    array, batch = (one["probabilities"] for one in names)
    np.testing.assert_array_equal(array, batch)
    assert np.shape(array) == (4, 6)
