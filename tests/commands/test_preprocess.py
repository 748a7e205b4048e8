from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ich_cli.core.data import PreparedDataset
from ich_cli.core.phantom import write_studies
from ich_cli.main import app

runner = CliRunner()


def test_dicom_with_labels_becomes_a_data_set_with_a_summary(tmp_path: Path) -> None:
    write_studies(tmp_path / "dicom", 1, 3, ("epidural",), size=64)
    out = tmp_path / "prepared"
    command = ["preprocess", str(tmp_path / "dicom"), "-o", str(out), "--size", "32", "--json"]
    output = runner.invoke(app, [*command, "--workers", "1", "--context", "1"])
    assert output.exit_code == 0, output.stderr
    data = PreparedDataset.open(out)
    assert data.pixels.shape[1:] == (9, 32, 32)
    assert json.loads(output.stdout)["slices"] == len(data)
    assert "skipped.csv says why" not in output.stdout


def test_phantoms_need_no_files(tmp_path: Path) -> None:
    out = tmp_path / "phantoms"
    command = ["preprocess", "--source", "phantom", "--studies", "1", "-o", str(out)]
    output = runner.invoke(app, [*command, "--size", "32", "--workers", "1"])
    assert output.exit_code == 0, output.stderr
    assert "of 1 patients" in output.stdout
    assert PreparedDataset.open(out).real_ct is False


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--source", "ct-ich"], 2, "no data given"),
        (["--source", "phantom", "x"], 2, "phantoms are generated"),
        (["--source", "ct-ich", "x"], 1, "hemorrhage_diagnosis.csv"),
        (["--source", "folder", "x"], 1, "--labels"),
        (["--size", "8"], 2, "--size must be between 16 and 2048"),
        (["--context", "9"], 2, "--context must be between 0 and 5"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    output = runner.invoke(app, ["preprocess", *arguments])
    assert output.exit_code == code
    assert line in output.stderr
    assert output.stderr.count("\n") == 1
