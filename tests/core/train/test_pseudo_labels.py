from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.bundle import load_bundle
from ich_cli.core.data import PreparedDataset, prepare_dataset
from ich_cli.core.data.label_table import NO_LABELS
from ich_cli.core.data.sources.base import SourceInfo
from ich_cli.core.errors import DataError, OutputError, UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.train import (
    Plan,
    PseudoLabels,
    TrainConfig,
    apply_pseudo_labels,
    collect_out_of_fold,
    describe_pseudo_labels,
    refit,
    start_run,
    train_fold,
)
from tests.support.prepared import BlobSeries, blobs

pytestmark = pytest.mark.usefixtures("one_thread")

SURE_BLOOD = (0.97, 0.95, 0.01, 0.02, 0.03, 0.04)
SURE_NONE = (0.05, 0.01, 0.01, 0.01, 0.01, 0.01)
UNSURE = (0.6, 0.5, 0.01, 0.01, 0.01, 0.01)
AT_ODDS = (0.95, 0.05, 0.05, 0.05, 0.05, 0.05)
"""Blood, but of no subtype."""


@dataclass(frozen=True)
class Unlabelled(BlobSeries):
    """The same slices without labels, in other studies."""

    def read(self):  # type: ignore[no-untyped-def]
        for one in super().read():
            yield replace(one, study=f"study-{self.number}", labels=NO_LABELS)


def unlabelled(folder: Path, series: int = 2, first: int = 100) -> PreparedDataset:
    sources = [Unlabelled(i, f"WHO^{i}") for i in range(first, first + series)]
    info = SourceInfo("unlabelled", "own DICOM without labels")
    return prepare_dataset(sources, folder, PreprocessConfig(size=32), info)


