"""NIfTI files as slices in HU: values, geometry, and files that are damaged or hostile."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from ich_cli.core.dicom import Limits
from ich_cli.core.nifti import GUESSED
from ich_cli.core.phantom import PhantomConfig, generate_phantom
from ich_cli.core.phantom.write_dicom import to_datasets
from ich_cli.core.predict import Predictor
from ich_cli.core.series import load, scan

AFFINE = np.array([[-0.5, 0, 0, 64], [0, -0.5, 0, 48], [0, 0, 5.0, -20], [0, 0, 0, 1]])
"""RAS+ of LPS rows and columns: first pixel at right and front, 0.5 x 0.5 x 5 mm."""


def volume() -> NDArray[np.int16]:
    """Return voxels ``(i, j, k)`` = (4, 3, 2): air, and one known value a plane."""
    voxels = np.full((4, 3, 2), -1000, np.int16)
    voxels[1, 2, 0], voxels[3, 0, 1] = 60, 75
    return voxels


def save(path: Path, voxels: NDArray[Any], affine: NDArray[Any] | None = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz", "head without ending"])
def test_planes_are_slices_in_hu_with_dicom_geometry(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / ("x.nii.gz" if name.endswith("gz") else "x.nii"), volume())
    path = path.rename(tmp_path / name)

    (series,) = scan([path]).series

    assert len(series) == 2
    first, second = (load(ref) for ref in series.slices)
    assert first.hu.tolist() == [[-1000] * 4, [-1000] * 4, [-1000, 60, -1000, -1000]]
    assert second.hu[0, 3] == 75
    geometry = second.geometry
    # RAS (x, y, z) = (64, 48, -20 + 5) is LPS (-64, -48, -15)
    assert geometry.position == (-64.0, -48.0, -15.0)
    assert (geometry.row_direction, geometry.column_direction) == ((1, 0, 0), (0, 1, 0))
    assert (geometry.spacing, geometry.thickness) == ((0.5, 0.5), 5.0)
    assert (second.id.frame, second.id.instance) == (2, 2)


@pytest.mark.parametrize(
    ("slope", "intercept", "air"), [(2, 1000, -1000), (0, 5, -1000), (float("nan"), 0, -1000)]
)
def test_slope_and_intercept_are_applied_and_zero_means_none(
    tmp_path: Path, slope: float, intercept: float, air: float
) -> None:
    raw = bytearray(save(tmp_path / "a.nii", volume()).read_bytes())
    raw[112:120] = np.array([slope, intercept], "<f4").tobytes()  # scl_slope, scl_inter
    (tmp_path / "b.nii").write_bytes(raw)
    (series,) = scan([tmp_path / "b.nii"]).series
    hu = load(series.slices[0]).hu
    assert hu[0, 0] == air  # 2 x -1000 + 1000, or as stored
    assert hu[2, 1] == (2 * 60 + 1000 if slope == 2 else 60)


def test_planes_run_from_feet_to_head_whatever_the_order_of_axes(tmp_path: Path) -> None:
    # voxel axes (S, L, P), the first from head to feet: k of the volume above is 1 - i here
    voxels = np.ascontiguousarray(volume().transpose(2, 0, 1)[::-1])
    affine = np.array([[0, -0.5, 0, 64], [0, 0, -0.5, 48], [-5.0, 0, 0, -15], [0, 0, 0, 1]])
    (series,) = scan([save(tmp_path / "a.nii.gz", voxels, affine)]).series
    first, second = (load(ref) for ref in series.slices)
    assert (first.hu[2, 1], second.hu[0, 3]) == (60, 75)
    assert first.geometry.position == (-64.0, -48.0, -20.0)


def test_hu_and_places_equal_simpleitk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    voxels = rng.integers(-1000, 1500, (6, 5, 4)).astype(np.int16)
    path = save(tmp_path / "a.nii.gz", voxels, AFFINE)
    image = SimpleITK.ReadImage(str(path))
    expected = SimpleITK.GetArrayFromImage(image)
    (series,) = scan([path]).series
    for index, ref in enumerate(series.slices):
        ct = load(ref)
        np.testing.assert_array_equal(ct.hu, expected[index])
        assert ct.geometry.position == pytest.approx(
            image.TransformIndexToPhysicalPoint((0, 0, index))
        )


def test_uids_are_valid_stable_and_of_the_content(tmp_path: Path) -> None:
    one, two = save(tmp_path / "a.nii", volume()), save(tmp_path / "b.nii", volume())
    three = save(tmp_path / "c.nii", volume() + np.int16(1))
    ids = [scan([path]).series[0].slices[0].id for path in (one, two, three)]
    assert ids[0].sop_uid.startswith("2.25.")
    assert len(ids[0].sop_uid) <= 64
    assert ids[0][2:] == ids[1][2:]
    assert len({id.study_uid for id in ids}) == 2


def test_a_volume_without_orientation_has_a_note(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(volume(), None)
    nibabel.save(image, tmp_path / "a.nii")
    (series,) = scan([tmp_path / "a.nii"]).series
    assert GUESSED in series.slices[0].notes


def nan(raw: bytearray) -> bytes:
    raw[70:74] = (16).to_bytes(2, "little") + (32).to_bytes(2, "little")
    return bytes(raw[:352]) + np.full(24, np.nan, "<f4").tobytes()


def dim(*sides: int) -> Callable[[bytearray], bytes]:
    def change(raw: bytearray) -> bytes:
        raw[40:56] = np.array([len(sides), *sides, *[1] * (7 - len(sides))], "<i2").tobytes()
        return bytes(raw)

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: bytes(raw[:-2]), "ends within its voxels"),
        (dim(30000, 30000, 30000), "NIfTI volume of 30000"),
        (dim(4096, 4096, 4096), "MiB, over the limit"),
        (dim(4, 3, 2, 5), "4 dimensions"),
        (dim(4, 3, -2), "NIfTI volume of"),
        (lambda raw: bytes(raw[:344]) + b"ni1\0" + bytes(raw[348:]), "two files"),
        (lambda raw: bytes(raw[:352]) + np.full(24, 40, "<i2").tobytes(), "no air"),
        (nan, "not finite"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_or_hostile_file_is_one_line(
    tmp_path: Path, damage: Callable[[bytearray], bytes], reason: str, compressed: bool
) -> None:
    raw = damage(bytearray(save(tmp_path / "a.nii", volume()).read_bytes()))
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(raw) if compressed else raw)
    found = scan([path])
    if found.refused:
        error: Exception = found.refused[0].error
    else:
        with pytest.raises(Exception, match=r"b\.nii\.gz") as caught:
            load(found.series[0].slices[0])
        error = caught.value
    assert reason in str(error)


def test_a_decompression_bomb_uses_no_more_memory_than_the_limit(tmp_path: Path) -> None:
    raw = dim(1000, 1000, 100)(bytearray(save(tmp_path / "a.nii", volume()).read_bytes()))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(raw + bytes(10**8)))
    found = scan([tmp_path / "b.nii.gz"], Limits(max_volume_bytes=10**8))
    assert "over the limit of 95" in str(found.refused[0].error)


@pytest.fixture(scope="module")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an untilted series of 6 slices, evenly spaced, as DICOM."""
    config = PhantomConfig(40, ("subdural",), size=128, slices=(6, 6), thickness=(5, 5))
    study = generate_phantom(config)
    assert study.geometry.tilt == 0
    folder = tmp_path_factory.mktemp("phantom") / "dicom"
    folder.mkdir()
    for number, dataset in enumerate(to_datasets(study)):
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def with_dcm2niix(folder: Path, out: Path) -> None:
    if not shutil.which("dcm2niix"):
        pytest.skip("dcm2niix is not installed (Debian package dcm2niix)")
    command = ["dcm2niix", "-b", "n", "-z", "n", "-f", out.stem, "-o", out.parent, folder]
    subprocess.run(command, check=True, capture_output=True)


