from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.datasets import make_dlmi
from tests.support.pipeline import evaluate, explain, invoke, predict, preprocess, train


def test_the_whole_pipeline(tmp_path: Path) -> None:
    folder = make_dlmi(tmp_path / "set")
    data = preprocess(folder, tmp_path / "prepared")
    assert data.about["source"]["kind"] == "dlmi"
    assert (data.about["slices"], data.about["patients"], data.about["studies"]) == (18, 2, 3)
    assert data.labels.sum(0).tolist() == [12, 0, 6, 0, 0, 6]
    bundle = train(data, tmp_path / "run")
    assert evaluate(data, bundle)["study"]["count"] == 3
    assert len(predict(folder / "train1", bundle, tmp_path / "p.csv")) == 18
    assert explain(next((folder / "train1").iterdir()), bundle, tmp_path / "map.png")


def test_the_second_folder_is_unlabelled(tmp_path: Path) -> None:
    folder = make_dlmi(tmp_path / "set")
    data = preprocess(folder / "train2", tmp_path / "prepared")
    assert data.about["source"]["kind"] == "dlmi"
    assert len(data) == 6
    assert not data.labelled
    assert np.isnan(data.labels).all()


def test_a_file_without_all_five_rows_is_named(tmp_path: Path) -> None:
    folder = make_dlmi(tmp_path / "set")
    table = folder / "Public_train_label.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:3] + lines[4:]))
    result = invoke("preprocess", folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "1 slices have no row for some of the subtypes" in result.stderr
    assert not (tmp_path / "out").exists()
