"""Crop, pad and way back of any slice; the head box and the resizing by numbers worked out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.imaging import BONE, BRAIN, Window, head_box, to_uint8
from ich_cli.core.imaging.head import BODY_HU
from ich_cli.core.imaging.windowing import apply_window
from ich_cli.core.preprocessing import Placement, PreprocessConfig, prepare, prepare_mask, uncrop

ONE = (Window(40, 80),)


def ct(hu: NDArray[np.float32]) -> CTSlice:
    return CTSlice(hu, SliceId("made by a test"))


def config(size: int, windows: tuple[Window, ...] = ONE, context: int = 0) -> PreprocessConfig:
    none, one = (0,) * len(windows), (1,) * len(windows)
    return PreprocessConfig(size=size, windows=windows, context=context, mean=none, std=one)


def block(shape: tuple[int, int], box: tuple[int, int, int, int], hu: float = 40.0) -> CTSlice:
    top, left, bottom, right = box
    image = np.full(shape, -1000, np.float32)
    image[top:bottom, left:right] = hu
    return ct(image)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    rows, columns = draw(st.integers(24, 400)), draw(st.integers(24, 400))
    high, wide = draw(st.integers(12, rows)), draw(st.integers(12, columns))
    top, left = draw(st.integers(0, rows - high)), draw(st.integers(0, columns - wide))
    return (rows, columns), (top, left, top + high, left + wide)


@given(blocks())
def test_the_box_holds_the_block_and_at_most_two_coarse_pixels_more(
    made: tuple[tuple[int, int], tuple[int, int, int, int]],
) -> None:
    shape, (top, left, bottom, right) = made
    step = max(1, round(max(shape) / 160))
    found = head_box(block(shape, (top, left, bottom, right)).hu)
    assert top - 2 * step <= found[0] <= top
    assert left - 2 * step <= found[1] <= left
    assert bottom <= found[2] <= min(shape[0], bottom + 2 * step)
    assert right <= found[3] <= min(shape[1], right + 2 * step)
    assert min(found) >= 0


def test_the_box_is_one_coarse_pixel_wider_on_each_side() -> None:
    assert head_box(block((100, 120), (30, 40, 60, 90)).hu) == (29, 39, 61, 91)
    # 400 pixels: every second or third is looked at (400 / 160 = 2.5, rounded to even: 2), from
    # the second on: coarse rows 50 to 99 and columns 75 to 149
    assert head_box(block((400, 400), (100, 150, 200, 300)).hu) == (98, 148, 202, 302)
    # 480 / 160 = 3, from the second: 1, 4, 7 …; rows 60 to 119 are coarse rows 20 to 39
    assert head_box(block((480, 480), (60, 90, 120, 180)).hu) == (57, 87, 123, 183)


def test_what_is_exactly_as_dense_as_the_bound_is_air() -> None:
    assert BODY_HU == -300
    assert head_box(block((64, 64), (10, 10, 40, 40), hu=-300).hu) == (0, 0, 64, 64)
    assert head_box(block((64, 64), (10, 10, 40, 40), hu=-299).hu) == (9, 9, 41, 41)


def test_of_three_parts_the_largest_is_the_head_wherever_it_comes() -> None:
    small, large, middle = (2, 2, 8, 8), (20, 20, 50, 50), (56, 56, 63, 63)
    image = np.full((64, 64), -1000, np.float32)
    for top, left, bottom, right in (small, large, middle):
        image[top:bottom, left:right] = 40
    assert head_box(image) == (19, 19, 51, 51)


def test_parts_that_touch_at_a_corner_only_are_two() -> None:
    image = np.full((64, 64), -1000, np.float32)
    image[5:15, 5:15] = 40
    image[15:45, 15:45] = 40
    assert head_box(image) == (14, 14, 46, 46)


@given(blocks(), st.integers(16, 64))
def test_the_square_holds_the_box_in_its_middle(
    made: tuple[tuple[int, int], tuple[int, int, int, int]], size: int
) -> None:
    _, placement = prepare(block(*made), config(size))
    top, left, bottom, right = placement.box
    high, wide = bottom - top, right - left
    assert (placement.side, placement.size) == (max(high, wide), size)
    above, below = top - placement.top, placement.top + placement.side - bottom
    before, behind = left - placement.left, placement.left + placement.side - right
    assert above + below == placement.side - high
    assert before + behind == placement.side - wide
    assert 0 <= below - above <= 1
    assert 0 <= behind - before <= 1


@given(st.integers(16, 48), st.integers(16, 48), st.integers(0, 2**32 - 1))
def test_without_resizing_the_way_back_is_exact(rows: int, columns: int, seed: int) -> None:
    hu = np.random.default_rng(seed).uniform(0, 80, (rows, columns)).astype(np.float32)
    side = max(rows, columns)  # all of it is head: the box is the whole field
    pixels, placement = prepare(ct(hu), config(side))
    back = uncrop(pixels[0].astype(np.float32), placement, hu.shape, fill=-1)
    np.testing.assert_array_equal(back, to_uint8(hu, ONE[0]))


@given(blocks(), st.integers(1, 40), st.floats(0, 1, width=32))
def test_a_constant_map_stays_constant_inside_the_square_and_is_filled_outside(
    made: tuple[tuple[int, int], tuple[int, int, int, int]], side: int, value: float
) -> None:
    shape, _ = made
    placement = prepare(block(*made), config(32)).placement
    back = uncrop(np.full((side, side), value, np.float64), placement, shape, fill=-1)
    rows, columns = np.indices(shape)
    inside = (
        (rows >= placement.top) & (rows < placement.top + placement.side)
        & (columns >= placement.left) & (columns < placement.left + placement.side)
    )  # fmt: skip
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, np.where(inside, value, -1), atol=1e-6)


def test_outside_the_square_a_map_is_zero_by_default() -> None:
    placement = Placement(top=-1, left=-1, side=4, size=4, box=(0, 0, 3, 3))
    back = uncrop(np.ones((4, 4), np.float32), placement, (5, 5))
    assert back.sum() == 9
    assert back[:3, :3].all()


def test_a_map_is_interpolated_linearly_on_its_way_back() -> None:
    placement = Placement(top=0, left=0, side=4, size=2, box=(0, 0, 4, 4))
    back = uncrop(np.array([[0, 1], [0, 1]], np.float32), placement, (4, 4))
    assert back[0].tolist() == [0, 0.25, 0.75, 1]  # centres of pixels at 1/4, 3/4, 5/4, 7/4 of two


@pytest.mark.parametrize(("columns", "size"), [(32, 16), (16, 32), (16, 16)])
def test_shrinking_averages_and_growing_interpolates(columns: int, size: int) -> None:
    hu = np.tile(np.array([[0, 80]], np.float32), (columns, columns // 2))
    row = prepare(ct(hu), config(size)).pixels[0, 0].tolist()
    if columns > size:
        assert set(row) == {128}  # (0 + 255) / 2, rounded up
    elif columns == size:
        assert row == [0, 255] * 8
    else:
        assert row[:5] == [0, 64, 191, 191, 64]  # quarter and three quarters between centres


@given(st.lists(st.sampled_from([-200, 0, 20, 40, 60, 80, 300]), min_size=3, max_size=3))
def test_channels_are_slices_then_windows(values: list[int]) -> None:
    below, middle, above = (ct(np.full((16, 16), hu, np.float32)) for hu in values)
    pixels, _ = prepare(middle, config(16, (BRAIN, BONE), context=1), (below, above))
    expected = [to_uint8(hu, window).item() for hu in values for window in (BRAIN, BONE)]
    assert pixels[:, 8, 8].tolist() == expected
    alone = prepare(middle, config(16, (BRAIN, BONE), context=1)).pixels
    assert alone[:, 8, 8].tolist() == expected[2:4] * 3


HALVED = Placement(top=0, left=0, side=8, size=4, box=(0, 0, 8, 8))


@given(st.integers(0, 255))
def test_every_bit_of_a_mask_is_one_of_its_own(value: int) -> None:
    out = prepare_mask(np.full((8, 8), value, np.uint8), HALVED)
    assert out.dtype == np.uint8
    assert out.tolist() == [[value] * 4] * 4


def test_of_a_mask_a_quarter_of_a_pixel_is_enough_and_less_is_not() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[0, 0] = 2  # one of the four pixels that become one: 255 / 4 = 63.75, rounded to 64
    mask[4:6, 4:6] = 128
    expected = np.zeros((4, 4), np.uint8)
    expected[0, 0], expected[2, 2] = 2, 128
    np.testing.assert_array_equal(prepare_mask(mask, HALVED), expected)
    nine = Placement(top=0, left=0, side=12, size=4, box=(0, 0, 12, 12))
    mask = np.zeros((12, 12), np.uint8)
    mask[0, :2] = 1  # two of nine: 56.7
    mask[3, :3] = 1  # three of nine: 85
    assert prepare_mask(mask, nine)[:, 0].tolist() == [0, 1, 0, 0]


def test_it_goes_where_the_slice_goes() -> None:
    image = block((60, 90), (20, 30, 40, 60))
    mask = (image.hu > 0).astype(np.uint8) * 5
    pixels, placement = prepare(image, config(32))
    np.testing.assert_array_equal(prepare_mask(mask, placement) == 5, pixels[0] >= 32)


class TestDlmi:
    @pytest.mark.parametrize(
        ("hu", "expected"),
        [
            # its own minimum is taken off, so what counts is how far apart values are
            ((0, 80), (255, 102, 53)),  # 80/80, 80/200, 80/380 of 255, truncated
            ((-1000, 1000), (255, 255, 255)),  # clipped to 0…80, -20…180, -150…230
            ((40, 41), (3, 1, 0)),  # 1/80, 1/200, 1/380 of 255
            ((-20, 0), (0, 25, 13)),
            ((-150, -20), (0, 0, 87)),
            ((180, 230), (0, 0, 33)),
        ],
    )
    def test_each_channel(self, hu: tuple[int, int], expected: tuple[int, int, int]) -> None:
        image = np.full((24, 24), hu[0], np.float32)
        image[4:20, 4:20] = hu[1]
        pixels, placement = prepare(ct(image), PreprocessConfig.dlmi(size=16))
        assert placement == Placement(4, 4, 16, 16, (4, 4, 20, 20))
        assert pixels.dtype == np.uint8
        assert pixels[:, 8, 8].tolist() == list(expected)

    def test_nothing_above_the_minimum_keeps_the_field(self) -> None:
        pixels, placement = prepare(
            ct(np.full((20, 30), 40, np.float32)), PreprocessConfig.dlmi(size=16)
        )
        assert placement == Placement(0, 0, 30, 16, (0, 0, 20, 30))
        assert (pixels.shape, pixels.dtype, pixels.any()) == ((3, 16, 16), np.uint8, False)


@given(st.lists(st.integers(-2000, 3000), min_size=1, max_size=30))
def test_a_window_gives_the_same_for_any_type_of_number(values: list[int]) -> None:
    window = Window(40.3, 80.7)
    exact = apply_window(np.array(values, np.float32), window)
    for kind in (np.int16, np.int32, np.float64):
        found = apply_window(np.array(values, kind), window)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, exact)


@given(st.floats(-1500, 3000, width=32), st.integers(-500, 1000), st.integers(1, 4000))
def test_a_window_is_the_line_of_the_standard(hu: float, center: int, width: int) -> None:
    line = (hu - center) / width + 0.5  # LINEAR_EXACT, PS3.3 C.11.2.1.3.2
    found = float(apply_window(hu, Window(center, width)))
    assert found == pytest.approx(min(max(line, 0), 1), abs=2e-4 / width + 1e-6)
    assert abs(int(to_uint8(hu, Window(center, width))) - 255 * found) <= 0.51
