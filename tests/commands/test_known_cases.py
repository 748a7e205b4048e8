"""`ich predict --by study` for series with headers and folders that are known to cause errors.

Every case is made from phantoms. Studies must have the probabilities of the phantoms
that are stored as usual.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import JPEGLosslessSV1, generate_uid
from typer.testing import CliRunner

from ich_cli.core.dicom import CTSlice
from ich_cli.core.phantom import write_studies
from ich_cli.main import app
from tests.support.dicom import save
from tests.support.orientations import oblong, reoriented, restored

DEFAULT_BUNDLE = Path(__file__).parents[2] / "hub" / "default"
SLICES = 6


HEADS = ("bleeding", "healthy")
ORDER = (5, 2, 0, 4, 1, 3)
"""Positions in the head, counted from below, of the files in the order of their names."""


class Files:
    """Slices of a bleeding and a healthy phantom, to be changed and saved in a folder."""

    def __init__(self, phantoms: Path, folder: Path) -> None:
        self.phantoms, self.folder = phantoms, folder

    def head(self, name: str = "bleeding", **elements: object) -> list[Dataset]:
        """Return the slices of a phantom under new UIDs, with changed elements."""
        found = [pydicom.dcmread(path) for path in sorted((self.phantoms / name).rglob("*.dcm"))]
        study, series = generate_uid(), generate_uid()
        for ds in found:
            ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
            ds.SOPInstanceUID = generate_uid()
            for keyword, value in elements.items():
                setattr(ds, keyword, value)
        return found

    def save(self, slices: Sequence[Dataset], folder: str = "") -> None:
        """Save slices as ``000.dcm``, ``001.dcm`` …"""
        for number, ds in enumerate(slices):
            save(self.folder / folder / f"{number:03d}.dcm", ds)


def rescale_types(files: Files) -> None:
    for unit in ("US", "HOUNSFIELD UNITS", "H.U.", "UNSPECIFIED"):
        files.save(files.head(RescaleType=unit), unit)


def one_series_uid_for_two_studies(files: Files) -> None:
    series = generate_uid()
    for name in HEADS:
        files.save(files.head(name, SeriesInstanceUID=series, PatientID=name), name)


def one_study_uid_for_two_patients(files: Files) -> None:
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    for name in HEADS:
        files.save(files.head(name, PatientID=name, **uids), name)


def copies_and_a_zip(files: Files) -> None:
    files.save(files.head("healthy"), "a")
    shutil.copytree(files.folder / "a", files.folder / "b")
    shutil.make_archive(str(files.folder / "c"), "zip", files.folder / "a")


def loop_of_links(files: Files) -> None:
    files.save(files.head())
    (files.folder / "x").symlink_to("y")
    (files.folder / "y").symlink_to("x")


def stored_in_another_way(files: Files, change: Callable[[CTSlice], CTSlice]) -> None:
    files.save([restored(ds, change) for ds in files.head()])


def without_positions(files: Files) -> None:
    slices = files.head()
    for ds, number in zip(slices, (4, 1, 6, 2, 5, 3), strict=True):
        ds.SliceLocation, ds.InstanceNumber = float(ds.ImagePositionPatient[2]), number
        del ds.ImagePositionPatient, ds.ImageOrientationPatient
    files.save([slices[at] for at in ORDER])


def no_contrast(files: Files) -> None:
    for text in ("NO CONTRAST", "WITHOUT CONTRAST", "-", "Nil", "N.A."):
        files.save(files.head("healthy", ContrastBolusAgent=text), text)


def no_study_uid(files: Files) -> None:
    slices = files.head()
    for ds in slices:
        del ds.StudyInstanceUID
    files.save(slices)


def one_series_uid_per_slice(files: Files) -> None:
    slices = files.head()
    for ds in slices:
        ds.SeriesInstanceUID = generate_uid()
    files.save(slices)


def signed_words_called_unsigned(files: Files) -> None:
    slices = files.head(BitsStored=16, HighBit=15, PixelRepresentation=0)
    for ds in slices:
        hu = ds.pixel_array.astype(np.int32) + int(ds.RescaleIntercept)
        ds.PixelData, ds.RescaleIntercept = hu.astype(np.int16).tobytes(), 0
    files.save(slices)


def derived_series(files: Files) -> None:
    study = files.head()
    files.save(study, "thin")
    for kind in ("MIP", "MINIP", "SUBTRACTION", "IODINE"):
        series = generate_uid()
        derived = deepcopy(study)
        for ds in derived:
            ds.SeriesInstanceUID, ds.SOPInstanceUID = series, generate_uid()
            ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL", kind]
            ds.PixelData = (ds.pixel_array + 5).tobytes()
        files.save(derived, kind)


def padded_frames(files: Files) -> None:
    for number, ds in enumerate(files.head()):
        stream = imagecodecs.ljpeg_encode(ds.pixel_array, bitspersample=ds.BitsStored)
        path = files.folder / f"{number}.dcm"
        save(path, ds, JPEGLosslessSV1, [bytes(stream) + bytes(200)])


@dataclass(frozen=True)
class Case:
    """Files, and the tables expected for them."""

    build: Callable[[Files], None]
    studies: tuple[str, ...] = ("bleeding",)
    """Phantoms whose probabilities the studies have."""
    statuses: tuple[tuple[str, int], ...] = (("ok", SLICES),)
    notes: tuple[str, ...] = ("",)
    default_bundle: bool = False
    """Use the default bundle, whose sequence stage combines slices, not random weights."""


UNIT = "RescaleType does not say HU: taken as HU, for air and soft tissue fit"
TWO_STUDIES = "SeriesInstanceUID is used in several studies: taken apart"
TWO_PATIENTS = "StudyInstanceUID is used for several patients: taken apart"
COPIES = tuple(f"a copy of a/{number:03d}.dcm" for number in range(SLICES))
LOOP = "cannot be read: Too many levels of symbolic links"
NO_STUDY = "no StudyInstanceUID: the patient's slices in one folder are one study"
SERIES_PER_SLICE = "each slice has a SeriesInstanceUID of its own: stacked by position"
SIGNED = "PixelRepresentation is 0: the words are signed"
DERIVED = (
    "a maximum intensity projection (ImageType), not a plain CT slice",
    "a minimum intensity projection (ImageType), not a plain CT slice",
    "a subtraction (ImageType), not a plain CT slice",
    "an iodine or material map (ImageType), not a plain CT slice",
)
QUARTER_TURN = partial(stored_in_another_way, change=partial(reoriented, turns=1, mirrored=False))
MIRRORED = partial(stored_in_another_way, change=partial(reoriented, turns=2, mirrored=True))
CASES = {
    "01": Case(rescale_types, ("bleeding",) * 4, (("ok", 24),), (UNIT,)),
    "02": Case(one_series_uid_for_two_studies, HEADS, (("ok", 12),), (TWO_STUDIES,), True),
    "03": Case(
        one_study_uid_for_two_patients, HEADS, (("ok", 12),),
        (f"{TWO_STUDIES}; {TWO_PATIENTS}",), True,
    ),
    "04": Case(copies_and_a_zip, ("healthy",), (("ok", 6), ("skipped", 12)), ("", *COPIES), True),
    "06": Case(loop_of_links, statuses=(("ok", 6), ("failed", 2)), notes=("", LOOP)),
    "07, turned": Case(QUARTER_TURN, default_bundle=True),
    "07, mirrored": Case(MIRRORED, default_bundle=True),
    "10": Case(no_contrast, ("healthy",) * 5, (("ok", 30),)),
    "11": Case(no_study_uid, notes=(NO_STUDY,)),
    "12": Case(one_series_uid_per_slice, notes=(SERIES_PER_SLICE,), default_bundle=True),
    "13": Case(signed_words_called_unsigned, statuses=(("repaired", 6),), notes=(SIGNED,)),
    "14": Case(derived_series, statuses=(("ok", 6), ("skipped", 24)), notes=("", *DERIVED)),
    "15": Case(padded_frames),
}  # fmt: skip


class Tables(NamedTuple):
    """Tables of one run, and its messages."""

    slices: list[dict[str, str]]
    studies: list[dict[str, str]]
    messages: str

    def probabilities(self) -> list[float]:
        """Return the probabilities of `any` of all studies, in ascending order."""
        return sorted(float(row["any"]) for row in self.studies)


def predict(folder: Path, bundle: Path) -> Tables:
    """Run `ich predict` and read its tables."""
    out = folder.parent / f"{folder.name}.csv"
    arguments = [str(folder), "-o", str(out), "--by", "study", "-w", str(bundle)]
    result = CliRunner().invoke(app, ["predict", *arguments, "--workers", "0"], prog_name="ich")
    assert result.exit_code == 0, result.output
    return Tables(rows(out), rows(out.with_suffix(".studies.csv")), result.stderr)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms")
    for name, subtypes in (("bleeding", ("intraparenchymal",)), ("healthy", ())):
        write_studies(
            out / name, 1, 700, subtypes, size=128, slices=(SLICES, SLICES), thickness=(8, 10)
        )
    return out


@pytest.fixture
def files(phantoms: Path, tmp_path: Path) -> Files:
    return Files(phantoms, tmp_path / "scans")


@pytest.fixture(scope="module")
def usual(phantoms: Path, tiny_bundle: Path) -> dict[tuple[str, bool], float]:
    """Return the probability of each phantom stored as usual, by name and `default_bundle`."""
    found = {}
    for default in (False, True):
        for name in HEADS:
            tables = predict(phantoms / name, DEFAULT_BUNDLE if default else tiny_bundle)
            (found[name, default],) = tables.probabilities()
    return found


@pytest.mark.parametrize("name", CASES)
def test_case(
    name: str, files: Files, tiny_bundle: Path, usual: dict[tuple[str, bool], float]
) -> None:
    case = CASES[name]
    case.build(files)
    tables = predict(files.folder, DEFAULT_BUNDLE if case.default_bundle else tiny_bundle)

    assert Counter(row["status"] for row in tables.slices) == dict(case.statuses)
    notes = {row["note"].replace(f"{files.folder}/", "") for row in tables.slices}
    assert notes == set(case.notes)
    expected = sorted(usual[study, case.default_bundle] for study in case.studies)
    assert tables.probabilities() == pytest.approx(expected, abs=1e-4)
    assert f" · {len(case.studies)} stud" in tables.messages


def test_case_05_ambiguous_names_in_a_label_table_are_refused(files: Files) -> None:
    for name in HEADS:
        files.save(files.head(name)[:2], name)
    table = files.folder / "labels.csv"
    labels = "any,epidural,intraparenchymal,intraventricular,subarachnoid,subdural"
    table.write_text(f"file,{labels}\n000.dcm,1,0,1,0,0,0\n001.dcm,1,0,1,0,0,0\n")
    out = files.folder.parent / "prepared"
    arguments = [str(files.folder), "--labels", str(table), "-o", str(out)]
    result = CliRunner().invoke(app, ["preprocess", *arguments], prog_name="ich")

    assert result.exit_code == 1
    message = "2 rows of the label table fit several files (000, 001)"
    assert message in " ".join(result.stderr.split())
    assert not out.exists()


def test_case_08_pixels_that_are_not_square(tmp_path: Path) -> None:
    write_studies(tmp_path, 1, 700, ("intraparenchymal",), slices=(4, 4))
    folder = tmp_path / "oblong"
    folder.mkdir()
    for path in (tmp_path / "study-0001").glob("*.dcm"):
        restored(pydicom.dcmread(path), partial(oblong, axis=1)).save_as(folder / path.name)
    square, tables = (predict(one, DEFAULT_BUNDLE) for one in (tmp_path / "study-0001", folder))

    assert [(row["status"], row["note"]) for row in tables.slices] == [("ok", "")] * 4
    assert tables.probabilities() == pytest.approx(square.probabilities(), abs=0.02)


def test_case_09_slices_without_positions_are_ordered_by_slice_location(
    files: Files, tiny_bundle: Path, usual: dict[tuple[str, bool], float]
) -> None:
    without_positions(files)
    tables = predict(files.folder, tiny_bundle)

    ordered = [int(Path(row["path"]).stem) for row in tables.slices]
    assert [ORDER[number] for number in ordered] == [0, 1, 2, 3, 4, 5]
    note = "6 of 6 slices without a position: ordered by SliceLocation"
    assert [(row["status"], row["note"]) for row in tables.slices] == [("ok", note)] * 6
    assert tables.probabilities() == pytest.approx([usual["bleeding", False]], abs=1e-4)
