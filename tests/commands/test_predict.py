"""``ich predict`` as its users see it: files in, rows out, one line where something is wrong."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from ich_cli.core.bundle import BundleConfig, save_bundle
from ich_cli.core.errors import OutputError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import build_model
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import SLICE_COLUMNS, Parts, Predictor
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.study import SeriesPrediction
from ich_cli.core.system import exclusive_lock, replacing
from ich_cli.main import app

SLICES = 8
CAVEAT = "never saw a real CT"


def make_bundle(folder: Path, context: int = 0, *, real: bool = False) -> Path:
    torch.manual_seed(0)
    prep = PreprocessConfig(size=64, context=context)
    model = build_model("test_resnet", in_chans=prep.channels)
    with torch.no_grad():  # spreads the answers, so that a mix-up of slices is seen
        model.get_classifier().weight.mul_(30)  # type: ignore[operator]
    training = {"real_ct": real, "data": "random numbers"}
    save_bundle(folder, model, BundleConfig("test_resnet", training=training, preprocess=prep))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "random")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies of four slices, nothing but DICOM."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_studies(folder, 2, 3, size=64, slices=(4, 4), thickness=(8, 10))
    for other in [*folder.rglob("*.csv"), *folder.rglob("*.npz")]:
        other.unlink()
    return folder


@pytest.fixture
def scans(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them as ``scans`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(phantoms, "scans"))


@pytest.fixture
def predict(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("ICH_WEIGHTS", str(bundle))
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["predict", *map(str, arguments)], prog_name="ich")

    return run


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def left_over(folder: Path = Path()) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def assert_one_line(result: Result, *parts: str, code: int = 1) -> None:
    assert result.exit_code == code
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("ich: ")
    for part in parts:
        assert part in result.stderr


def interrupt_after(series: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise what Ctrl-C raises after so many series, in the first run only."""
    write, written = Parts.write, 0

    def interrupted(self: Parts, prediction: SeriesPrediction) -> None:
        nonlocal written
        if written == series:
            monkeypatch.setattr(Parts, "write", write)
            raise KeyboardInterrupt
        written += 1
        write(self, prediction)

    monkeypatch.setattr(Parts, "write", interrupted)


