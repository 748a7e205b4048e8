"""Grouping: which slices are one series."""

from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.series import Scan, scan
from ich_cli.core.system import derived_uid
from tests.support.dicom import ct, put, save, series, tissue


def stacks(found: Scan) -> list[list[str]]:
    return [[Path(ref.id.path).name for ref in one.slices] for one in found.series]


def test_one_series_uid_in_two_studies_is_two_series(tmp_path: Path) -> None:
    for study in ("1.1", "1.2"):
        series(tmp_path / study, [0, 5], StudyInstanceUID=study, series="1.9")
    found = scan([tmp_path])
    assert [(one.study, len(one)) for one in found.series] == [("1.1", 2), ("1.2", 2)]
    note = "SeriesInstanceUID is used in several studies: taken apart"
    assert [one.notes for one in found.series] == [(note,), (note,)]


def test_two_patients_with_the_same_uids_are_two_series(tmp_path: Path) -> None:
    for patient in ("A", "B"):
        series(tmp_path / patient, [0, 5], PatientID=patient)
    found = scan([tmp_path])
    assert [(one.patient, len(one)) for one in found.series] == [("A", 2), ("B", 2)]
    note = "StudyInstanceUID is used for several patients: taken apart"
    assert all(note in one.notes for one in found.series)
    assert len({one.key for one in found.series}) == 2


def test_a_series_uid_for_each_slice_is_one_series(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}", ct(series=f"1.{number + 1}", position=(0, 0, -5 * number)))
    (only,) = scan([tmp_path]).series
    assert [Path(ref.id.path).name for ref in only.slices] == ["3", "2", "1", "0"]
    assert [ref.id.series_uid for ref in only.slices] == ["1.4", "1.3", "1.2", "1.1"]
    assert only.notes == ("each slice has a SeriesInstanceUID of its own: stacked by position",)


@pytest.mark.parametrize("positions", [(0, 0, 5), (0, 5)])
def test_a_few_single_slices_stay_apart(tmp_path: Path, positions: tuple[int, ...]) -> None:
    for number, z in enumerate(positions):
        save(tmp_path / f"{number}", ct(series=f"1.{number + 1}", position=(0, 0, z)))
    found = scan([tmp_path])
    assert [len(one) for one in found.series] == [1] * len(positions)
    assert all(one.notes == () for one in found.series)


def test_another_matrix_or_orientation_is_another_series(tmp_path: Path) -> None:
    series(tmp_path / "a", [0, 5])
    for at in (0, 5):
        save(tmp_path / f"b{at}", ct(tissue(side=16), position=(0, 0, at)))
    series(tmp_path / "c", [0, 5], orientation=(0, 1, 0, -1, 0, 0))
    found = scan([tmp_path])
    assert [len(one) for one in found.series] == [2, 2, 2]
    note = "several stacks with one SeriesInstanceUID: taken apart"
    assert all(one.notes == (note,) for one in found.series)


def test_orientations_that_differ_by_rounding_are_one_series(tmp_path: Path) -> None:
    save(tmp_path / "0", ct(orientation=(1, 0, 0, 0, 1, 0)))
    save(tmp_path / "1", ct(orientation=(1, 0, 0, 0, 0.99999, -0.00447), position=(0, 0, 5)))
    save(tmp_path / "2", ct(orientation=None, position=(0, 0, 10)))
    assert stacks(scan([tmp_path])) == [["0", "1", "2"]]


def test_thick_and_thin_slices_over_the_same_range_are_two_series(tmp_path: Path) -> None:
    series(tmp_path / "a", [0, 5, 10], SliceThickness=5)
    series(tmp_path / "b", [0, 2, 4, 6, 8, 10], SliceThickness=2)
    assert [len(one) for one in scan([tmp_path]).series] == [3, 6]


@pytest.mark.parametrize("keyword", ["ConvolutionKernel", "AcquisitionNumber"])
def test_overlapping_stacks_of_kernels_or_acquisitions_are_two_series(
    tmp_path: Path, keyword: str
) -> None:
    series(tmp_path / "a", [0, 5, 10], **{keyword: "1"})
    series(tmp_path / "b", [0, 5, 10], **{keyword: "2", "SOPInstanceUID": None})
    assert [len(one) for one in scan([tmp_path]).series] == [3, 3]


def test_an_acquisition_for_each_slice_is_one_series(tmp_path: Path) -> None:
    for number in range(4):
        ds = ct(position=(0, 0, 5 * number), AcquisitionNumber=number + 1)
        save(tmp_path / f"{number}", ds)
    assert [len(one) for one in scan([tmp_path]).series] == [4]


def test_thin_slices_below_thick_ones_are_one_series(tmp_path: Path) -> None:
    series(tmp_path / "a", [0, 2, 4, 6], SliceThickness=2)
    series(tmp_path / "b", [8, 13, 18], SliceThickness=5)
    assert [len(one) for one in scan([tmp_path]).series] == [7]


def test_pseudonyms_and_names_in_the_place_of_uids_still_group(tmp_path: Path) -> None:
    for study in ("ID_0123456789", "DOE^JOHN"):
        for number, z in enumerate((5, 0)):
            ds = put(
                put(ct(position=(0, 0, z)), "StudyInstanceUID", study), "SeriesInstanceUID", study
            )
            save(tmp_path / f"{study}-{number}", ds)
    john, rsna = scan([tmp_path]).series
    assert (rsna.study, len(rsna), rsna.slices[0].id.series_uid) == (
        "ID_0123456789", 2, "ID_0123456789",
    )  # fmt: skip
    assert (john.study, len(john)) == (derived_uid("DOE^JOHN"), 2)


def test_slices_without_a_study_uid_are_a_study_of_their_folder(tmp_path: Path) -> None:
    series(tmp_path / "a", [0, 5], StudyInstanceUID=None, series="1.1")
    save(tmp_path / "a" / "z", ct(StudyInstanceUID=None, series="1.1", RescaleSlope="-1"))
    series(tmp_path / "b", [0, 5], StudyInstanceUID=None, series="1.2")
    first, second = scan([tmp_path]).series
    assert first.study.startswith("2.25.")
    assert second.study not in ("", first.study)
    assert {ref.id.study_uid for ref in first.slices} == {first.study}
    assert len(first.refused) == 1
    note = "no StudyInstanceUID: the patient's slices in one folder are one study"
    assert first.notes == second.notes == (note,)
