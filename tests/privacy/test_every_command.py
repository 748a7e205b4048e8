"""Other commands and layouts than in `test_privacy`: none outputs a planted identifier."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from ich_cli.core.data.sources.ct_ich import TABLE
from ich_cli.core.labels import LABELS, SUBTYPES
from ich_cli.core.phantom import write_studies
from tests.hub.conftest import hub
from tests.hub.server import Hub
from tests.privacy.corpus import NAMES, Planter, _fill, _values
from tests.privacy.ground import Ground
from tests.support.prepared import blobs

__all__ = ["hub"]
pytestmark = pytest.mark.slow

TRAIN = (
    "-m", "test_resnet", "--init", "none", "--epochs", "1", "--folds", "2", "--batch-size", "4",
    "--device", "cpu",
)  # fmt: skip


def rsna(folder: Path, ground: Ground) -> Path:
    """Lay the planted study out as RSNA 2019 did, its files under names of patients."""
    images = folder / "stage_2_train_images"
    images.mkdir(parents=True)
    lines = ["ID,Label"]
    sound = [p for p in sorted(ground.home.glob("*.dcm")) if p.name.endswith((" 0.dcm", " 9.dcm"))]
    for number, path in enumerate(sound):
        name = ground.planter("RSNA: a file's name")
        (images / f"{name}.dcm").write_bytes(path.read_bytes())
        lines += [f"{name}_{label},{number % 2}" for label in LABELS]
    lost = ground.planter("RSNA: a row without a file")
    lines += [f"{lost}_{label},0" for label in LABELS]
    (images / f"{ground.planter('RSNA: a broken file')}.dcm").write_bytes(b"DICM" * 50)
    (folder / "stage_2_train.csv").write_text("\n".join(lines))
    return images


def test_preprocess_of_rsna(ground: Ground, tmp_path: Path) -> None:
    images = rsna(tmp_path / "rsna", ground)
    ground.anonymous("preprocess", images, "-s", "rsna", "-o", "prepared", "--size", "32", "--json")
    with (ground.work / "prepared" / "skipped.csv").open(newline="") as table:
        assert [row["name"][:5] for row in csv.DictReader(table)] == ["file-"]
    ground.anonymous("preprocess", tmp_path / "rsna" / "none", "-s", "rsna", "-o", "x", code=1)
    ground.check()


def ct_ich(root: Path, planter: Planter) -> Path:
    """Write CT-ICH with identifiers in unread places and in its pictures."""
    rows = []
    for patient, radius in (("049", 28), ("050", 24)):
        for window in ("brain", "bone"):
            folder = root / "Patients_CT" / patient / window
            folder.mkdir(parents=True)
            for number in (1, 2):
                head = np.zeros((64, 64), np.uint8)
                cv2.circle(head, (32, 32), radius - number, 120, -1)
                jpeg = cv2.imencode(".jpg", head)[1].tobytes()
                said = planter("CT-ICH: JPEG COM").encode()
                segment = b"\xff\xfe" + (len(said) + 2).to_bytes(2, "big") + said
                (folder / f"{number}.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
            (folder / f"{planter('CT-ICH: a file')}.jpg").write_bytes(b"no picture")
        rows += [
            [int(patient), number, *[number % 2] * 5, planter("CT-ICH: a remark")]
            for number in (1, 2, 3)
        ]
    (root / "Patients_CT" / planter("CT-ICH: a folder") / "brain").mkdir(parents=True)
    header = ["PatientNumber", "SliceNumber", *SUBTYPES, planter("CT-ICH: a header")]
    (root / TABLE).write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]))
    return root


def test_preprocess_of_ct_ich_and_what_comes_after(ground: Ground, tmp_path: Path) -> None:
    root = ct_ich(tmp_path / "ct-ich", ground.planter)
    ground.ich("preprocess", root, "-s", "ct-ich", "-o", "prepared", "--size", "32", "-q")
    ground.ich("train", "prepared", *TRAIN, "-o", "run")
    ground.ich(
        "evaluate", "--out-of-fold", "run", "--data", "prepared", "-o", "page", "--bootstrap", "5"
    )
    assert (ground.work / "page" / "report.html").is_file()
    broken = (root / TABLE).read_text().replace("49,1,", f"{ground.planter('no number')},1,", 1)
    (root / TABLE).write_text(broken)
    ground.ich("preprocess", root, "-s", "ct-ich", "-o", "again", code=1)
    ground.check()


def test_ct_ich_takes_no_anonymous_paths(ground: Ground, tmp_path: Path) -> None:
    """Its folders are numbers of the data set, so hashing would be misleading."""
    root = ct_ich(tmp_path / "ct-ich", ground.planter)
    done = ground.anonymous("preprocess", root, "-s", "ct-ich", "-o", "prepared", code=2)
    assert "--anonymous-paths applies to DICOM" in done.stderr


def test_evaluate_of_a_table_full_of_names(ground: Ground) -> None:
    """The rows of `ich predict` without --anonymous-paths: page, figures and worst name no file."""
    ground.ich("predict", ground.scans, "-o", "../named.csv")
    ground.output.clear()  # file names are expected here
    named = ground.work.parent / "named.csv"
    assert "PLANT" in named.read_text()
    for more in (["-o", "page"], ["--json"], ["--by", "study"]):
        ground.ich("evaluate", "-p", named, "-l", ground.labels, "--bootstrap", "5", *more)
    written = {path.name for path in (ground.work / "page").rglob("*")}
    assert {"report.html", "metrics.json", "top_errors.csv", "figures", "card.md"} <= written
    ground.check()


def test_explain_evaluate(ground: Ground, tmp_path: Path) -> None:
    scans = tmp_path / "masked"
    write_studies(scans, 1, 3, ("subdural",), size=64, slices=(5, 5), thickness=(8, 10))
    values = list(_values(ground.planter))
    for path in scans.rglob("*.dcm"):
        image = pydicom.dcmread(path)
        _fill(image, values, NAMES[0])
        image.save_as(path)
    for more in (["-o", "table.csv"], ["-o", "table.md"], ["--json"]):
        ground.ich("explain", "--evaluate", scans, "--method", "gradcam", *more)
    assert (ground.work / "table.md").is_file()
    ground.check()


def test_push_to_a_hub_and_pull(hub: Hub, ground: Ground, tmp_path: Path) -> None:
    ground.anonymous(
        "preprocess", ground.scans, "--labels", ground.labels, "-o", "prepared", "--size", "32",
        "--workers", "1",
    )  # fmt: skip
    ground.ich("train", "prepared", *TRAIN, "--refit", "-o", "run")
    ground.ich("push", "run", "owner/name")
    ground.ich("pull", "owner/name@v1", "--json")
    ground.ich("info", "-w", "owner/name@v1")
    (ground.work / "no-bundle").symlink_to(ground.home)  # its content must not be output
    ground.ich("info", "-w", "no-bundle", code=1)
    (ground.work / "no-bundle").unlink()
    files = hub.model("owner/name").head.files
    assert {"config.json", "model.safetensors", "README.md"} <= set(files)
    with zipfile.ZipFile(ground.work / "published.zip", "w") as archive:
        for name, one in files.items():
            archive.writestr(name, one.data)
    ground.output += [("requests to the Hub", f"{one.path} {one.headers}") for one in hub.seen]
    ground.more.append(tmp_path / "hf-home")
    ground.check()


def test_phantom_and_info(ground: Ground) -> None:
    """They read no scan; files in the current folder must not be included."""
    (ground.work / "labels.csv").write_bytes(ground.labels.read_bytes())
    ground.ich("phantom", "made", "--studies", "1", "--size", "64", "--json")
    ground.ich("info", "--json")
    (ground.work / "labels.csv").unlink()
    ground.check()


def test_a_prepared_set_holds_no_key_of_a_patient(ground: Ground) -> None:
    """`blobs` calls its patients ``PATIENT^SECRET^n``."""
    ground.planter.places["SECRET"] = "a patient's key"
    blobs(ground.work / "prepared", 6, real_ct=True)
    ground.ich("train", "prepared", *TRAIN, "--refit", "-o", "run")
    ground.ich("ensemble", "run", "run", "--data", "prepared", "-o", "both")
    ground.check()
