from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.datasets import make_headct200
from tests.support.pipeline import evaluate, explain, invoke, predict, preprocess, train


def test_the_whole_pipeline_on_pictures(tmp_path: Path) -> None:
    folder = make_headct200(tmp_path / "set")
    data = preprocess(folder, tmp_path / "prepared")
    assert data.about["source"]["kind"] == "headct200"
    assert (data.about["slices"], data.about["patients"]) == (6, 6)
    assert data.labels[:, 0].tolist() == [1, 1, 1, 0, 0, 0]
    assert np.isnan(data.labels[:3, 1:]).all()
    assert (data.labels[3:, 1:] == 0).all()
    assert all(row.status == "repaired" for row in data.rows)
    assert all("HU from window 40/80" in row.note for row in data.rows)
    bundle = train(data, tmp_path / "run")
    assert evaluate(data, bundle)["slice"]["positives"]["any"] == 3
    pictures = folder / "head_ct" / "head_ct"
    table = tmp_path / "p.csv"
    options = ("-w", bundle, "-o", table, "--device", "cpu", "--quiet", "--window", "unknown")
    invoke("predict", pictures, *options)
    assert len(table.read_text().splitlines()) == 7
    assert explain(pictures / "000.png", bundle, tmp_path / "map.png", "--window", "unknown")
    assert predict(pictures, bundle, tmp_path / "q.csv")[0]["any"] == ""  # without a window


def test_a_picture_without_a_row_is_named(tmp_path: Path) -> None:
    folder = make_headct200(tmp_path)
    (folder / "labels.csv").write_text("id, hemorrhage\n0,1\n1,1\n2,1\n")
    result = invoke("preprocess", folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "no row for 3 pictures (003, 004, 005)" in result.stderr
