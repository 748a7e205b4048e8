"""Sets of NIfTI volumes with masks of subtypes: BHSD, MBH-Seg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import PreparedDataset
from tests.support.datasets import RSNA_STUDIES, make_bhsd, make_mbh, pseudonym
from tests.support.pipeline import evaluate, explain, invoke, predict, preprocess, train


@pytest.fixture(scope="module")
def bhsd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return BHSD's folder."""
    return make_bhsd(tmp_path_factory.mktemp("bhsd"))


@pytest.fixture(scope="module")
def mbh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of both parts of MBH-Seg."""
    return make_mbh(tmp_path_factory.mktemp("mbh"))


@pytest.fixture(scope="module")
def prepared(bhsd: Path) -> PreparedDataset:
    """Return the prepared miniature of BHSD."""
    return preprocess(bhsd, bhsd.parent / "bhsd-prepared")


def test_bhsd_has_the_subtypes_of_its_masks(prepared: PreparedDataset) -> None:
    assert prepared.about["source"]["kind"] == "bhsd"
    assert prepared.labels.sum(0).tolist() == [12, 0, 6, 0, 0, 6]
    assert prepared.masks is not None
    bits = np.bitwise_or.reduce(np.asarray(prepared.masks), axis=(1, 2))
    assert bits.tolist() == [2 * int(r.labels[2]) + 16 * int(r.labels[5]) for r in prepared.rows]


def test_patients_and_studies_of_bhsd_are_those_of_rsna(prepared: PreparedDataset) -> None:
    patient_of = {row.study: row.patient for row in prepared.rows}
    assert patient_of.keys() == {pseudonym(10, "study", p, n) for p, n, _ in RSNA_STUDIES[:4]}
    assert patient_of[pseudonym(10, "study", 1, 1)] == patient_of[pseudonym(10, "study", 1, 2)]
    assert prepared.about["patients"] == 3


def test_the_whole_pipeline_on_bhsd(bhsd: Path, prepared: PreparedDataset, tmp_path: Path) -> None:
    bundle = train(prepared, tmp_path / "run", "--mask-weight", 1)
    assert evaluate(prepared, bundle)["study"]["count"] == 4
    images = bhsd / "label_192" / "images"
    assert len(predict(images, bundle, tmp_path / "p.csv")) == 24
    assert explain(next(images.iterdir()), bundle, tmp_path / "maps")


def test_an_image_without_its_mask_is_named(tmp_path: Path) -> None:
    folder = make_bhsd(tmp_path)
    masks = folder / "label_192" / "ground truths"
    lost = sorted(masks.iterdir())[0]
    lost.unlink()
    result = invoke("preprocess", folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert lost.name.removesuffix(".nii.gz") in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_voxel_labels_of_mbh_are_labels_per_slice(mbh: Path, tmp_path: Path) -> None:
    data = preprocess(mbh, tmp_path / "prepared")
    assert data.about["source"]["kind"] == "mbh"
    assert data.study_labels is None
    assert (data.about["slices"], data.about["patients"], data.about["studies"]) == (18, 2, 3)
    assert evaluate(data, train(data, tmp_path / "run"))["study"]["count"] == 3


def test_case_labels_of_mbh_are_labels_per_study(
    mbh: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    case = mbh / "MBH_Train_2025_case-label"
    data = preprocess(case, tmp_path / "prepared")
    assert np.isnan(data.labels).all()
    metrics = evaluate(data, tiny_bundle)
    assert metrics["study"]["positives"]["any"] == 3
    assert metrics["study"]["positives"]["subdural"] == 2
    assert metrics["study"]["labels"]["any"]["auroc"] is not None
    assert metrics["slice"]["labels"]["any"]["auroc"] is None
    refused = invoke("train", data.folder, "-o", tmp_path / "run", "--init", "none")
    assert refused.exit_code == 1
    assert "labels per study" in refused.stderr
    assert explain(next(case.glob("*.nii.gz")), tiny_bundle, tmp_path / "maps")
    shown = invoke("evaluate", "--bundle", tiny_bundle, "--data", data.folder, "--bootstrap", 0)
    assert "5 studies of 4 patients" in " ".join(shown.stdout.split())
