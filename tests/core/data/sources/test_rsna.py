from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import PreparedDataset
from tests.support.datasets import RSNA_STUDIES, make_rsna, pseudonym
from tests.support.pipeline import evaluate, explain, predict, preprocess, succeed, train


@pytest.fixture(scope="module")
def rsna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that a user gets by unzipping Kaggle's archive."""
    return make_rsna(tmp_path_factory.mktemp("rsna"))


@pytest.fixture(scope="module")
def prepared(rsna: Path) -> PreparedDataset:
    """Return the prepared miniature."""
    return preprocess(rsna, rsna.parent / "rsna-prepared")


def test_patients_studies_and_slices_are_counted(rsna: Path, tmp_path: Path) -> None:
    result = succeed("preprocess", rsna, "-o", tmp_path / "out", "--size", 32, "--workers", 0)
    assert "48 slices of 6 patients, 8 studies" in " ".join(result.stdout.split())


def test_labels_and_pseudonyms_are_those_of_the_table(prepared: PreparedDataset) -> None:
    assert prepared.about["source"]["kind"] == "rsna"
    by_study = {row.study: row.patient for row in prepared.rows}
    assert by_study.keys() == {pseudonym(10, "study", p, n) for p, n, _ in RSNA_STUDIES}
    first, second = (by_study[pseudonym(10, "study", 3, n)] for n in (1, 2))
    assert first == second
    assert prepared.labels.sum(0).tolist() == [24, 0, 12, 0, 0, 12]
    for rows in prepared.series_rows():
        assert rows.size == 6
        assert len({prepared.rows[row].study for row in rows}) == 1


def test_the_wrapped_slice_is_repaired_and_the_broken_file_skipped(
    prepared: PreparedDataset,
) -> None:
    repaired = [row.name for row in prepared.rows if row.status == "repaired"]
    assert repaired == [pseudonym(9, "sop", 2, 1, 3)]
    skipped = (prepared.folder / "skipped.csv").read_text().splitlines()
    assert len(skipped) == 2
    assert "ID_6431af929.dcm" in skipped[1]
    assert "truncated" in skipped[1]


def test_the_whole_pipeline(rsna: Path, prepared: PreparedDataset, tmp_path: Path) -> None:
    bundle = train(prepared, tmp_path / "run")
    metrics = evaluate(prepared, bundle)
    assert metrics["slice"]["count"] == 48
    assert metrics["study"]["count"] == 8
    rows = predict(rsna, bundle, tmp_path / "p.csv")
    assert len([row for row in rows if row["any"]]) == 48
    assert {row["study_uid"] for row in rows if row["any"]} == {r.study for r in prepared.rows}
    positive = prepared.rows[int(np.argmax(prepared.labels[:, 0]))].name
    (file,) = rsna.rglob(f"{positive}.dcm")
    assert explain(file, bundle, tmp_path / "map.png")
