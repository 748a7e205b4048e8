from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ich_cli.core.errors import OutputError, UsageError
from ich_cli.core.labels import SUBTYPES
from ich_cli.core.phantom import PhantomConfig, generate_phantom, write_studies
from ich_cli.core.phantom.write_dicom import COLUMNS, to_datasets

SMALL = {"size": 96, "slices": (3, 3), "thickness": (5.0, 5.0)}
# PS3.3 A.3: General Study and Series, Frame of Reference, Image Plane, Image Pixel, CT Image
TYPE_1 = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID Modality
    PixelSpacing ImageOrientationPatient ImagePositionPatient ImageType SamplesPerPixel
    PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    RescaleIntercept RescaleSlope PixelData
"""
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
    ReferringPhysicianName StudyID SeriesNumber PositionReferenceIndicator Manufacturer
    InstanceNumber SliceThickness KVP AcquisitionNumber PatientPosition
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "set"
    write_studies(out, 2, 7, ("epidural",), **SMALL)  # type: ignore[arg-type]
    return out


def test_each_file_is_a_whole_ct_image(written: Path) -> None:
    files = sorted(written.glob("study-*/slice-*.dcm"))
    assert len(files) == 6
    for path in files:
        dataset = pydicom.dcmread(path)
        assert all(dataset[name].value not in (None, "") for name in TYPE_1.split())
        assert all(name in dataset for name in TYPE_2.split())
        assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
        assert dataset.RescaleIntercept == -1024
        assert str(dataset.SOPInstanceUID).startswith("2.25.")
        assert dataset.SOPInstanceUID.is_valid


def test_stored_values_are_the_hu(written: Path) -> None:
    config = PhantomConfig(8, ("subdural",), 96, (3, 3), (5.0, 5.0))
    study = generate_phantom(config)
    for k, dataset in enumerate(to_datasets(study, 12)):
        hu = dataset.pixel_array.astype(int) + int(dataset.RescaleIntercept)
        assert np.array_equal(hu, study.hu[k])
        assert dataset.PatientID == "PHANTOM-0012"
        assert dataset.PatientName == "PHANTOM^0012"
        assert dataset.InstanceNumber == k + 1


def test_the_table_names_each_file_once(written: Path) -> None:
    with (written / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert len({row["sop_uid"] for row in rows}) == len(rows) == 6
    assert len({row["study_uid"] for row in rows}) == 2
    for row in rows:
        dataset = pydicom.dcmread(written / row["path"], stop_before_pixels=True)
        assert row["sop_uid"] == dataset.SOPInstanceUID
        assert row["patient"] == dataset.PatientID
        assert row["any"] == row["epidural"]
        assert row["subdural"] == "0"


def test_masks_are_found_by_sop_uid_and_agree_with_the_table(written: Path) -> None:
    with (written / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["sop_uid"]: row for row in csv.DictReader(stream)}
    for folder in written.glob("study-*"):
        with np.load(folder / "masks.npz") as held:
            assert tuple(held["subtypes"]) == SUBTYPES
            for uid, mask in zip(held["sop_uids"], held["masks"], strict=True):
                assert rows[str(uid)]["epidural"] == str(int((mask & 1).any()))


def test_the_same_seed_writes_the_same_files(written: Path, tmp_path: Path) -> None:
    write_studies(tmp_path, 2, 7, ("epidural",), **SMALL)  # type: ignore[arg-type]
    names = sorted(p.relative_to(written) for p in written.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for name in names:
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes()


def test_existing_studies_are_replaced_with_overwrite_only(tmp_path: Path) -> None:
    settings = {**SMALL, "slices": (1, 1)}
    write_studies(tmp_path, 1, 1, (), **settings)  # type: ignore[arg-type]
    before = (tmp_path / "labels.csv").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_studies(tmp_path, 1, 2, (), **settings)  # type: ignore[arg-type]
    assert (tmp_path / "labels.csv").read_bytes() == before
    write_studies(tmp_path, 1, 2, (), overwrite=True, **settings)  # type: ignore[arg-type]
    assert (tmp_path / "labels.csv").read_bytes() != before


def test_a_study_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputError, match="No space left"):
        write_studies(tmp_path, 1, 1, (), **{**SMALL, "slices": (1, 1)})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError, match="out"):
        write_studies(tmp_path / "out", 1, 1)


def test_no_studies_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        write_studies(tmp_path, 0, 1)
