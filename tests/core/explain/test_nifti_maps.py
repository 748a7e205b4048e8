"""Heat maps as NIfTI volumes: voxels, affine, missing planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from ich_cli.core.explain import explain, map_stems, volume_grid, write_nifti_maps
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Series, load, scan
from tests.support.dicom import ct, save, series

AFFINE = np.array([[-2.0, 0, 0, 32], [0, -2.0, 0, 30], [0, 0, 5.0, -20], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predictor:
    return Predictor.load(tiny_bundle, device="cpu")


def volume() -> NDArray[np.float32]:
    """Return a head of 32 x 28 x 3 voxels with a bright spot in each plane."""
    voxels = np.full((32, 28, 3), -1000, np.float32)
    voxels[4:28, 4:24] = 30
    for plane in range(3):
        voxels[8 + 4 * plane : 14 + 4 * plane, 8:14, plane] = 70
    return voxels


def only(path: Path) -> Series:
    (found,) = scan([path]).series
    return found


def saved(path: Path, voxels: NDArray[Any], affine: NDArray[Any] | None = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def test_a_volume_has_the_voxels_and_the_affine_of_its_input(
    tmp_path: Path, predictor: Predictor
) -> None:
    found = only(saved(tmp_path / "head.nii.gz", volume()))
    (path,) = write_nifti_maps(predictor, found, tmp_path, "head", ["subdural"])
    assert path == tmp_path / "head.subdural.nii.gz"
    image = nibabel.load(path)
    assert image.shape == (32, 28, 3)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(image.get_qform(), AFFINE)
    assert image.header.get_zooms() == (2, 2, 5)
    maps = np.asarray(image.dataobj)
    for index, ref in enumerate(found.slices):
        expected = explain(predictor, load(ref), ["subdural"]).maps["subdural"]
        np.testing.assert_allclose(maps[..., index], expected.T, atol=1e-6)


def test_other_orders_of_axes_and_planes_that_cannot_be_read(
    tmp_path: Path, predictor: Predictor
) -> None:
    voxels = volume()
    voxels[0, 0, 1] = np.nan
    turned = np.ascontiguousarray(voxels.transpose(2, 0, 1)[::-1])  # slices first, from the top
    affine = np.array([[0, -2.0, 0, 32], [0, 0, -2.0, 30], [-5.0, 0, 0, -10], [0, 0, 0, 1]])
    found = only(saved(tmp_path / "a.nii", turned, affine))
    (path,) = write_nifti_maps(predictor, found, tmp_path, "a", ["any"])
    image = nibabel.load(path)
    maps = np.asarray(image.dataobj)
    np.testing.assert_array_equal(image.affine, affine)
    assert maps.shape == (3, 32, 28)
    assert np.isnan(maps[1]).all()
    expected = explain(predictor, load(found.slices[0]), ["any"]).maps["any"]
    np.testing.assert_allclose(maps[2], expected.T, atol=1e-6)


def test_the_affine_of_a_dicom_series_follows_from_its_positions(tmp_path: Path) -> None:
    series(tmp_path, [10, 0, 5], PixelSpacing=["0.5", "0.4"])
    found = only(tmp_path)
    grid = volume_grid(found)
    x, y, z = found.slices[0].geometry.position or (0, 0, 0)
    assert z == 0
    place = grid.affine @ (3, 7, 2, 1)  # column 3, row 7, slice 2
    np.testing.assert_allclose(place[:3], (-(x + 3 * 0.4), -(y + 7 * 0.5), 10))
    assert (grid.shape, grid.note) == ((32, 32, 3), "")


def test_uneven_slices_and_missing_positions_are_said(tmp_path: Path) -> None:
    series(tmp_path / "a", [0, 5, 11])
    assert volume_grid(only(tmp_path / "a")).note == (
        "slices are not evenly spaced: the affine of the maps has their mean distance"
    )
    save(tmp_path / "b" / "1.dcm", ct(position=None))
    grid = volume_grid(only(tmp_path / "b"))
    assert (grid.placed, grid.note) == (False, "slices without positions: the maps have no affine")


def test_names_are_unique(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        saved(tmp_path / folder / "head.nii.gz", volume() + (folder == "b"))
    saved(tmp_path / "other.nii", volume() + 2)
    found = scan([tmp_path]).series
    first, second, third = (map_stems(found)[one.key] for one in found)
    assert (first, second) == (f"head-{found[0].key[:8]}", f"head-{found[1].key[:8]}")
    assert third == "other"