class TestTable:
    def test_every_slice_has_a_row_in_order(self, scans: Path, predict: Any) -> None:
        result = predict(scans, "-o", "out.csv")

        assert result.exit_code == 0
        assert result.stdout == ""
        table = rows("out.csv")
        assert tuple(table[0]) == SLICE_COLUMNS
        assert len(table) == SLICES
        studies = [row["study_uid"] for row in table]
        assert len(set(studies[:4])) == len(set(studies[4:])) == 1
        assert {row["status"] for row in table} == {"ok"}
        assert all(len(row[label]) == len("0.123456") for row in table for label in LABELS)
        assert left_over() == []

    def test_the_summary_counts_slices_and_shows_the_caveat(
        self, scans: Path, predict: Any
    ) -> None:
        (scans / "notes.txt").write_text("hello")
        (scans / "x.dcm").write_text("hello")

        text = predict(scans, "-o", "out.csv", "-t", "0").stderr

        assert "8 slices · 2 studies, 2 with a positive slice · 1 skipped · 1 failed" in text
        assert "slices/s" in text
        assert CAVEAT in text
        assert "failed: scans/x.dcm: not DICOM" in text
        assert text.endswith("written: out.csv\nResearch use only, not a medical device.\n")

    def test_quiet_leaves_only_the_caveat(self, scans: Path, predict: Any) -> None:
        text = predict(scans, "-o", "out.csv", "--quiet").stderr

        assert CAVEAT in text
        assert text.count("\n") == 1

    def test_weights_trained_on_real_ct_have_no_caveat(
        self, scans: Path, predict: Any, tmp_path: Path
    ) -> None:
        real = make_bundle(tmp_path / "real", real=True)

        assert predict(scans, "-w", real, "-q").stderr == ""

    def test_csv_goes_to_stdout_without_a_terminal(self, scans: Path, predict: Any) -> None:
        predict(scans, "-o", "out.csv")

        assert predict(scans).stdout == Path("out.csv").read_text()

    def test_json_lines(self, scans: Path, predict: Any) -> None:
        lines = [json.loads(line) for line in predict(scans, "--json").stdout.splitlines()]

        assert len(lines) == SLICES
        assert tuple(lines[0]) == SLICE_COLUMNS

    @pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "out.pq"])
    def test_the_suffix_selects_the_format(self, name: str, scans: Path, predict: Any) -> None:
        assert predict(scans, "-o", name).exit_code == 0
        assert Path(name).read_bytes()[:4] == (b'{"pa' if "json" in name else b"PAR1")

    def test_rsna_submission(self, scans: Path, predict: Any) -> None:
        assert predict(scans, "-o", "sub.csv", "--format", "rsna").exit_code == 0
        assert len(Path("sub.csv").read_text().splitlines()) == 1 + 6 * SLICES

    def test_thresholds_decide_what_is_positive(self, scans: Path, predict: Any) -> None:
        predict(scans, "-o", "a.csv", "-t", "1", "-t", "any=0", "-t", "subdural=0")
        predict(scans, "-o", "b.csv", "-t", "1")

        assert {row["positive"] for row in rows("a.csv")} == {"any;subdural"}
        assert {row["positive"] for row in rows("b.csv")} == {""}

    def test_studies_stand_beside_most_urgent_first(self, scans: Path, predict: Any) -> None:
        predict(scans, "-o", "out.csv", "--by", "study")

        studies = rows("out.studies.csv")
        assert len(studies) == 2
        assert studies[0]["any"] >= studies[1]["any"]
        slices = [r for r in rows("out.csv") if r["study_uid"] == studies[0]["study_uid"]]
        assert studies[0]["any"] == max(row["any"] for row in slices)
        assert studies[0]["slices"] == "4"

    def test_studies_on_stdout(self, scans: Path, predict: Any) -> None:
        lines = predict(scans, "--by", "study", "--json").stdout.splitlines()

        assert [json.loads(line)["slices"] for line in lines] == [4, 4]

    def test_a_terminal_gets_a_table_of_the_worst(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ich_cli.commands.predict.command.is_terminal", lambda: True)
        predict(scans, "-o", "out.csv")
        worst = max(rows("out.csv"), key=lambda row: float(row["any"]))

        shown = predict(scans).stdout

        assert "any    EDH    IPH    IVH    SAH    SDH" in shown
        assert worst["path"] in shown.splitlines()[3]
        assert f"{float(worst['any']):.2f}" in shown.splitlines()[3]
        assert "Study and its top slice" in predict(scans, "--by", "study").stdout

    def test_the_output_may_lie_in_the_folder_that_is_read(self, scans: Path, predict: Any) -> None:
        for _ in range(2):
            assert predict(scans, "-o", scans / "out.csv", "--by", "study").exit_code == 0
            assert len(rows(scans / "out.csv")) == SLICES

    def test_workers_and_batches_change_nothing(self, scans: Path, predict: Any) -> None:
        one = predict(scans, "--workers", "0", "--batch-size", "1").stdout

        assert predict(scans, "--workers", "3", "--batch-size", "5").stdout == one


class TestResume:
    @pytest.mark.parametrize("context", [0, 1])
    def test_an_interrupted_run_resumes_to_the_same_bytes(
        self,
        context: int,
        scans: Path,
        predict: Any,
        bundle: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (scans / "x.dcm").write_text("hello")
        weights = make_bundle(tmp_path / "context", context) if context else bundle
        command = (scans, "-w", weights, "-o", "out.csv", "--by", "study")
        predict(*command)
        whole = Path("out.csv").read_bytes(), Path("out.studies.csv").read_bytes()
        Path("out.csv").unlink()
        interrupt_after(1, monkeypatch)

        stopped = predict(*command)

        assert_one_line(stopped, "interrupted; 4 of 9 rows are saved", "--resume", code=130)
        assert not Path("out.csv").exists()
        resumed = predict(*command, "--resume")
        assert resumed.exit_code == 0
        assert "4 from an earlier run" in resumed.stderr
        assert (Path("out.csv").read_bytes(), Path("out.studies.csv").read_bytes()) == whole
        assert left_over() == []

    @pytest.mark.parametrize("keep", [0, 100, -1])
    def test_a_damaged_part_is_predicted_again(
        self, keep: int, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = predict(scans).stdout
        interrupt_after(1, monkeypatch)
        predict(scans, "-o", "out.csv")
        (part,) = Path(".out.csv.parts").iterdir()
        part.write_bytes(part.read_bytes()[:keep])

        resumed = predict(scans, "-o", "out.csv", "--resume")

        assert "kept" not in resumed.stderr
        assert Path("out.csv").read_text() == whole

    def test_an_interrupt_before_the_first_series_leaves_nothing(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupt_after(0, monkeypatch)

        assert predict(scans, "-o", "out.csv").stderr == "ich: interrupted\n"
        assert left_over() == []

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            (["-t", "0.9"], "thresholds"),
            (["-w", "b"], "weights"),
            (["--limit", "max_side=99"], "limits"),
        ],
    )
    def test_parts_of_other_settings_are_not_used(
        self,
        change: list[str],
        word: str,
        scans: Path,
        predict: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        make_bundle(Path("b"), real=True)
        interrupt_after(1, monkeypatch)
        predict(scans, "-o", "out.csv")

        result = predict(scans, *change, "-o", "out.csv", "--resume")

        assert result.exit_code == 0
        first = result.stderr.splitlines()[0]
        assert first.startswith("ich: out.csv: results of an earlier run are not used")
        assert first.endswith(f"it differs in {word}")
        assert "kept" not in result.stderr
        assert left_over() == []

    def test_series_that_are_not_read_again_do_not_reach_the_table(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupt_after(1, monkeypatch)
        predict(scans, "-o", "out.csv")

        assert predict(scans / "study-0001", "-o", "out.csv", "--resume").exit_code == 0

        assert len(rows("out.csv")) == 4
        assert {"study-0001" in row["path"] for row in rows("out.csv")} == {True}
        assert left_over() == []

    def test_without_resume_the_run_starts_over(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupt_after(1, monkeypatch)
        predict(scans, "-o", "out.csv")

        result = predict(scans, "-o", "out.csv")

        assert "kept" not in result.stderr
        assert len(rows("out.csv")) == SLICES

    def test_resume_of_nothing_is_a_first_run(self, scans: Path, predict: Any) -> None:
        assert predict(scans, "-o", "out.csv", "--resume").exit_code == 0
        assert len(rows("out.csv")) == SLICES

    def test_resume_needs_a_file(self, scans: Path, predict: Any) -> None:
        assert_one_line(predict(scans, "--resume"), "-o", code=2)


class TestOutput:
    @pytest.mark.parametrize(
        ("output", "reason"),
        [
            ("missing/out.csv", "its folder does not exist"),
            ("file/out.csv", "a part of the path is a file, not a folder"),
            ("folder.csv", "it is a folder"),
            ("/dev/null", "it is not a regular file"),
            ("n" * 260 + ".csv", "the name is too long"),
        ],
    )
    def test_an_output_that_cannot_be_written_is_reported_before_the_prediction(
        self,
        output: str,
        reason: str,
        scans: Path,
        predict: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        Path("file").write_text("")
        Path("folder.csv").mkdir()
        monkeypatch.setattr(Predictor, "load", lambda *_, **__: pytest.fail("work has begun"))

        result = predict(scans, "-o", output, "--format", "csv")

        assert_one_line(result, "cannot write", reason)

    def test_two_runs_on_one_output_are_kept_apart(self, scans: Path, predict: Any) -> None:
        with exclusive_lock(Path("out.csv")):
            assert_one_line(predict(scans, "-o", "out.csv"), "another run is writing it")

        assert predict(scans, "-o", "out.csv").exit_code == 0

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
    def test_a_disk_that_fills_up_keeps_finished_series_for_resume(
        self, scans: Path, predict: Any
    ) -> None:
        resource = pytest.importorskip("resource")
        for number in (1, 2, 3):  # the part of one slice is small enough, that of four is not
            (scans / "study-0001" / f"slice-{number:03}.dcm").unlink()
        whole = predict(scans).stdout
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            result = predict(scans, "-o", "out.csv")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        assert_one_line(result, "cannot write .out.csv.parts", "1 of 5 rows are saved")
        resumed = predict(scans, "-o", "out.csv", "--resume")
        assert "1 from an earlier run" in resumed.stderr
        assert Path("out.csv").read_text() == whole

    def test_a_table_that_cannot_be_finished_leaves_the_old_one_and_the_rows(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("out.csv").write_text("old")
        monkeypatch.setattr("ich_cli.core.predict.summary.replacing", _failing)

        result = predict(scans, "-o", "out.csv")

        assert_one_line(result, "the disk is full", "8 of 8 rows are saved")
        assert Path("out.csv").read_text() == "old"
        assert left_over() == [".out.csv.parts"]

    def test_a_scan_is_never_overwritten(self, scans: Path, predict: Any) -> None:
        target = next(scans.rglob("*.dcm"))
        before = target.read_bytes()

        result = predict(scans, "-o", target, "--format", "csv")

        assert_one_line(result, "is one of the scans to read", code=2)
        assert target.read_bytes() == before

    def test_a_block_that_raises_leaves_what_was_there(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        with suppress(ZeroDivisionError), replacing(tmp_path / "a") as file:
            file.write(b"new")
            raise ZeroDivisionError

        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a").read_text() == "old"


def _failing(path: Path) -> Any:
    raise OutputError(f"cannot write {path}: the disk is full")


class TestBadInput:
    def test_an_empty_folder(self, predict: Any, tmp_path: Path) -> None:
        assert_one_line(predict(tmp_path), "no file there")

    def test_a_path_that_does_not_exist(self, predict: Any, tmp_path: Path) -> None:
        assert_one_line(predict(tmp_path / "nope"), "nope")

    def test_a_text_file_called_dcm(self, predict: Any, tmp_path: Path) -> None:
        (tmp_path / "x.dcm").write_text("hello")
        output = tmp_path / "out.csv"

        assert_one_line(predict(tmp_path / "x.dcm", "-o", output), "x.dcm: not DICOM")
        assert rows(output)[0]["status"] == "failed"
        assert left_over(tmp_path) == []

    def test_nothing_but_junk(self, predict: Any, tmp_path: Path) -> None:
        for name in "abc":
            (tmp_path / name).write_text("hello")

        assert_one_line(
            predict(tmp_path, "-q"), "none of 3 could be read, for example", "not DICOM"
        )

    def test_one_bad_file_affects_its_own_row_only(self, scans: Path, predict: Any) -> None:
        bad = scans / "study-0001" / "slice-002.dcm"
        bad.write_bytes(bad.read_bytes()[:-500])

        result = predict(scans, "-o", "out.csv")

        assert result.exit_code == 0
        table = {row["path"]: row for row in rows("out.csv")}
        assert len(table) == SLICES
        assert table[str(bad)]["status"] == "failed"
        assert table[str(bad)]["note"]
        assert [table[str(bad)][label] for label in LABELS] == [""] * 6
        assert sum(row["status"] == "ok" for row in table.values()) == SLICES - 1

    def test_strict_fails_if_a_file_failed(self, scans: Path, predict: Any) -> None:
        assert predict(scans, "--strict", "-q").exit_code == 0
        (scans / "x.dcm").write_text("hello")

        result = predict(scans, "--strict", "-o", "out.csv")

        assert result.exit_code == 1
        assert "ich: 1 of 9 failed (--strict)" in result.stderr
        assert len(rows("out.csv")) == SLICES + 1

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["-t", "bleed=0.5"], "a label is one of any, epidural"),
            (["-t", "1.5"], "--threshold 1.5: must be between 0 and 1"),
            (["-t", "nan"], "is not a finite number"),
            (["-t", "half"], "'half' is not a number"),
            (["--limit", "max_sides=1"], "a limit is one of max_side,"),
            (["--limit", "max_side=0"], "--limit max_side=0: must be positive"),
            (["--device", "tpu"], "a device is auto, cpu"),
            (["-o", "out.xlsx"], "cannot tell the format"),
            (["--json", "--format", "csv"], "--json and --format both set the format"),
            (["--format", "parquet"], "parquet needs a file"),
            (["--format", "rsna", "--by", "study"], "slices, not studies"),
            (["--by", "patient"], "'slice', 'study'"),
        ],
    )
    def test_wrong_usage(
        self, arguments: list[str], reason: str, scans: Path, predict: Any
    ) -> None:
        assert_one_line(predict(scans, *arguments), reason, code=2)

    def test_a_limit_is_kept(self, scans: Path, predict: Any) -> None:
        assert_one_line(predict(scans, "--limit", "max_side=63", "-q"), "none of 8")
        assert predict(scans, "--limit", "max_side=64", "-q").exit_code == 0

    def test_a_bundle_without_a_key(self, scans: Path, predict: Any, bundle: Path) -> None:
        Path(shutil.copytree(bundle, "b"))
        tensors = load_file("b/model.safetensors")
        del tensors["conv1.0.weight"]
        save_file(tensors, "b/model.safetensors")
        _forge_checksum(Path("b"))

        assert_one_line(predict(scans, "-w", "b"), "conv1.0.weight")

    def test_a_bundle_that_is_a_pickle_is_refused_unread(
        self, scans: Path, predict: Any, bundle: Path
    ) -> None:
        Path(shutil.copytree(bundle, "b"))
        Path("b/model.safetensors").write_bytes(pickle.dumps(_Trap()))
        _forge_checksum(Path("b"))

        result = predict(scans, "-w", "b", "-o", "out.csv")

        assert_one_line(result, "model.safetensors")
        assert not Path("sprung").exists()
        assert left_over() == []


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def _forge_checksum(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    weights = (bundle / "model.safetensors").read_bytes()
    config["ich"]["sha256"] = hashlib.sha256(weights).hexdigest()
    (bundle / "config.json").write_text(json.dumps(config))


PLANTED = {
    "PatientName": "PLANTED^JANE",
    "PatientID": "PLANTED-4711",
    "PatientBirthDate": "19511231",
    "AccessionNumber": "PLANTED-ACC",
    "InstitutionName": "PLANTED HOSPITAL",
    "ReferringPhysicianName": "PLANTED^DOCTOR",
    "StudyDescription": "PLANTED STUDY",
    "PatientComments": "PLANTED COMMENT",
}


def test_no_identifier_reaches_any_output(scans: Path, predict: Any) -> None:
    for number, path in enumerate(sorted(scans.rglob("*.dcm"))):
        image = pydicom.dcmread(path)
        for keyword, value in PLANTED.items():
            setattr(image, keyword, value)
        if number == 1:  # errors must not quote values either
            image["RescaleSlope"]._value = "PLANTED"
        image.save_as(path)
        if number == 2:
            path.write_bytes(path.read_bytes()[:-900])

    results = [
        predict(scans, "-o", "out.csv", "--by", "study"),
        predict(scans, "-o", "out.parquet"),
        predict(scans, "--json"),
        predict(scans),
    ]

    statuses = [row["status"] for row in rows("out.csv")]
    assert statuses.count("failed") == 2
    told = [text for result in results for text in (result.stdout, result.stderr)]
    files = [path.read_bytes().decode("latin-1") for path in Path().iterdir() if path.is_file()]
    assert len(files) == 3
    for text in (*told, *files):
        assert "PLANTED" not in text
        assert "19511231" not in text


def test_pictures_need_a_window_and_say_which(
    predict: Callable[..., Result], tmp_path: Path
) -> None:
    pixels = np.zeros((64, 64), np.uint8)
    pixels[8:56, 8:56], pixels[12:52, 12:52] = 255, 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    without = predict(tmp_path / "a.png")
    assert without.exit_code == 1
    assert without.stderr.splitlines()[-1].endswith(
        "not DICOM: a picture; give the window of pictures: --window CENTER,WIDTH, as 40,80 of the "
        "brain, or unknown"
    )
    for given, notes in (
        ("40,80", "8-bit picture, HU from window 40/80"),
        ("unknown", "8-bit picture, HU from window 40/80; the window is unknown: 40/80 is assumed"),
    ):
        predict(tmp_path / "a.png", "--window", given, "-o", tmp_path / "out.csv")
        (row,) = rows(tmp_path / "out.csv")
        assert row["status"] == "repaired"
        assert row["note"].startswith(notes)
        assert 0 <= float(row["any"]) <= 1
    assert predict(tmp_path / "a.png", "--window", "40").exit_code == 2


def test_nifti_gives_rows_a_report_and_maps_but_no_dicom(
    predict: Callable[..., Result], tmp_path: Path
) -> None:
    voxels = np.full((32, 28, 3), -1000, np.int16)
    voxels[4:28, 4:24] = 30
    path = tmp_path / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-2.0, -2.0, 5.0, 1.0])), path)
    done = predict(
        path, "-o", tmp_path / "out.csv", "--by", "study", "--report", tmp_path / "pages",
        "--dicom", tmp_path / "dicom", "--nifti", tmp_path / "maps",
    )  # fmt: skip
    assert done.exit_code == 0
    assert "no DICOM output: NIfTI files and pictures are no DICOM source" in done.stderr
    found = rows(tmp_path / "out.csv")
    assert [row["status"] for row in found] == ["ok"] * 3
    assert "contrast agent, body part and gantry tilt cannot be checked" in found[0]["note"]
    assert [row["slices"] for row in rows(tmp_path / "out.studies.csv")] == ["3"]
    assert len(list((tmp_path / "pages").glob("study-*.html"))) == 1
    assert list((tmp_path / "dicom").iterdir()) == []
    assert {one.name for one in (tmp_path / "maps").iterdir()} == {
        f"head.{label}.nii.gz" for label in LABELS
    }
