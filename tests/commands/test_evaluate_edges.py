"""`ich evaluate` on few slices or none of a kind; expected metrics computed by hand."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ich_cli.core.bundle import BundleConfig, save_ensemble
from ich_cli.core.labels import LABELS
from ich_cli.main import app
from tests.support.prepared import blobs

runner = CliRunner()
Rows = list[dict[str, str]]


def tables(
    folder: Path, any_: Sequence[int], p: Sequence[float], patients: Sequence[int]
) -> list[str]:
    """Write slices with `any` and subdural, or neither; return the command's options."""
    predicted = ["sop_uid," + ",".join(LABELS)]
    labelled = ["sop_uid,patient," + ",".join(LABELS)]
    for i, (y, value, who) in enumerate(zip(any_, p, patients, strict=True)):
        predicted.append(f"1.2.{i}," + ",".join([f"{value}"] * 6))
        labelled.append(f"1.2.{i},{who},{y},0,0,0,0,{y}")
    (folder / "p.csv").write_text("\n".join(predicted) + "\n")
    (folder / "l.csv").write_text("\n".join(labelled) + "\n")
    return ["evaluate", "-p", str(folder / "p.csv"), "-l", str(folder / "l.csv"),
            "--bootstrap", "40", "-o", str(folder / "out")]  # fmt: skip


