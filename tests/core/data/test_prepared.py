from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import BinaryIO
from unittest.mock import Mock

import numpy as np
import pytest

from ich_cli.core.data import (
    UNKNOWN,
    PreparedDataset,
    preload_imports,
    prepare as preparing,
    prepare_dataset,
    prepare_store,
)
from ich_cli.core.data.sources.base import SourceInfo
from ich_cli.core.errors import DataError, OutputError
from ich_cli.core.preprocessing import PreprocessConfig, prepare
from ich_cli.core.system import worker_processes
from tests.support.prepared import BlobSeries, blobs

INFO = SourceInfo("test", "blobs")
CONFIG = PreprocessConfig(size=32)


def test_pixels_are_what_prepare_gives(tmp_path: Path) -> None:
    data = blobs(tmp_path / "out", 2)
    slices = list(BlobSeries(1, "x").read())
    assert slices[4].ct is not None
    np.testing.assert_array_equal(data.pixels[6 + 4], prepare(slices[4].ct, CONFIG).pixels)
    assert data.rows[10].name == "series-1/4"
    np.testing.assert_array_equal(data.labels[10], slices[4].labels)


def test_context_takes_neighbours_of_the_series_and_none_beyond_it(tmp_path: Path) -> None:
    config = PreprocessConfig(size=32, context=1)
    data = prepare_dataset([BlobSeries(0, "x")], tmp_path / "out", config, INFO)
    s = [one.ct for one in BlobSeries(0, "x").read()]
    assert s[0] is not None
    assert s[1] is not None
    assert s[2] is not None
    np.testing.assert_array_equal(data.pixels[1], prepare(s[1], config, [s[0], s[2]]).pixels)
    np.testing.assert_array_equal(data.pixels[0], prepare(s[0], config, [None, s[1]]).pixels)


def test_a_broken_slice_is_listed_with_its_reason_and_leaves_a_gap(tmp_path: Path) -> None:
    data = prepare_dataset([BlobSeries(0, "x", broken=2)], tmp_path / "out", CONFIG, INFO)
    assert [row.position for row in data.rows] == [0, 1, 3, 4, 5]
    skipped = (tmp_path / "out" / "skipped.csv").read_text().splitlines()
    assert skipped[1:] == ["series-0/2,study,series-0,failed,cannot be read"]


def test_patients_become_running_numbers_and_their_keys_are_nowhere(tmp_path: Path) -> None:
    series = [BlobSeries(0, "DOE^JANE"), BlobSeries(1, "ROE^RICHARD"), BlobSeries(2, "DOE^JANE")]
    data = prepare_dataset(series, tmp_path / "out", CONFIG, INFO)
    assert data.patients.tolist() == [0] * 6 + [1] * 6 + [0] * 6
    for path in (tmp_path / "out").iterdir():
        assert b"DOE" not in path.read_bytes()
        assert b"ROE" not in path.read_bytes()


def test_masks_lie_where_the_blood_is_in_the_prepared_slice(tmp_path: Path) -> None:
    data = prepare_dataset([BlobSeries(0, "x", located=True)], tmp_path / "out", CONFIG, INFO)
    assert data.masks is not None
    assert data.masks.shape == (6, 32, 32)
    for pixels, mask, labels in zip(data.pixels, data.masks, data.labels, strict=True):
        assert mask.any() == (labels[0] == 1)
        assert set(np.unique(mask)) <= {0, 1}
        if mask.any():  # 75 HU is level 239 of the brain window, brain of 30 HU is level 96
            assert np.median(pixels[0][mask == 1]) > 200
            assert np.median(pixels[0][(mask == 0) & (pixels[0] > 0)]) < 130


def test_without_annotation_a_positive_slice_is_unknown_and_a_negative_one_empty(
    tmp_path: Path,
) -> None:
    series = [BlobSeries(0, "x", located=True), BlobSeries(1, "y")]
    masks = prepare_dataset(series, tmp_path / "out", CONFIG, INFO).masks
    assert masks is not None
    expected = [UNKNOWN if (1 + index) % 3 == 0 else 0 for index in range(6)]
    assert masks[6:].max((1, 2)).tolist() == masks[6:].min((1, 2)).tolist() == expected
    assert blobs(tmp_path / "none", 2).masks is None