def with_simpleitk(folder: Path, out: Path) -> None:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    SimpleITK.WriteImage(reader.Execute(), str(out))


@pytest.mark.parametrize("convert", [with_dcm2niix, with_simpleitk])
def test_a_series_has_the_same_predictions_as_dicom_and_as_nifti_of_other_tools(
    phantom_folder: Path, tmp_path: Path, tiny_bundle: Path, convert: Callable[[Path, Path], None]
) -> None:
    convert(phantom_folder, tmp_path / "head.nii")
    predictor = Predictor.load(tiny_bundle, device="cpu")
    dicom = predictor.predict(phantom_folder)
    nifti = predictor.predict(tmp_path / "head.nii")
    assert len(dicom) == len(nifti) == 6
    for one, other in zip(dicom, nifti, strict=True):
        assert other.probabilities == pytest.approx(one.probabilities, abs=1e-3)


def test_a_sheared_affine_does_not_stretch_pixels(tmp_path: Path) -> None:
    # dcm2niix writes a gantry tilted by 18.5 degrees so: 0.4883 mm appear as 0.5377
    affine = np.array(
        [[-0.48828, 0, 0, 125], [0, 0.51489, 0, -113], [0, 0.15493, 3.79512, -73], [0, 0, 0, 1]]
    )
    image = nibabel.Nifti1Image(volume(), affine)
    image.header["pixdim"][1:4] = (0.48828, 0.48828, 4.0)
    nibabel.save(image, tmp_path / "a.nii")
    geometry = scan([tmp_path / "a.nii"]).series[0].slices[0].geometry
    assert geometry.spacing == pytest.approx((0.48828, 0.48828))
    assert geometry.thickness == pytest.approx(4.0)
