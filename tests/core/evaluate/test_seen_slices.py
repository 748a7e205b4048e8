from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.bundle import BundleConfig, LearnedFrom, read_config
from ich_cli.core.bundle.resolve import default_bundle
from ich_cli.core.data import PreparedDataset
from ich_cli.core.evaluate import find_seen
from tests.support.prepared import BlobSeries, blobs, prepare

RSNA = "ID_0000000a", "ID_0000000b", "ID_0000000c"


def config(learned: LearnedFrom | None, data: str = "own DICOM") -> BundleConfig:
    return BundleConfig("test_resnet", {"real_ct": True, "data": data}, learned_from=learned)


def of_rsna(folder: Path, kind: str) -> PreparedDataset:
    """Return data of three patients, named as BHSD and MBH-Seg name them."""
    series = [BlobSeries(k, f"{name}_ID_00000000{k:02x}") for k, name in enumerate(RSNA)]
    return prepare(folder, series, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bhsd", "mbh"])
def test_patients_of_rsna_are_recognised_in_sets_drawn_from_it(tmp_path: Path, kind: str) -> None:
    data = of_rsna(tmp_path / kind, kind)
    patients = (f"RSNA 2019 {RSNA[0]}", f"RSNA 2019 {RSNA[2]}", "RSNA 2019 ID_ffffffff")
    learned = LearnedFrom.from_hashes(["0" * 15 + "1"], sets=("RSNA 2019",), patients=patients)
    seen = find_seen((config(learned),), data)
    assert seen.title == "12 slices of patients it was trained on, 6 of others"
    assert seen.remark() == (
        f"this bundle was trained on 0 of 18 slices and 2 of 3 patients of {kind}: these metrics "
        "are optimistic"
    )


def test_cq500_and_seg_cq500_share_patients(tmp_path: Path) -> None:
    series = [BlobSeries(k, f"CQ500CT{k}") for k in range(2)]
    data = prepare(tmp_path / "seg", series, "seg-cq500")  # type: ignore[arg-type]
    learned = LearnedFrom.from_hashes([], sets=("CQ500",), patients=("CQ500 1",))
    assert find_seen((config(learned),), data).patients[-1] == 1
    assert find_seen((config(learned),), data).of_patients.tolist() == [False] * 6 + [True] * 6


def test_the_same_public_set_with_unknown_patients(tmp_path: Path) -> None:
    series = [BlobSeries(k, f"study-{k}") for k in range(2)]
    data = prepare(tmp_path / "masks", series, "hemseg")  # type: ignore[arg-type]
    seen = find_seen((config(LearnedFrom.from_hashes([], sets=("RSNA 2019",))),), data)
    assert seen.public == ("RSNA 2019",)
    assert seen.title == "it is not known whether it was trained on these slices"
    assert "trained on patients of RSNA 2019, as those of masks are" in seen.remark()


def test_the_default_bundle_names_ct_ich_and_no_slices(tmp_path: Path) -> None:
    own = read_config(default_bundle())
    assert own.learned_from is None
    series = [BlobSeries(k, f"{k:03d}") for k in range(49, 51)]
    data = prepare(tmp_path / "ct", series, "ct-ich")  # type: ignore[arg-type]
    assert find_seen((own,), data).public == ("CT-ICH",)
    other = find_seen((own,), blobs(tmp_path / "blobs", 2))
    assert other.public == ()
    assert not other.known
    assert other.title == "it is not known whether it was trained on these slices"


def test_chance_hits_of_a_filter_are_no_patients(tmp_path: Path) -> None:
    data = blobs(tmp_path / "blobs", 6, slices=20)
    own = [row.hu_hash for row in data.rows if row.patient == 2]
    fill = [f"{k * 0x9E3779B97F4A7C15 % 2**64:016x}" for k in range(750_000)]
    learned = LearnedFrom.from_hashes([*own, *fill])
    seen = find_seen((config(learned),), data)
    assert seen.slices.tolist() == (data.patients == 2).tolist()


def test_nothing_shared(tmp_path: Path) -> None:
    data = blobs(tmp_path / "blobs", 2)
    seen = find_seen((config(LearnedFrom.from_hashes(["0" * 15 + "1"])),), data)
    assert seen.title == "slices it was not trained on"
    assert seen.remark() == ""
