"""Tests of DICOM reports: read by pydicom, checked by external tools."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts

from ich_cli.core.errors import IchError, OutputError
from ich_cli.core.labels import LABELS
from ich_cli.core.report import StudyResult, write_dicom
from ich_cli.core.report.dicom import codes as dicom_codes
from ich_cli.core.report.dicom.uids import Identity
from ich_cli.core.study import predict_study
from ich_cli.core.study.quality_gate import Reason
from tests.support.dicom import enhanced, save, series
from tests.support.reports import result, results

NOON = datetime(2026, 1, 2, 12, 30)
TILTED = [1.0, 0.0, 0.0, 0.0, 0.9483237, -0.3173047]  # 18.5 degrees, as a real scanner wrote it
HEIGHTS = [0.0, 4.22, 8.44, 12.66, 20.04]  # uneven


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tilted")
    series(
        folder, HEIGHTS, orientation=TILTED, FrameOfReferenceUID="1.2.3.77",
        PositionReferenceIndicator="OM", GantryDetectorTilt="18.5",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def study(source: Path, tiny_bundle: Path) -> StudyResult:
    return result(tiny_bundle, source, subdural=0.0)


@pytest.fixture(scope="module")
def files(study: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_dicom(study, tmp_path_factory.mktemp("out") / "study", when=NOON)


@pytest.fixture(scope="module")
def written(files: list[Path]) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in files]


def items(dataset: Dataset) -> list[Dataset]:
    """Return all content items below a data set."""
    below = list(dataset.get("ContentSequence", ()))
    return [*below, *(deeper for one in below for deeper in items(one))]


def named(found: list[Dataset], meaning: str) -> list[Dataset]:
    return [one for one in found if one.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def groups(report: Dataset) -> list[Dataset]:
    return named(items(report), "Measurement Group")


def test_there_is_a_report_and_a_map_for_each_slice(written: list[Dataset]) -> None:
    assert [str(one.SOPClassUID) for one in written] == [
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
        *["1.2.840.10008.5.1.4.1.1.7"] * len(HEIGHTS),  # Secondary Capture Image Storage
    ]
    assert {one.StudyInstanceUID for one in written} == {"1.2.3"}
    own = {one.SeriesInstanceUID for one in written}
    assert len(own) == 2
    assert "1.2.3.4" not in own
    assert len({one.SOPInstanceUID for one in written}) == 1 + len(HEIGHTS)
    assert all(uid.startswith("2.25.") for uid in own)


def test_each_label_is_coded_with_its_probability(
    written: list[Dataset], study: StudyResult
) -> None:
    found = groups(written[0])

    assert len(found) == len(LABELS)
    for label, group, p in zip(LABELS, found, study.study.probabilities or (), strict=True):
        finding = named(items(group), "Finding")[0].ConceptCodeSequence[0]
        site = named(items(group), "Finding Site")[0].ConceptCodeSequence[0]
        assert finding.CodeValue == dicom_codes.FINDINGS[label].value
        assert site.CodeValue == dicom_codes.SITES[label].value
        first = named(items(group), "Certainty of Finding")[0].MeasuredValueSequence[0]
        assert float(first.NumericValue) == pytest.approx(100 * p, abs=1e-4)
        unit = first.MeasurementUnitsCodeSequence[0]
        assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("%", "UCUM")


def test_probabilities_of_slices_refer_to_their_images(
    written: list[Dataset], study: StudyResult
) -> None:
    numbers = named(items(groups(written[0])[0]), "Certainty of Finding")[1:]

    output = {
        number.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID: float(
            number.MeasuredValueSequence[0].NumericValue
        )
        for number in numbers
    }
    assert output == pytest.approx(
        {one.ref.id.sop_uid: 100 * one.row.by_label()["any"] for one in study.slices}, abs=1e-4
    )
    evidence = written[0].CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4"


def test_report_has_verdict_notice_and_quality_findings(
    written: list[Dataset], study: StudyResult
) -> None:
    found = items(written[0])

    verdict = named(found, "Intracranial hemorrhage")[0].ConceptCodeSequence[0]
    assert verdict.CodeValue == dicom_codes.VERDICTS[study.study.verdict].value
    output = [one.TextValue for one in named(found, "Comment")]
    assert output[0] == "Research use only, not a medical device."
    assert "never saw a real CT" in output[1]
    assert [f"Quality: {reason.text}" for reason in study.study.quality] == output[2:]
    parameters = [one.TextValue for one in named(found, "Algorithm Parameters")]
    assert f"weights sha256 {study.predictor.bundle.config.sha256}" in parameters
    assert written[0].VerificationFlag == "UNVERIFIED"
    assert written[0].PreliminaryFlag == "PRELIMINARY"


def test_report_says_which_series_was_used(study: StudyResult, tmp_path: Path) -> None:
    note = "answered from series 1.5: 5.0 mm; 2 other series not used"
    noted = replace(study, study=replace(study.study, note=note))

    report = pydicom.dcmread(write_dicom(noted, tmp_path / "out", when=NOON)[0])

    assert named(items(report), "Comment")[-1].TextValue == f"Note: {note}"


def test_maps_have_the_positions_of_their_slices(written: list[Dataset], source: Path) -> None:
    slices = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, source.glob("*.dcm"))}

    for number, image in enumerate(written[1:], 1):
        of = slices[image.SourceImageSequence[0].ReferencedSOPInstanceUID]
        for keyword in (
            "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
            "FrameOfReferenceUID", "PositionReferenceIndicator", "Rows", "Columns",
        ):  # fmt: skip
            assert image[keyword].value == of[keyword].value, keyword
        assert image.InstanceNumber == number
        assert list(image.PatientOrientation) == ["L", "P"]
        assert image.pixel_array.shape == (32, 32, 3)
        assert image.BurnedInAnnotation == "NO"


def test_maps_show_the_slice(written: list[Dataset]) -> None:
    assert all(image.pixel_array[16, 16].max() > 0 for image in written[1:])


def test_the_same_content_and_time_give_the_same_bytes(study: StudyResult, tmp_path: Path) -> None:
    one = write_dicom(study, tmp_path / "a", when=NOON)
    two = write_dicom(study, tmp_path / "b", when=NOON)
    other = write_dicom(study, tmp_path / "a", when=datetime(2026, 1, 2, 12, 31))  # replaces

    assert [path.read_bytes() for path in two] != [path.read_bytes() for path in other]
    assert [path.name for path in one] == [path.name for path in two]
    uid = pydicom.dcmread(two[0]).SOPInstanceUID
    assert uid != pydicom.dcmread(other[0]).SOPInstanceUID
    three = write_dicom(study, tmp_path / "c", when=NOON)
    assert [path.read_bytes() for path in two] == [path.read_bytes() for path in three]


@pytest.mark.parametrize(
    "changed",
    [{"note": "answered from series 1.5: 5.0 mm; 2 other series not used"},
     {"verdict": "positive"}, {"verdict": "negative"},
     {"probabilities": (0.5, 0.1, 0.1, 0.1, 0.1, 0.1)},
     {"positive": ()}, {"quality": (Reason("motion", "motion"),)}],
)  # fmt: skip
def test_different_study_results_have_different_uids(
    changed: dict[str, Any], study: StudyResult
) -> None:
    other = replace(study, study=replace(study.study, **changed))

    assert Identity.of(other, NOON) != Identity.of(study, NOON)
    assert Identity.of(other, NOON) == Identity.of(replace(other), NOON)


def test_other_thresholds_have_different_uids(study: StudyResult) -> None:
    other = replace(study, thresholds={**study.thresholds, "subdural": 0.9})

    assert Identity.of(other, NOON) != Identity.of(study, NOON)


def test_all_series_has_different_uids(tiny_bundle: Path, tmp_path: Path) -> None:
    heights = [5.0 * k for k in range(8)]
    series(tmp_path / "a", heights, series="1.2.3.5")
    series(tmp_path / "b", heights, series="1.2.3.6", ConvolutionKernel="BONE")
    one = result(tiny_bundle, tmp_path)
    every = predict_study(one.group, one.rule, all_series=True)

    uids = {
        pydicom.dcmread(path).SOPInstanceUID
        for at, made in enumerate((one, replace(one, study=every), one))
        for path in write_dicom(made, tmp_path / f"out-{at}", when=NOON)
    }

    assert len(uids) == 2 * (1 + 16)


def test_maps_of_instances_with_one_uid_have_different_uids(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    series(tmp_path / "in", [0, 5, 10], SOPInstanceUID="1.2.3.9")

    _, *maps = write_dicom(result(tiny_bundle, tmp_path / "in"), tmp_path / "out", when=NOON)

    assert len({pydicom.dcmread(path).SOPInstanceUID for path in maps}) == 3


def test_two_patients_with_the_same_uids_have_different_uids(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    series(tmp_path / "a", [0, 5, 10], PatientID="A")
    series(tmp_path / "b", [0, 5, 10], PatientID="B")

    one, other = results(tiny_bundle, tmp_path)

    assert Identity.of(one, NOON).key != Identity.of(other, NOON).key


PATIENT = {
    "PatientName": "PLANTED^NAME",
    "PatientID": "PLANTED-ID",
    "AccessionNumber": "PLANTED-NO",
    "PatientBirthDate": "19010101",
}


def test_no_file_names_the_patient_by_default(files: list[Path]) -> None:
    for path in files:
        assert b"PLANTED" not in path.read_bytes()
        assert b"19010101" not in path.read_bytes()
        one = pydicom.dcmread(path)
        for keyword in (*PATIENT, "PatientSex", "StudyDate", "StudyID", "ReferringPhysicianName"):
            assert one[keyword].is_empty  # type 2: there, and empty


def test_keep_patient_copies_what_an_archive_files_by(tiny_bundle: Path, tmp_path: Path) -> None:
    series(
        tmp_path / "in", [0, 5, 10], StudyDate="20250102", StudyID="S7", PatientSex="F",
        PatientComments="PLANTED COMMENT", StudyDescription="PLANTED STUDY",
        SpecificCharacterSet="ISO_IR 100", ReferringPhysicianName="M\u00fcller^Doctor",
    )  # fmt: skip
    study = result(tiny_bundle, tmp_path / "in")

    paths = write_dicom(study, tmp_path / "out", keep_patient=True, when=NOON)

    for path in paths:
        one = pydicom.dcmread(path)
        assert {keyword: str(one[keyword].value) for keyword in PATIENT} == PATIENT
        assert (one.StudyDate, one.StudyID, one.PatientSex) == ("20250102", "S7", "F")
        assert str(one.ReferringPhysicianName) == "M\u00fcller^Doctor"
        assert one.SpecificCharacterSet == "ISO_IR 192"
        for output in (b"PLANTED HOSPITAL", b"PLANTED COMMENT", b"PLANTED STUDY"):
            assert output not in path.read_bytes()


def test_malformed_date_is_left_out(tiny_bundle: Path, tmp_path: Path) -> None:
    series(tmp_path / "in", [0, 5, 10])
    for path in (tmp_path / "in").glob("*.dcm"):
        path.write_bytes(path.read_bytes().replace(b"19010101", b"1901/1/1"))

    paths = write_dicom(result(tiny_bundle, tmp_path / "in"), tmp_path / "out", keep_patient=True)

    assert pydicom.dcmread(paths[0])["PatientBirthDate"].is_empty
    assert pydicom.dcmread(paths[0]).PatientID == "PLANTED-ID"


def test_each_frame_of_an_enhanced_image_has_a_map(tiny_bundle: Path, tmp_path: Path) -> None:
    stored = np.zeros((3, 32, 32), int)  # air around tissue
    stored[:, 4:28, 4:28] = 1064
    heights = (0.0, 5.0, 12.5)
    positions = [(0.0, 0.0, z) for z in heights]
    save(tmp_path / "in" / "e.dcm", enhanced(stored, positions))
    study = result(tiny_bundle, tmp_path / "in")

    report, *maps = map(pydicom.dcmread, write_dicom(study, tmp_path / "out", when=NOON))

    assert [float(image.ImagePositionPatient[2]) for image in maps] == list(heights)
    assert [image.SourceImageSequence[0].ReferencedFrameNumber for image in maps] == [1, 2, 3]
    assert all(list(image.PixelSpacing) == [0.5, 0.5] for image in maps)
    numbers = named(items(groups(report)[0]), "Certainty of Finding")[1:]
    frames = [one.ContentSequence[0].ReferencedSOPSequence[0] for one in numbers]
    assert [one.ReferencedFrameNumber for one in frames] == [1, 2, 3]


def test_pixels_that_may_show_a_patient_have_no_map(tiny_bundle: Path, tmp_path: Path) -> None:
    series(tmp_path / "in", [0, 5, 10], BurnedInAnnotation="YES")

    paths = write_dicom(result(tiny_bundle, tmp_path / "in"), tmp_path / "out")

    assert [path.name for path in paths] == ["report.dcm"]


def test_a_folder_with_other_files_is_refused(study: StudyResult, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("mine")
    (tmp_path / "b").write_text("a file")

    with pytest.raises(OutputError, match="contains other files"):
        write_dicom(study, tmp_path / "a")
    with pytest.raises(OutputError, match="is a file: choose another folder"):
        write_dicom(study, tmp_path / "b")

    assert [one.name for one in (tmp_path / "a").iterdir()] == ["thesis.txt"]


def test_slices_without_uids_cannot_be_referenced(tiny_bundle: Path, tmp_path: Path) -> None:
    series(tmp_path / "in", [0, 5, 10], SOPInstanceUID=None)

    with pytest.raises(IchError, match="no slice of a DICOM file has a prediction and UIDs"):
        write_dicom(result(tiny_bundle, tmp_path / "in"), tmp_path / "out")

    assert not (tmp_path / "out").exists()


# Not in pydicom's dictionary of DICOM's context groups; docs/reports.md cites where they stand.
_FROM_ELSEWHERE = {"82999001", "21454007", "35486000"}


def test_codes_are_those_of_dicoms_own_dictionary() -> None:
    known = {
        (scheme, code)
        for scheme, names in concepts.items()
        for found in names.values()
        for code in found
    }
    used = [one for one in vars(dicom_codes).values() if isinstance(one, dicom_codes.CodedConcept)]
    used += [*dicom_codes.FINDINGS.values(), *dicom_codes.SITES.values()]
    used += dicom_codes.VERDICTS.values()

    unknown = {one.value for one in used if (one.scheme, one.value) not in known}
    assert unknown == _FROM_ELSEWHERE
    pairs = {(dicom_codes.FINDINGS[x].value, dicom_codes.SITES[x].value) for x in LABELS}
    assert len(pairs) == len(LABELS)  # a finding and its site tell the labels apart


def run_tool(name: str, *arguments: Any) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (apt: dcmtk, dicom3tools)")
    done = subprocess.run([name, *map(str, arguments)], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode("utf-8", "replace")


@pytest.mark.parametrize("keep", [False, True])
def test_an_independent_validator_finds_no_error(
    keep: bool, study: StudyResult, tmp_path: Path
) -> None:
    for path in write_dicom(study, tmp_path / "out", keep_patient=keep)[:2]:
        output = run_tool("dciodvfy", path)
        assert "Error" not in output, output


def test_dcmtk_prints_the_report(study: StudyResult, tmp_path: Path) -> None:
    report, *_ = write_dicom(study, tmp_path / "out")

    output = run_tool("dsrdump", report)

    assert "Comprehensive 3D SR Document" in output
    assert '(1386000,SCT,"Intracranial hemorrhage")' in output
