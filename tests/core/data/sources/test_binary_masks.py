"""Sets that know only whether there is a hemorrhage: INSTANCE, Seg-CQ500."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import PreparedDataset
from tests.support.datasets import make_instance, make_seg_cq500
from tests.support.pipeline import evaluate, explain, predict, preprocess, train


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return INSTANCE's folder."""
    return make_instance(tmp_path_factory.mktemp("instance"))


@pytest.fixture(scope="module")
def prepared(instance: Path) -> PreparedDataset:
    """Return the prepared miniature of INSTANCE."""
    return preprocess(instance, instance.parent / "instance-prepared")


def test_subtypes_of_positive_slices_are_unknown(prepared: PreparedDataset) -> None:
    assert prepared.about["source"]["kind"] == "instance"
    positive = prepared.labels[:, 0] == 1
    assert int(positive.sum()) == 10
    assert np.isnan(prepared.labels[positive, 1:]).all()
    assert (prepared.labels[~positive] == 0).all()
    assert prepared.about["labels"]["any"] == {"slices": 10, "patients": 2}
    assert prepared.about["labels"]["subdural"] == {"slices": 0, "patients": 0, "unknown": 10}
    index = (prepared.folder / "index.csv").read_text().splitlines()
    assert sum(",1,,,,,,ok," in line for line in index) == 10


def test_binary_masks_have_unknown_subtypes(prepared: PreparedDataset) -> None:
    assert prepared.masks is not None
    assert np.unique(np.asarray(prepared.masks)).tolist() == [0, 64]


def test_the_whole_pipeline(instance: Path, prepared: PreparedDataset, tmp_path: Path) -> None:
    bundle = train(prepared, tmp_path / "run", "--mask-weight", 1, "--refit")
    metrics = evaluate(prepared, bundle)
    assert metrics["slice"]["labels"]["any"]["auroc"] is not None
    assert metrics["slice"]["labels"]["subdural"]["log_loss"] is None
    assert metrics["slice"]["confusion"]["subdural"] == {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    assert metrics["slice"]["weighted_log_loss"] == pytest.approx(
        metrics["slice"]["labels"]["any"]["log_loss"]
    )
    assert metrics["study"]["labels"]["subdural"]["auroc"] is None
    images = instance / "train_2" / "data"
    assert len(predict(images, bundle, tmp_path / "p.csv")) == 18
    assert explain(images / "002.nii.gz", bundle, tmp_path / "maps")


def test_seg_cq500_has_the_patients_of_cq500(tmp_path: Path) -> None:
    data = preprocess(make_seg_cq500(tmp_path), tmp_path / "prepared")
    assert data.about["source"]["kind"] == "seg-cq500"
    assert (data.about["slices"], data.about["patients"]) == (24, 3)
    assert int((data.labels[:, 0] == 1).sum()) == 15
    bundle = train(data, tmp_path / "run")
    assert evaluate(data, bundle)["slice"]["count"] == 24