def table(path: Path, rows: dict[str, tuple[float, ...] | None]) -> Path:
    lines = [f"path,frame,sop_uid,{','.join(LABELS)},status"]
    for name, six in rows.items():
        values = ",".join("" if six is None else str(v) for v in (six or [None] * 6))
        lines.append(
            f"{name}.dcm,1,{name},{values if six else ',,,,,'},{'ok' if six else 'failed'}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_data_set_may_have_no_labels(tmp_path: Path) -> None:
    data = unlabelled(tmp_path / "more")
    again = PreparedDataset.open(tmp_path / "more")
    assert not again.labelled
    assert np.isnan(again.labels).all()
    assert again.known_rows().size == 0
    assert data.about["labelled"] is False
    assert "nan" not in (tmp_path / "more" / "index.csv").read_text()


def test_probabilities_become_labels_by_hand() -> None:
    p = np.array([SURE_BLOOD, SURE_NONE, UNSURE, AT_ODDS, (np.nan,) * 6])
    soft, at_odds = PseudoLabels(Path("x")).choose(p)
    np.testing.assert_allclose(soft[:4], p[:4], rtol=1e-6)  # all of them
    assert np.isnan(soft[4]).all()
    assert at_odds == 0
    surer, _ = PseudoLabels(Path("x"), high=0.9).choose(p)
    assert np.isnan(surer[2]).all()
    np.testing.assert_allclose(surer[0], SURE_BLOOD, rtol=1e-6)
    hard, at_odds = PseudoLabels(Path("x"), "hard").choose(p)
    np.testing.assert_array_equal(hard[:2], [[1, 1, 0, 0, 0, 0], [0] * 6])
    assert np.isnan(hard[2:]).all()
    assert at_odds == 1
    wide, _ = PseudoLabels(Path("x"), "hard", 0.5, 0.1).choose(p)
    np.testing.assert_array_equal(wide[2], [1, 1, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("kind", "high", "low"), [("soft", 1.2, None), ("soft", 0.3, None), ("hard", 0.5, None)]
)
def test_thresholds_that_make_no_sense(kind: str, high: float, low: float | None) -> None:
    with pytest.raises(UsageError, match="LOW"):
        PseudoLabels(Path("x"), kind, high, low)  # type: ignore[arg-type]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    measured = blobs(tmp_path / "blobs", 4)
    data = unlabelled(tmp_path / "more", series=1)
    rows = {
        "series-100/0": SURE_BLOOD, "series-100/1": SURE_NONE, "series-100/2": UNSURE,
        "series-100/3": AT_ODDS, "series-100/4": None, "elsewhere": SURE_NONE,
    }  # fmt: skip
    path = table(tmp_path / "p.csv", rows)
    found = apply_pseudo_labels(data, measured, PseudoLabels(path, "hard"))
    about = found.about["pseudo_labels"]
    assert about == {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "kind": "hard", "high": 0.9,
        "low": 0.1, "slices": 6, "used": 2, "without_prediction": 2, "in_the_measured_data": 0,
        "unsure": 1, "any_against_subtypes": 1, "predictions_without_slice": 1,
        "refused_files": 1, "labels": about["labels"],
    }  # fmt: skip
    assert about["labels"]["epidural"] == {"slices": 1, "patients": 1}
    assert found.known_rows().tolist() == [0, 1]
    assert found.labelled
    assert describe_pseudo_labels(about) == (
        "2 of 6 slices have hard pseudo-labels; 1 of them positive; 2 without a prediction; "
        "1 uncertain; 1 with `any` contradicting the subtypes; "
        "1 predictions for slices not in the data; "
        "1 rows of predictions without probabilities"
    )


def test_pictures_and_studies_that_are_measured_on_are_never_learned_from(tmp_path: Path) -> None:
    measured = blobs(tmp_path / "blobs", 4)
    copies = unlabelled(tmp_path / "copies", series=1, first=0)  # the pictures of series-0
    rows = {f"series-0/{i}": SURE_NONE for i in range(6)}
    with pytest.raises(DataError, match="6 of patients in the evaluated data"):
        apply_pseudo_labels(copies, measured, PseudoLabels(table(tmp_path / "p.csv", rows)))


def test_a_table_of_other_slices_is_refused(tmp_path: Path) -> None:
    measured, data = blobs(tmp_path / "blobs", 4), unlabelled(tmp_path / "more", series=1)
    other = table(tmp_path / "p.csv", {"elsewhere": SURE_NONE})
    with pytest.raises(DataError, match=r"no slice of more gets a label.*6 without a prediction"):
        apply_pseudo_labels(data, measured, PseudoLabels(other))


def plan(data: tuple[PreparedDataset, ...], out: Path, **more: object) -> Plan:
    config = TrainConfig(
        model="test_resnet", init="none", epochs=2, batch_size=8, precision="no", ema=0.9
    )
    return Plan(config=config, data=data, out=out, folds=2, device="cpu", **more)  # type: ignore[arg-type]


def test_slices_without_labels_are_refused_until_they_have_some(tmp_path: Path) -> None:
    measured, data = blobs(tmp_path / "blobs", 4), unlabelled(tmp_path / "more")
    with pytest.raises(DataError, match=r"more has no labels; add --pseudo"):
        plan((measured, data), tmp_path / "run")
    with pytest.raises(DataError, match="the first data set is evaluated"):
        plan((data, measured), tmp_path / "run")


def test_a_run_learns_from_them_and_never_measures_on_them(tmp_path: Path) -> None:
    measured, data = blobs(tmp_path / "blobs", 4), unlabelled(tmp_path / "more")
    rows = {
        row.name: SURE_BLOOD if (int(row.series[-1]) + row.position) % 3 == 2 else SURE_NONE
        for row in data.rows
    }
    path = table(tmp_path / "p.csv", rows)
    taught = apply_pseudo_labels(data, measured, PseudoLabels(path))
    this = plan((measured, taught), tmp_path / "run", sampling_weights=(1.0, 0.5))
    start_run(this)
    for fold in (0, 1):
        train_fold(this, fold)
    found = collect_out_of_fold(this)
    assert found is not None
    assert found.logits.shape == (24, 6)  # the labelled slices alone
    bundle = load_bundle(refit(this, found))
    entry = bundle.config.training["pseudo_labels"]
    assert (entry["used"], entry["sha256"]) == (12, hashlib.sha256(path.read_bytes()).hexdigest())
    assert "12 of them with soft pseudo-labels" in bundle.config.training["data"]
    assert str(tmp_path) not in (tmp_path / "run" / "run.json").read_text()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"][1]["pseudo_labels"]
    others = table(tmp_path / "q.csv", dict.fromkeys(rows, SURE_NONE))
    other = apply_pseudo_labels(data, measured, PseudoLabels(others))
    with pytest.raises(OutputError, match=r"other settings \(data\)"):
        start_run(
            plan((measured, other), tmp_path / "run", sampling_weights=(1.0, 0.5), resume=True)
        )
