from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import PreparedDataset
from tests.support.datasets import make_ct_ich_nifti
from tests.support.pipeline import evaluate, explain, invoke, predict, preprocess, train


@pytest.fixture(scope="module")
def ct_ich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of version 1.3.1."""
    return make_ct_ich_nifti(tmp_path_factory.mktemp("ct-ich"))


@pytest.fixture(scope="module")
def prepared(ct_ich: Path) -> PreparedDataset:
    """Return the prepared miniature."""
    return preprocess(ct_ich, ct_ich.parent / "ct-ich-prepared")


def test_labels_are_those_of_the_table(prepared: PreparedDataset) -> None:
    assert prepared.about["source"]["kind"] == "ct-ich"
    assert (prepared.about["slices"], prepared.about["patients"]) == (24, 4)
    assert prepared.labels.sum(0).tolist() == [10, 0, 4, 0, 0, 6]
    assert {row.study for row in prepared.rows} == {"049", "050", "066", "067"}


def test_masks_have_the_only_subtype_of_their_slice(prepared: PreparedDataset) -> None:
    assert prepared.masks is not None
    for row in prepared.rows:
        found = int(np.bitwise_or.reduce(prepared.masks[row.row], axis=None))
        expected = {1: 1 << 1, 2: 1 << 4}.get(int(row.labels[2]) + 2 * int(row.labels[5]), 0)
        assert found == expected


def test_masks_lie_on_blood(prepared: PreparedDataset) -> None:
    assert prepared.masks is not None
    brain = np.asarray(prepared.pixels)[:, 0]  # window 40/80
    inside = brain[np.asarray(prepared.masks) > 0]
    assert np.median(inside) > 1.3 * np.median(brain[brain > 20])


def test_the_whole_pipeline(ct_ich: Path, prepared: PreparedDataset, tmp_path: Path) -> None:
    bundle = train(prepared, tmp_path / "run", "--mask-weight", 1)
    assert evaluate(prepared, bundle)["study"]["count"] == 4
    scans = ct_ich / "ct_scans"
    rows = predict(scans, bundle, tmp_path / "p.csv")
    assert {f"{row['sop_uid']}#{row['frame']}" for row in rows} >= {
        row.name for row in prepared.rows if "#" in row.name
    }
    assert explain(scans / "066.nii", bundle, tmp_path / "maps")


def test_a_table_without_whole_numbers_is_refused(tmp_path: Path) -> None:
    folder = make_ct_ich_nifti(tmp_path)
    table = folder / "hemorrhage_diagnosis_raw_ct.csv"
    table.write_text(table.read_text().replace("49,2,", "49,two,"))
    result = invoke("preprocess", folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "line 3: PatientNumber and SliceNumber must be whole numbers" in result.stderr
    assert not (tmp_path / "out").exists()
