from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.datasets import INTRAPARENCHYMAL, SUBDURAL, phantom, save_nifti
from tests.support.pipeline import evaluate, explain, invoke, preprocess, train

SEEDS = {"a": (401, INTRAPARENCHYMAL), "b": (402, SUBDURAL), "c": (403, ())}


def write_volumes(folder: Path, ending: str = "") -> None:
    folder.mkdir(parents=True)
    for name, (seed, subtypes) in SEEDS.items():
        study = phantom(seed, subtypes)
        save_nifti(folder / f"{name}{ending}.nii.gz", study.hu, study)


def write_masks(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, (seed, subtypes) in SEEDS.items():
        study = phantom(seed, subtypes)
        save_nifti(folder / f"{name}.nii.gz", (study.masks > 0).astype(np.uint8), study)


@pytest.mark.parametrize(
    ("images", "masks", "ending"), [("images", "masks", ""), ("imagesTr", "labelsTr", "_0000")]
)
def test_volumes_with_masks(tmp_path: Path, images: str, masks: str, ending: str) -> None:
    write_volumes(tmp_path / "set" / images, ending)
    write_masks(tmp_path / "set" / masks)
    data = preprocess(tmp_path / "set", tmp_path / "prepared")
    assert data.about["source"]["kind"] == "nifti"
    assert (data.about["slices"], data.about["patients"]) == (18, 3)
    assert int(np.nansum(data.labels[:, 0])) == 10


def test_the_whole_pipeline(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set" / "images")
    write_masks(tmp_path / "set" / "masks")
    data = preprocess(tmp_path / "set", tmp_path / "prepared")
    bundle = train(data, tmp_path / "run")
    assert evaluate(data, bundle)["study"]["count"] == 3
    assert explain(tmp_path / "set" / "images" / "b.nii.gz", bundle, tmp_path / "maps")


def test_masks_on_a_flipped_and_permuted_grid_are_turned_to_their_image(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set" / "images")
    write_masks(tmp_path / "set" / "masks")
    straight = preprocess(tmp_path / "set", tmp_path / "straight")
    for path in (tmp_path / "set" / "masks").iterdir():
        mask = nibabel.load(path)
        turned = mask.as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))  # type: ignore[attr-defined]
        nibabel.save(turned, path)
    turned = preprocess(tmp_path / "set", tmp_path / "turned")
    np.testing.assert_array_equal(np.asarray(turned.masks), np.asarray(straight.masks))


def test_a_mask_of_another_size_fails_its_volume_only(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set" / "images")
    write_masks(tmp_path / "set" / "masks")
    study = phantom(401, INTRAPARENCHYMAL)
    path = tmp_path / "set" / "masks" / "a.nii.gz"
    save_nifti(path, (study.masks[:5] > 0).astype(np.uint8), study)
    data = preprocess(tmp_path / "set", tmp_path / "prepared")
    assert len(data) == 12
    skipped = (data.folder / "skipped.csv").read_text()
    assert skipped.count("mask of 5 x 64 x 64 for images of 6 x 64 x 64") == 6


def test_a_table_of_files_has_labels_per_study(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set")
    (tmp_path / "set" / "labels.csv").write_text("file,any\na.nii.gz,1\nb.nii.gz,1\nc.nii.gz,0\n")
    data = preprocess(tmp_path / "set", tmp_path / "prepared")
    assert data.study_labels is not None
    assert np.isnan(data.study_labels[0, 1:]).all()
    assert data.study_labels[-1].tolist() == [0] * 6


def test_a_table_of_files_and_frames_has_labels_per_slice(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set")
    rows = [f"{name},{frame},{int(frame == 2)}" for name in SEEDS for frame in range(1, 7)]
    (tmp_path / "set" / "labels.csv").write_text("\n".join(["file,frame,any", *rows]))
    data = preprocess(tmp_path / "set", tmp_path / "prepared")
    assert data.study_labels is None
    assert int(data.labels[:, 0].sum()) == 3


def test_volumes_without_a_row_are_named(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set")
    (tmp_path / "set" / "labels.csv").write_text("file,any\na.nii.gz,1\n")
    result = invoke("preprocess", tmp_path / "set", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "no row for 2 volumes (b, c)" in result.stderr
    assert not (tmp_path / "out").exists()
