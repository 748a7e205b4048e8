"""Predictions of the default bundle for DICOM files stored turned, mirrored or oblong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Predictor
from ich_cli.core.series import scan
from ich_cli.core.study import by_study
from tests.support.orientations import ORIENTATIONS, oblong, reoriented, restored


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(device="cpu")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slices of a phantom with blood."""
    out = tmp_path_factory.mktemp("phantom")
    write_studies(out, 1, 700, ("intraparenchymal",), size=256, slices=(3, 3))
    return out / "study-0001"


def predict(
    predictor: Predictor, study: Path, out: Path, change: Callable[[CTSlice], CTSlice] | None
) -> NDArray[np.float64]:
    """Store the files of a study in another way and return its probabilities, ``(3, 6)``."""
    for path in study.glob("*.dcm"):
        ds = pydicom.dcmread(path)
        (restored(ds, change) if change else ds).save_as(out / path.name)
    rows = predictor.predict(out)
    assert [row.status for row in rows] == ["ok"] * 3
    return np.array([row.probabilities for row in rows])


def test_all_orientations_have_the_same_probabilities(
    predictor: Predictor, study: Path, tmp_path: Path
) -> None:
    expected = predict(predictor, study, tmp_path, None)
    assert expected[:, 0].max() > 0.5
    for turns, mirrored in ORIENTATIONS:  # (1, False) is case 07
        change = partial(reoriented, turns=turns, mirrored=mirrored)
        found = predict(predictor, study, tmp_path, change)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def study_probability(predictor: Predictor, folder: Path) -> float:
    (found,) = by_study(predictor.predict_all(scan([folder])), predictor.study_rule())
    assert found.probabilities is not None
    return found.probabilities[0]


def test_oblong_pixels_hardly_change_the_probability_of_a_study(
    predictor: Predictor, tmp_path: Path
) -> None:
    write_studies(tmp_path, 1, 700, (), slices=(4, 4))
    square = study_probability(predictor, tmp_path / "study-0001")
    for axis in (0, 1):  # 1 is case 08
        for path in (tmp_path / "study-0001").glob("*.dcm"):
            out = tmp_path / f"axis {axis}" / path.name
            out.parent.mkdir(exist_ok=True)
            restored(pydicom.dcmread(path), partial(oblong, axis=axis)).save_as(out)
        assert study_probability(predictor, tmp_path / f"axis {axis}") == pytest.approx(
            square, abs=0.05
        )
