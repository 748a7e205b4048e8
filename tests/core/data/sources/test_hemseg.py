from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.datasets import make_hemseg, make_rsna, phantom, pseudonym
from tests.support.pipeline import evaluate, explain, invoke, preprocess, train


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return RSNA's folder of images."""
    return make_rsna(tmp_path_factory.mktemp("rsna"))


def test_masks_find_their_studies_among_the_images(images: Path, tmp_path: Path) -> None:
    data = preprocess(make_hemseg(tmp_path), tmp_path / "prepared", "--images", images)
    assert data.about["source"]["kind"] == "hemseg"
    assert (data.about["studies"], data.about["patients"]) == (3, 2)
    studies = {pseudonym(10, "study", p, n) for p, n in ((1, 1), (1, 2), (3, 1))}
    assert {row.study for row in data.rows} == studies
    positive = data.labels[:, 0] == 1
    expected = sum(
        int(phantom(seed, subtypes).masks.any(axis=(1, 2)).sum())
        for seed, subtypes in ((101, ("intraparenchymal",)), (301, ("subdural",)))
    )
    assert int(positive.sum()) == expected
    assert np.isnan(data.labels[positive, 1:]).all()
    bundle = train(data, tmp_path / "run", "--mask-weight", 1)
    assert evaluate(data, bundle)["study"]["count"] == 3
    name = next(row.name for row in data.rows if row.labels[0] == 1)
    (file,) = images.rglob(f"{name}.dcm")
    assert explain(file, bundle, tmp_path / "map.png")


def test_masks_without_images_say_what_to_give(tmp_path: Path) -> None:
    result = invoke("preprocess", make_hemseg(tmp_path), "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "--images" in result.stderr


def test_images_of_other_studies_are_refused(images: Path, tmp_path: Path) -> None:
    folder = make_hemseg(tmp_path)
    for path in folder.rglob("*.nii.gz"):
        path.rename(path.with_name(f"0{path.name}"))
    result = invoke("preprocess", folder, "--images", images, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "no images of the masks" in result.stderr
    assert result.stderr.count("\n") == 1
