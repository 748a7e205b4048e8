"""``ich predict --report --dicom``: what appears where, and that no identifier gets out."""

from __future__ import annotations

import base64
import csv
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner, Result

from ich_cli.core.phantom import write_studies
from ich_cli.main import app

SECRET = ("PLANTED", "planted", "19511231", "20241105", "Geheim")
TAGS = {
    "PatientName": "PLANTED^JANE",
    "PatientID": "PLANTED-4711",
    "PatientBirthDate": "19511231",
    "StudyDate": "20241105",
    "SeriesDate": "20241105",
    "AccessionNumber": "PLANTED-ACC",
    "InstitutionName": "PLANTED HOSPITAL",
    "ReferringPhysicianName": "PLANTED^DOCTOR",
    "OperatorsName": "PLANTED^OPERATOR",
    "StudyDescription": "PLANTED STUDY",
    "SeriesDescription": "PLANTED SERIES",
    "ProtocolName": "PLANTED PROTOCOL",
    "PatientComments": "PLANTED COMMENT",
    "ImageComments": "PLANTED IMAGE",
    "StudyID": "PLANTED-S",
    "StationName": "PLANTED-STATION",
    "DeviceSerialNumber": "PLANTED-SERIAL",
}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies of five slices, nothing but DICOM."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_studies(folder, 2, 3, size=64, slices=(5, 5), thickness=(5, 5))
    for other in [*folder.rglob("*.csv"), *folder.rglob("*.npz")]:
        other.unlink()
    return folder


@pytest.fixture
def scans(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(phantoms, "scans"))


@pytest.fixture
def predict(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("ICH_WEIGHTS", str(tiny_bundle))

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["predict", *map(str, arguments)], prog_name="ich")

    return run


def names(folder: str) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in Path(folder).rglob("*") if one.is_file())


def test_each_study_has_a_page_and_a_folder(scans: Path, predict: Callable[..., Result]) -> None:
    result = predict(scans, "-o", "out.csv", "--report", "pages", "--dicom", "dicom")

    assert result.exit_code == 0
    assert "written: out.csv, pages, dicom" in result.stderr
    index, *pages = names("pages")
    assert index == "index.html"
    assert len(pages) == 2
    assert sorted(re.findall(r'href="([^"]+)"', Path("pages/index.html").read_text())) == pages
    assert all(re.fullmatch(r"study-[0-9a-f]{12}\.html", one) for one in pages)
    stems = [one.removesuffix(".html") for one in pages]
    assert names("dicom") == [
        f"{stem}/{file}"
        for stem in stems
        for file in (*(f"map-{k:04d}.dcm" for k in range(1, 6)), "report.dcm")
    ]
    again = predict(scans, "--report", "pages", "--dicom", "dicom", "-q")  # replaces
    assert again.exit_code == 0
    assert len(names("pages")) == 3


def test_a_run_stopped_in_its_reports_continues_with_resume(
    scans: Path, predict: Callable[..., Result]
) -> None:
    predict(scans, "--report", "whole", "-q")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ich_cli.core.report.write_report", _interrupted)
        assert predict(scans, "-o", "out.csv", "--report", "pages", "-q").exit_code == 130
    assert not Path("out.csv").exists()

    resumed = predict(scans, "-o", "out.csv", "--report", "pages", "--resume")

    assert "10 from an earlier run" in resumed.stderr
    for name in names("whole"):
        assert Path("pages", name).read_bytes() == Path("whole", name).read_bytes()


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_wrong_usage_is_reported_before_the_prediction(
    scans: Path, predict: Callable[..., Result]
) -> None:
    Path("file").write_text("")

    for arguments, code, reason in (
        (["--keep-patient"], 2, "--keep-patient applies to DICOM output only"),
        (["--report", "file"], 1, "file is a file; name a folder"),
        (["--dicom", "file/in"], 1, "a part of the path is a file"),
    ):
        result = predict(scans, *arguments)
        assert result.exit_code == code
        assert reason in result.stderr
        assert result.stderr.count("\n") == 1


def test_studies_are_a_worklist(scans: Path, predict: Callable[..., Result]) -> None:
    predict(scans, "-o", "out.csv", "--by", "study", "-t", "any=0")

    with Path("out.studies.csv").open(newline="") as file:
        studies = list(csv.DictReader(file))
    order = ["positive", "unsure", "negative"]
    assert [row["verdict"] for row in studies] == sorted(
        (row["verdict"] for row in studies), key=order.index
    )
    # five slices are too few to be called negative
    assert {row["verdict"] for row in studies} <= {"positive", "unsure"}
    assert all("only 5 slices" in row["quality"] for row in studies)


def plant(scans: Path) -> Path:
    """Hide a patient in tags, private tags, pixels, and names of files, folders and a zip."""
    target = Path("in/PLANTED_JANE")
    target.mkdir(parents=True)
    for number, path in enumerate(sorted(scans.rglob("study-0001/*.dcm"))):
        image = pydicom.dcmread(path)
        for keyword, value in TAGS.items():
            setattr(image, keyword, value)
        block = image.private_block(0x0019, "PLANTED CREATOR", create=True)
        block.add_new(1, "LO", "PLANTED PRIVATE")
        text = np.zeros((image.Rows, image.Columns), np.uint8)
        cv2.putText(text, "Geheim", (0, 9), cv2.FONT_HERSHEY_PLAIN, 0.6, (255,), 1)
        image.PixelData = np.where(text > 0, 2024, image.pixel_array).astype("<u2").tobytes()
        image.save_as(target / f"PLANTED^JANE_19511231_{number}.dcm")
    broken = target / "PLANTED^JANE_0.dcm"
    broken.write_bytes((target / "PLANTED^JANE_19511231_3.dcm").read_bytes()[:-900])
    with zipfile.ZipFile("in/planted.zip", "w") as archive:
        for path in sorted(scans.rglob("study-0002/*.dcm")):
            image = pydicom.dcmread(path)
            image.PatientName = "PLANTED^JIM"
            image.save_as(path)
            archive.write(path, f"PLANTED_JIM/{path.name}")
    return Path("in")


def test_no_identifier_reaches_any_report(scans: Path, predict: Callable[..., Result]) -> None:
    folder = plant(scans)

    result = predict(
        folder, "-o", "o.csv", "--by", "study", "--report", "pages", "--dicom", "dicom"
    )

    assert result.exit_code == 0
    assert len(names("pages")) == 3
    assert len(names("dicom")) == 12
    for path in [*Path("pages").rglob("*"), *Path("dicom").rglob("*")]:
        assert not any(secret in str(path) for secret in SECRET)
        if path.is_file():
            text = path.read_bytes().decode("latin-1")
            assert not any(secret in text for secret in SECRET), path
    assert not any(secret in "".join(plain_cells()) for secret in SECRET)
    for path in Path("pages").glob("*.html"):
        for picture in re.findall(r"data:image/png;base64,([^\"]+)", path.read_text()):
            assert_bare_png(base64.b64decode(picture))


def plain_cells() -> list[str]:
    """Return all cells of both tables but the paths, which are as the user named them."""
    cells = []
    for name in ("o.csv", "o.studies.csv"):
        with Path(name).open(newline="") as file:
            for row in csv.DictReader(file):
                cells += [value for column, value in row.items() if "path" not in column]
    return cells


def assert_bare_png(data: bytes) -> None:
    """No chunk but those of the picture itself (PNG, section 11)."""
    kinds, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8])
        at += 12 + length
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
