"""CQ500 and the boxes of BHX on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import PreparedDataset
from tests.support.datasets import make_bhx, make_cq500, phantom
from tests.support.pipeline import evaluate, explain, invoke, predict, preprocess, train


@pytest.fixture(scope="module")
def cq500(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unzipped studies and ``reads.csv``."""
    return make_cq500(tmp_path_factory.mktemp("cq500"))


@pytest.fixture(scope="module")
def prepared(cq500: Path) -> PreparedDataset:
    """Return the prepared miniature."""
    return preprocess(cq500, cq500.parent / "cq500-prepared")


def test_labels_are_the_majoritys_and_per_study(prepared: PreparedDataset) -> None:
    assert prepared.about["source"]["kind"] == "cq500"
    assert prepared.about["source"]["label_level"] == "study"
    assert (prepared.about["studies"], prepared.about["patients"]) == (4, 4)
    assert np.isnan(prepared.labels).all()
    assert prepared.study_labels is not None
    of_patient = {
        row.patient: labels.tolist()
        for row, labels in zip(prepared.rows, prepared.study_labels, strict=True)
    }
    # the fourth study is negative: one of three readers saw a hemorrhage
    assert of_patient == {
        0: [1, 0, 1, 0, 0, 0],
        1: [0, 0, 0, 0, 0, 0],
        2: [1, 0, 0, 0, 0, 1],
        3: [0, 0, 0, 0, 0, 0],
    }


def test_the_brain_kernel_is_chosen_and_said(prepared: PreparedDataset) -> None:
    assert len(prepared) == 32
    skipped = (prepared.folder / "skipped.csv").read_text()
    assert skipped.count("another series of the study is used") == 4
    assert skipped.count("CT BONE") == 4
    assert "8 slices of 5.0 mm, kernel STANDARD" in skipped


def test_it_is_evaluated_by_study_and_refused_by_train(
    cq500: Path, prepared: PreparedDataset, tiny_bundle: Path, tmp_path: Path
) -> None:
    metrics = evaluate(prepared, tiny_bundle)
    assert (metrics["study"]["count"], metrics["study"]["positives"]["any"]) == (4, 2)
    assert metrics["slice"]["weighted_log_loss"] is None
    refused = invoke("train", prepared.folder, "-o", tmp_path / "run", "--init", "none")
    assert refused.exit_code == 1
    assert "labels per study" in refused.stderr
    study = cq500 / "CQ500CT0 CQ500CT0"
    assert len(predict(study, tiny_bundle, tmp_path / "p.csv")) >= 8
    file = study / "Unknown Study" / "CT 5mm" / "CT000003.dcm"
    assert explain(file, tiny_bundle, tmp_path / "map.png")


def test_a_study_without_reads_is_named(tmp_path: Path) -> None:
    folder = make_cq500(tmp_path / "cq500")
    table = folder / "reads.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:3]))
    result = invoke("preprocess", folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "no reads of 2 studies (CQ500-CT-2, CQ500-CT-3)" in result.stderr
    assert not (tmp_path / "out").exists()


def test_boxes_of_bhx_are_masks_and_labels_per_slice(cq500: Path, tmp_path: Path) -> None:
    boxes = make_bhx(tmp_path / "bhx")
    data = preprocess(boxes, tmp_path / "prepared", "--images", cq500)
    assert data.about["source"]["kind"] == "bhx"
    expected = [phantom(300 + n, one, 8).masks for n, one in
                ((0, ("intraparenchymal",)), (2, ("subdural",)))]  # fmt: skip
    positive = [int(masks.any(axis=(1, 2)).sum()) for masks in expected]
    assert data.labels.sum(0).tolist() == [sum(positive), 0, positive[0], 0, 0, positive[1]]
    assert data.masks is not None
    assert np.unique(np.asarray(data.masks)).tolist() == [0, 2, 16]
    assert evaluate(data, train(data, tmp_path / "run"))["study"]["count"] == 2


def test_boxes_without_images_say_what_to_give(tmp_path: Path) -> None:
    result = invoke("preprocess", make_bhx(tmp_path / "bhx"), "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "--images" in result.stderr


def test_boxes_of_bhx_beside_cq500_are_its_masks(tmp_path: Path) -> None:
    folder = make_cq500(tmp_path / "cq500")
    make_bhx(folder / "bhx")
    data = preprocess(folder, tmp_path / "prepared", "--source", "cq500")
    assert data.study_labels is not None
    assert data.masks is not None
    # negative studies are empty, and so are slices without a box of boxed series
    assert np.unique(np.asarray(data.masks)).tolist() == [0, 2, 16]