def measured(
    folder: Path, any_: Sequence[int], p: Sequence[float], patients: Sequence[int]
) -> dict[str, Any]:
    """Run the command, check its files, return metrics.json."""
    result = runner.invoke(app, tables(folder, any_, p, patients))
    assert result.exit_code == 0, result.output
    text = (folder / "out/metrics.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    page = (folder / "out/report.html").read_text()
    assert ">nan<" not in page
    assert page.count("<figure") == 24  # four kinds of six labels, the empty ones too
    values: dict[str, Any] = json.loads(text)
    return values


@pytest.mark.parametrize(
    ("any_", "p", "patients", "expected"),
    [
        # no positive: most metrics are undefined; 2 of 3 are called positive
        ([0, 0, 0], [0.9, 0.5, 0.1], [0, 1, 2],
         {"auroc": None, "ap": None, "f1": None, "recall": None, "precision": 0.0,
          "specificity": 1 / 3, "brier": (0.81 + 0.25 + 0.01) / 3, "ece": (0.9 + 0.5 + 0.1) / 3}),
        # all bleed: 2 of 3 found, F1 = 4 / (4 + 1)
        ([1, 1, 1], [0.9, 0.5, 0.1], [0, 1, 2],
         {"auroc": None, "ap": 1.0, "f1": 0.8, "recall": 2 / 3, "precision": 1.0,
          "specificity": None, "brier": (0.01 + 0.25 + 0.81) / 3, "ece": (0.1 + 0.5 + 0.9) / 3}),
        # all predictions equal: every pair a tie; precision at the only cut is the share, 1/4
        ([1, 0, 0, 0], [0.3] * 4, [0, 1, 2, 3],
         {"auroc": 0.5, "ap": 0.25, "f1": 0.0, "recall": 0.0, "precision": None,
          "specificity": 1.0, "brier": (0.49 + 3 * 0.09) / 4, "ece": 0.05}),
        # ties: of 2 x 2 pairs two are right and two half right; 2 of the 3 called bleed
        ([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.1], [0, 1, 2, 3],
         {"auroc": 0.75, "ap": 2 / 3, "f1": 0.8, "recall": 1.0, "precision": 2 / 3,
          "specificity": 0.5, "brier": (3 * 0.25 + 0.01) / 4, "ece": (0.5 + 0.1) / 4}),
        # one slice
        ([1], [0.2], [0],
         {"auroc": None, "ap": 1.0, "f1": 0.0, "recall": 0.0, "precision": None,
          "specificity": None, "brier": 0.64, "ece": 0.8}),
    ],
    ids=["no positive", "no negative", "all equal", "ties", "one slice"],
)  # fmt: skip
def test_metrics_by_hand(
    tmp_path: Path, any_: list[int], p: list[float], patients: list[int],
    expected: dict[str, float | None],
) -> None:  # fmt: skip
    found = measured(tmp_path, any_, p, patients)
    for unit in ("slice", "study"):  # each patient has one slice, so a study is its slice
        for label in ("any", "subdural"):
            values = found[unit]["labels"][label]
            assert {k: values[k] for k in expected} == pytest.approx(expected), (unit, label)
    only = {k: expected[k] for k in ("auroc", "ap", "f1", "recall")}
    if expected["ap"] is not None:  # four subtypes are absent and do not count in these means
        assert {k: found["slice"]["macro"][k] for k in only} == pytest.approx(only)


def test_one_patient_has_metrics_and_no_intervals(tmp_path: Path) -> None:
    result = runner.invoke(app, tables(tmp_path, [1, 0, 1], [0.9, 0.5, 0.1], [7, 7, 7]))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    assert found["slice"]["labels"]["any"]["auroc"] == 0.5  # one pair right, one wrong
    assert found["study"]["count"] == found["study"]["patients"] == 1
    assert found["study"]["labels"]["any"]["auroc"] is None
    assert found["slice"]["intervals"] == found["study"]["intervals"] == {}
    assert "3 slices of 1 patient;" in " ".join(result.stdout.split())
    assert "no intervals: one patient" in " ".join(result.stdout.split())


def test_labels_without_errors_are_listed_as_none(tmp_path: Path) -> None:
    measured(tmp_path, [1, 0, 0], [0.9, 0.6, 0.2], [0, 1, 2])
    with (tmp_path / "out/top_errors.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    # row 1 is called positive at 0.6 without any label; row 0 for labels that it lacks
    by_label = {label: [int(r["row"]) for r in lines if r["label"] == label] for label in LABELS}
    assert by_label == {"any": [1], "epidural": [0, 1], "intraparenchymal": [0, 1],
                        "intraventricular": [0, 1], "subarachnoid": [0, 1],
                        "subdural": [1]}  # fmt: skip
    assert {r["kind"] for r in lines} == {"false positive"}
    assert "any: false negatives: none" in (tmp_path / "out/report.html").read_text()


def test_a_panel_without_curve_shows_the_reason(tmp_path: Path) -> None:
    measured(tmp_path, [1, 1], [0.9, 0.1], [0, 1])
    page = (tmp_path / "out/report.html").read_text()
    roc = page[page.index("Receiver operating") : page.index("Precision and recall")]
    assert roc.count("no negative") == 2  # any, subdural
    assert roc.count("no positive") == 4


def test_rsnas_layout_with_rows_that_repeat_and_rows_that_miss(tmp_path: Path) -> None:
    def long(ids: dict[str, float]) -> list[str]:
        return [f"ID_{one}_{label},{value}" for one, value in ids.items() for label in LABELS]

    labels = long({"a": 1, "b": 0, "c": 0, "e": 1})
    (tmp_path / "l.csv").write_text("\n".join(["ID,Label", *labels, *labels[:6]]) + "\n")
    p = [*long({"a": 0.75, "b": 0.25, "d": 0.5}), *long({"b": 0.25})]
    (tmp_path / "p.csv").write_text("\n".join(["ID,Label", *p]) + "\n")
    result = runner.invoke(
        app, ["evaluate", "-p", str(tmp_path / "p.csv"), "-l", str(tmp_path / "l.csv"), "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["slice"]["count"] == 2  # a and b
    assert found["slice"]["labels"]["any"]["auroc"] == 1.0
    remarks = " / ".join(found["remarks"])
    assert "1 slices of" in remarks
    assert "have no label" in remarks  # d
    assert "2 slices of" in remarks
    assert "have no prediction" in remarks  # c and e
    # b is repeated with the same numbers, as in RSNA's own tables; other numbers are an error
    p[-1] = p[-1].replace("0.25", "0.5")
    (tmp_path / "p.csv").write_text("\n".join(["ID,Label", *p]) + "\n")
    result = runner.invoke(
        app, ["evaluate", "-p", str(tmp_path / "p.csv"), "-l", str(tmp_path / "l.csv")]
    )
    assert result.exit_code == 1
    assert "this slice has two different labels for subdural" in result.stderr


def relabelled(folder: Path, change: Callable[[Rows], None], series: int = 8) -> Path:
    """Make other blobs with labels that are changed."""
    blobs(folder, series, slices=7, first=102)
    index = folder / "index.csv"
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with index.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    about = json.loads((folder / "dataset.json").read_text())
    about["sha256"] = hashlib.sha256(index.read_bytes()).hexdigest()
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def all_to(value: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for row in rows:
            row.update(dict.fromkeys(LABELS, value))

    return change


def calibrate(bundle: Path, data: Path, *more: str) -> Any:
    return runner.invoke(
        app,
        ["evaluate", "--bundle", str(bundle), "--calibrate", str(data), "--device", "cpu",
         "--bootstrap", "20", *more],
    )  # fmt: skip


@pytest.mark.parametrize("value", ["0.0", "1.0"], ids=["no positive", "no negative"])
def test_calibration_on_one_class_leaves_the_bundle_unchanged(
    run: Path, tmp_path: Path, value: str
) -> None:
    bundle = shutil.copytree(run / "run/bundle", tmp_path / "copy")
    before = {p.name: p.read_bytes() for p in bundle.iterdir()}
    result = calibrate(bundle, relabelled(tmp_path / "val", all_to(value)))
    assert result.exit_code == 1
    assert "val has no label with 5 positive and 5 negative slices" in result.stderr
    assert {p.name: p.read_bytes() for p in bundle.iterdir()} == before


def test_a_label_of_four_slices_keeps_its_parameters(run: Path, tmp_path: Path) -> None:
    def few(rows: Rows) -> None:  # blobs have `any` and epidural; four slices get subdural
        for row in rows:
            row["subdural"] = "1.0" if row["row"] in {"0", "9", "20", "30"} else "0.0"

    bundle = shutil.copytree(run / "run/bundle", tmp_path / "copy")
    config = json.loads((bundle / "config.json").read_text())
    config["ich"]["thresholds"]["subdural"] = 0.123
    config["ich"]["calibration"]["temperature"][5] = 1.7
    config["ich"]["calibration"]["bias"][5] = -0.6
    (bundle / "config.json").write_text(json.dumps(config))
    result = calibrate(bundle, relabelled(tmp_path / "val", few))
    assert result.exit_code == 0, result.output
    after = json.loads((bundle / "config.json").read_text())["ich"]
    assert after["thresholds"]["subdural"] == 0.123
    assert after["calibration"]["temperature"][5] == 1.7
    assert after["calibration"]["bias"][5] == -0.6
    assert after["calibration"]["bias"][0] != config["ich"]["calibration"]["bias"][0]
    chosen = after["training"]["calibrated"]["thresholds"]
    assert chosen["subdural"] == chosen["subarachnoid"] == "as before"
    assert chosen["any"] == "95 % sensitivity"
    line = " ".join(result.stderr.split())
    assert "subarachnoid, subdural: fewer than 5 positive or negative slices in val" in line


def test_calibration_on_one_patient_is_an_error(run: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(run / "run/bundle", tmp_path / "copy")
    before = (bundle / "config.json").read_bytes()
    blobs(tmp_path / "val", 1, slices=30, first=102)
    result = calibrate(bundle, tmp_path / "val")
    assert result.exit_code == 1
    assert "one patient" in result.stderr
    assert (bundle / "config.json").read_bytes() == before


def test_test_data_of_another_size_leaves_the_bundle_unchanged(run: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(run / "run/bundle", tmp_path / "copy")
    before = (bundle / "config.json").read_bytes()
    blobs(tmp_path / "val", 8, slices=7, first=102)
    blobs(tmp_path / "test", 3, size=48)
    result = calibrate(bundle, tmp_path / "val", "--data", str(tmp_path / "test"))
    assert result.exit_code == 1
    assert "copy needs size 32, but test was prepared with 48" in result.stderr
    assert (bundle / "config.json").read_bytes() == before


def test_an_ensemble_gets_thresholds_and_keeps_its_members(run: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    save_ensemble(
        both, [run / "run/fold-0/bundle", run / "run/fold-1/bundle"],
        BundleConfig("ensemble", {"real_ct": False, "data": "blobs"}),
    )  # fmt: skip
    members = {p: p.read_bytes() for p in both.rglob("*") if p.is_file() and p.parent != both}
    assert members
    blobs(tmp_path / "val", 12, slices=7, first=102)
    result = calibrate(both, tmp_path / "val", "--sensitivity", "any=1")
    assert result.exit_code == 0, result.output
    assert "is kept" in " ".join(result.stderr.split())
    after = json.loads((both / "config.json").read_text())["ich"]
    assert after["thresholds"]["any"] != 0.5
    assert after["thresholds"]["subdural"] == 0.5  # no blob has it
    assert {p: p.read_bytes() for p in members} == members


def test_a_wrong_bundle_is_an_error_before_any_is_run(run: Path, tmp_path: Path) -> None:
    good = ["evaluate", "--bundle", str(run / "run/bundle"), "--data", str(run / "blobs"),
            "--device", "cpu", "-o", str(tmp_path / "out")]  # fmt: skip
    result = runner.invoke(app, [*good, "--bundle", str(tmp_path / "nothing")])
    assert result.exit_code == 1
    assert "nothing" in result.stderr
    damaged = shutil.copytree(run / "run/bundle", tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"no weights")
    result = runner.invoke(app, [*good, "--bundle", str(damaged)])
    assert result.exit_code == 1
    assert "damaged" in result.stderr
    assert not (tmp_path / "out").exists()