def test_masks_of_another_data_set_are_refused(tmp_path: Path) -> None:
    blobs(tmp_path / "out", 2, located=True)
    np.save(tmp_path / "out" / "masks.npy", np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(DataError, match="does not match"):
        PreparedDataset.open(tmp_path / "out")


def test_counts_are_of_slices_and_patients(tmp_path: Path) -> None:
    about = blobs(tmp_path / "out", 4).about
    assert (about["slices"], about["patients"], about["skipped"]) == (24, 4, 0)
    assert about["labels"]["any"] == {"slices": 8, "patients": 4}
    assert about["labels"]["subdural"] == {"slices": 0, "patients": 0}


def test_two_processes_give_the_same_as_one(tmp_path: Path) -> None:
    series = [BlobSeries(i, f"p{i}") for i in range(3)]
    one = prepare_dataset(series, tmp_path / "one", CONFIG, INFO)
    with worker_processes(2, preload_imports) as pool:
        assert isinstance(pool, ProcessPoolExecutor)
        assert len(pool._processes) == 2  # at once, before there is work
        two = prepare_dataset(series, tmp_path / "two", CONFIG, INFO, pool=pool)
    assert one.sha256 == two.sha256


@pytest.mark.parametrize("dies_in", ["prepare_series", "join_masks", "clean"])
def test_a_killed_run_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    series = [BlobSeries(i, f"p{i % 2}", located=True) for i in range(4)]
    whole = prepare_dataset(series, tmp_path / "whole", CONFIG, INFO)
    calls = []
    real = getattr(preparing, dies_in)

    def dies(*args: object) -> object:
        calls.append(args)
        if dies_in != "prepare_series" or len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(preparing, dies_in, dies)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset(series, tmp_path / "out", CONFIG, INFO)
    assert not (tmp_path / "out").exists()
    done: list[int] = []
    again = prepare_dataset(
        series, tmp_path / "out", CONFIG, INFO, resume=True, progress=lambda a, b: done.append(a)
    )
    assert again.sha256 == whole.sha256
    np.testing.assert_array_equal(again.pixels, whole.pixels)
    assert again.masks is not None
    assert whole.masks is not None
    np.testing.assert_array_equal(again.masks, whole.masks)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "dataset.json", "index.csv", "masks.npy", "pixels.npy", "skipped.csv",
    ]  # fmt: skip


@pytest.mark.parametrize("dies_at", [1, 2, 7, 15])
def test_a_run_killed_while_it_closes_gaps_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    series = [BlobSeries(i, f"p{i}", broken=i) for i in range(4)]  # slice 0 of the first, …
    whole = prepare_dataset(series, tmp_path / "whole", CONFIG, INFO)
    move = prepare_store.PixelFile._move
    moved: list[int] = []

    def dies(self: prepare_store.PixelFile, file: BinaryIO, at: int, to: int) -> None:
        moved.append(at)
        if len(moved) == dies_at:
            raise KeyboardInterrupt
        move(self, file, at, to)

    with monkeypatch.context() as patch:
        patch.setattr(prepare_store.PixelFile, "_move", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset(series, tmp_path / "out", CONFIG, INFO)
    prepare_dataset(series, tmp_path / "out", CONFIG, INFO, resume=True)

    assert whole.pixels.shape == (20, 3, 32, 32)
    for name in ("pixels.npy", "index.csv", "skipped.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "keep"),
    [("pixels.npy", 128 + 9 * 3072), ("masks-000001.npy", 200), ("000001.json", 0), ("", 0)],
)
def test_what_did_not_reach_the_disk_before_the_power_went_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, keep: int
) -> None:
    series = [BlobSeries(i, f"p{i}", broken=0, located=True) for i in range(3)]
    whole = prepare_dataset(series, tmp_path / "whole", CONFIG, INFO)
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "_join", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset(series, tmp_path / "out", CONFIG, INFO)
    if name:
        with (tmp_path / ".out.partial" / name).open("r+b") as file:
            size = file.seek(0, 2)
            file.truncate(keep)  # of the pixels: the second series begins at slice 6
            file.truncate(size)  # what was lost reads as zeros
    made = Mock(side_effect=preparing.prepare_series)
    monkeypatch.setattr(preparing, "prepare_series", made)
    again = prepare_dataset(series, tmp_path / "out", CONFIG, INFO, resume=True)

    expected = {"pixels.npy": [1, 2], "masks-000001.npy": [1], "000001.json": [1], "": []}
    assert [call.args[0].number for call in made.call_args_list] == expected[name]
    assert again.sha256 == whole.sha256
    np.testing.assert_array_equal(again.pixels, whole.pixels)
    np.testing.assert_array_equal(again.masks, whole.masks)  # type: ignore[arg-type]


def test_resuming_with_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "_join", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset([BlobSeries(0, "p")], tmp_path / "out", CONFIG, INFO)
    other = PreprocessConfig(size=48)
    with pytest.raises(DataError, match="other files or settings"):
        prepare_dataset([BlobSeries(0, "p")], tmp_path / "out", other, INFO, resume=True)


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        prepare_dataset([BlobSeries(0, "p")], tmp_path, CONFIG, INFO)


def test_without_a_usable_slice_the_error_gives_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no slice could be prepared.*cannot be read"):
        prepare_dataset([BlobSeries(0, "p", 1, broken=0)], tmp_path / "out", CONFIG, INFO)


def test_a_changed_index_or_another_format_is_refused(tmp_path: Path) -> None:
    blobs(tmp_path / "out", 2)
    index = tmp_path / "out" / "index.csv"
    text = index.read_text()
    index.write_text(text.replace("series-1/4", "series-1/5"))
    with pytest.raises(DataError, match="has changed since it was prepared"):
        PreparedDataset.open(tmp_path / "out")
    index.write_text(text)
    about = tmp_path / "out" / "dataset.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "format": 2}))
    with pytest.raises(DataError, match="format 1"):
        PreparedDataset.open(tmp_path / "out")
    with pytest.raises(DataError, match="ich preprocess"):
        PreparedDataset.open(tmp_path)
