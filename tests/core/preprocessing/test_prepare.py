"""Model input of small slices, with expected values worked out by hand."""

from __future__ import annotations

import importlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.imaging import BONE, BRAIN, SUBDURAL, Window, head_box, to_uint8
from ich_cli.core.preprocessing import (
    Placement,
    PreprocessConfig,
    pipeline,
    prepare,
    prepare_each,
    uncrop,
)

ONE_WINDOW = PreprocessConfig(size=32, windows=(Window(40, 80),), mean=(0,), std=(1,))


def ct(hu: NDArray[np.float32] | list[list[int]]) -> CTSlice:
    return CTSlice(np.asarray(hu, np.float32), SliceId("made by a test"))


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> NDArray[np.float32]:
    """A head of 40 HU in air."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return np.where(inside, 40, -1000).astype(np.float32)


def test_every_caller_uses_the_same_function() -> None:
    for caller in ("preprocessing.pipeline", "explain.maps", "data.prepare_series"):
        module = importlib.import_module(f"ich_cli.core.{caller}")
        assert module.prepare is prepare, caller
    predictor = importlib.import_module("ich_cli.core.predict.predictor")
    assert predictor.prepare_each is prepare_each


def test_an_ensemble_of_two_sizes_finds_the_head_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(pipeline, "head_box", lambda hu: calls.append(hu) or head_box(hu))
    slice_ = ct(disc((128, 128), 60, 70, 30))
    configs = [PreprocessConfig(size=32), PreprocessConfig(size=48)]
    small, large = prepare_each(slice_, configs)
    assert len(calls) == 1
    assert np.array_equal(small.pixels, prepare(slice_, configs[0]).pixels)
    assert np.array_equal(large.pixels, prepare(slice_, configs[1]).pixels)


@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (2, 1300), (1, 1)])
def test_a_very_thin_image_keeps_its_field(shape: tuple[int, int]) -> None:
    assert head_box(np.full(shape, 40, np.float32)) == (0, 0, *shape)


def test_box_holds_the_head_and_little_more() -> None:
    top, left, bottom, right = head_box(disc((128, 128), 60, 70, 30))
    assert 27 <= top <= 30 <= 90 < bottom <= 93  # the disc spans rows 30 to 90
    assert 37 <= left <= 40 <= 100 < right <= 103  # and columns 40 to 100


def test_box_leaves_out_a_thin_headrest_that_touches_the_skin() -> None:
    hu = disc((128, 128), 60, 64, 30)
    hu[91, 10:118] = 200  # one row thick, right below the head
    assert head_box(hu) == head_box(disc((128, 128), 60, 64, 30))


def test_box_takes_the_largest_part() -> None:
    hu = np.maximum(disc((128, 128), 40, 40, 30), disc((128, 128), 110, 110, 8))
    assert head_box(hu)[2] < 80


@pytest.mark.parametrize("value", [-1000, 40])
def test_a_slice_without_a_border_keeps_its_whole_field(value: int) -> None:
    assert head_box(np.full((64, 48), value, np.float32)) == (0, 0, 64, 48)


def test_a_wide_head_is_padded_with_air_above_and_below_never_stretched() -> None:
    hu = np.full((16, 32), 40, np.float32)
    pixels, placement = prepare(ct(hu), ONE_WINDOW)
    assert placement == Placement(top=-8, left=0, side=32, size=32, box=(0, 0, 16, 32))
    assert pixels.shape == (1, 32, 32)
    assert pixels.dtype == np.uint8
    assert (pixels[0, 8:24] == 128).all()  # 40 HU in 40/80 is one half: 127.5, rounded up
    assert (pixels[0, :8] == 0).all()
    assert (pixels[0, 24:] == 0).all()


def test_windows_are_channels_in_the_order_of_the_config() -> None:
    pixels, _ = prepare(ct(np.full((32, 32), 60, np.float32)), PreprocessConfig(size=32))
    # brain (60 - 0) / 80 = .75 -> 191.25; subdural (60 + 20) / 200 = .4 -> 102;
    # bone (60 + 800) / 2800 = .30714 -> 78.32
    assert pixels[:, 16, 16].tolist() == [191, 102, 78]


def test_a_bright_pixel_beside_bone_is_averaged_after_the_window() -> None:
    # two pixels become one: 1000 HU is white (255), 40 HU is 128: the mean is 192, not white
    hu = np.tile(np.array([[1000, 40]], np.float32), (64, 32))
    pixels, _ = prepare(ct(hu), ONE_WINDOW)
    assert np.unique(pixels[0]).tolist() == [192]


def test_neighbours_become_channels_from_below_to_above() -> None:
    config = PreprocessConfig(size=16, windows=(Window(40, 80),), mean=(0,), std=(1,), context=1)
    below, middle, above = (ct(np.full((16, 16), hu, np.float32)) for hu in (20, 40, 60))
    assert prepare(middle, config, (below, above)).pixels[:, 0, 0].tolist() == [64, 128, 191]
    assert prepare(middle, config, (None, above)).pixels[:, 0, 0].tolist() == [128, 128, 191]
    assert prepare(middle, config).pixels[:, 0, 0].tolist() == [128, 128, 128]


def test_the_number_of_neighbours_must_match_the_context() -> None:
    with pytest.raises(ValueError, match="context 1 takes 2 neighbours, not 1"):
        prepare(ct(np.zeros((16, 16), np.float32)), PreprocessConfig(context=1), (None,))


def test_a_smaller_neighbour_is_filled_up_with_air() -> None:
    config = PreprocessConfig(size=16, windows=(Window(40, 80),), mean=(0,), std=(1,), context=1)
    small = ct(np.full((8, 8), 60, np.float32))
    pixels, _ = prepare(ct(np.full((16, 16), 40, np.float32)), config, (small, None))
    assert pixels[0, 0, 0] == 191
    assert pixels[0, 15, 15] == 0


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(40, 160),
    columns=st.integers(40, 160),
    size=st.integers(32, 96),
    data=st.data(),
)
def test_a_planted_spot_comes_back_within_a_pixel(
    rows: int, columns: int, size: int, data: st.DataObject
) -> None:
    hu = np.full((rows, columns), 0, np.float32)
    row = data.draw(st.integers(3, rows - 4))
    column = data.draw(st.integers(3, columns - 4))
    hu[row - 2 : row + 3, column - 2 : column + 3] = 80
    config = PreprocessConfig(size=size, windows=(Window(40, 80),), mean=(0,), std=(1,))
    pixels, placement = prepare(ct(hu), config)
    back = uncrop(pixels[0].astype(np.float32), placement, (rows, columns))
    weight = back / back.sum()
    assert (weight.sum(axis=1) * np.arange(rows)).sum() == pytest.approx(row, abs=1)
    assert (weight.sum(axis=0) * np.arange(columns)).sum() == pytest.approx(column, abs=1)


def test_uncrop_fills_pixels_outside_the_square() -> None:
    placement = Placement(top=2, left=2, side=4, size=8, box=(2, 2, 6, 6))
    out = uncrop(np.ones((8, 8), np.float32), placement, (8, 8), fill=-1)
    assert (out[2:6, 2:6] == 1).all()
    assert (out == -1).sum() == 64 - 16


class TestDlmi:
    """The predecessor project's pipeline, numbers worked out from its description."""

    config = PreprocessConfig.dlmi(size=16)

    def test_each_window_subtracts_its_own_minimum_and_truncates(self) -> None:
        hu = np.full((16, 16), 10, np.float32)
        hu[0, 0] = 30
        pixels, _ = prepare(ct(hu), self.config)
        # above the minimum of 10 HU: 20/80 * 255 = 63.75, 20/200 * 255 = 25.5, 20/380 * 255 = 13.4
        # the only pixel above 0 is (0, 0): the crop is that pixel, enlarged to the whole square
        assert [np.unique(plane).tolist() for plane in pixels] == [[63], [25], [13]]

    def test_the_crop_is_at_the_top_left_of_a_black_square(self) -> None:
        hu = np.zeros((40, 40), np.float32)
        hu[4:20, 6:14] = 80  # 16 rows, 8 columns
        pixels, placement = prepare(ct(hu), self.config)
        assert placement == Placement(top=4, left=6, side=16, size=16, box=(4, 6, 20, 14))
        assert (pixels[0, :, :8] == 255).all()
        assert (pixels[0, :, 8:] == 0).all()

    def test_a_slice_of_one_value_is_black_and_does_not_fail(self) -> None:
        pixels, _ = prepare(ct(np.full((20, 30), 40, np.float32)), self.config)
        assert not pixels.any()


@pytest.mark.parametrize("size", [16, 64, 200])
def test_the_crop_before_the_window_is_the_window_before_the_crop(size: int) -> None:
    rng = np.random.default_rng(size)
    hu = np.full((120, 90), -1000, np.float32)
    hu[20:100, 10:70] = rng.normal(40, 200, (80, 60))
    pixels, placement = prepare(CTSlice(hu, SliceId("x")), PreprocessConfig(size=size))
    top, left, bottom, right = placement.box
    for plane, window in zip(pixels, (BRAIN, SUBDURAL, BONE), strict=True):
        square = np.zeros((placement.side, placement.side), np.uint8)
        row, column = top - placement.top, left - placement.left
        cut = to_uint8(hu, window)[top:bottom, left:right]
        square[row : row + bottom - top, column : column + right - left] = cut
        how = cv2.INTER_AREA if placement.side > size else cv2.INTER_LINEAR
        np.testing.assert_array_equal(plane, cv2.resize(square, (size, size), interpolation=how))
