"""Slices stored in any orientation, with square and with oblong pixels, reach the model upright."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice, Geometry, SliceId
from ich_cli.core.imaging import Window
from ich_cli.core.preprocessing import (
    PreprocessConfig,
    orientation_of,
    pipeline,
    prepare,
    prepare_each,
    prepare_mask,
    uncrop,
)
from ich_cli.core.preprocessing.orientation import Orientation, upright
from tests.support.orientations import (
    ORIENTATIONS,
    UPRIGHT,
    oblong,
    place,
    rearranged,
    reoriented,
)

CONFIG = PreprocessConfig(size=64, windows=(Window(40, 80),), mean=(0,), std=(1,))


def head(spot: tuple[int, int] = (20, 44), shape: tuple[int, int] = (72, 80)) -> CTSlice:
    """A head of 10 HU in air, asymmetric, with a spot of 80 HU of 4 x 4 pixels from `spot` on."""
    hu = np.full(shape, -1000, np.float32)
    hu[8:60, 10:66] = 10
    hu[8:16, 10:18] = -1000
    hu[spot[0] : spot[0] + 4, spot[1] : spot[1] + 4] = 80
    return CTSlice(hu, SliceId("made by a test"), UPRIGHT)


def numbered(rows: int, columns: int, geometry: Geometry = UPRIGHT) -> CTSlice:
    """A slice whose every pixel has a value of its own."""
    hu = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    return CTSlice(hu, SliceId("made by a test"), geometry)


def geometry(row: tuple[float, ...], column: tuple[float, ...]) -> Geometry:
    return replace(
        UPRIGHT,
        row_direction=(row[0], row[1], row[2]),
        column_direction=(column[0], column[1], column[2]),
    )


@pytest.mark.parametrize(("row", "column", "expected"), [
    ((1, 0, 0), (0, 1, 0), (False, False, False)),
    ((-1, 0, 0), (0, 1, 0), (False, False, True)),
    ((1, 0, 0), (0, -1, 0), (False, True, False)),
    ((-1, 0, 0), (0, -1, 0), (False, True, True)),
    ((0, 1, 0), (1, 0, 0), (True, False, False)),
    ((0, 1, 0), (-1, 0, 0), (True, False, True)),
    ((0, -1, 0), (1, 0, 0), (True, True, False)),
    ((0, -1, 0), (-1, 0, 0), (True, True, True)),
    ((1, 0, 0), (0, 0.9, -0.436), (False, False, False)),  # tilted gantry
    ((0.6, 0.8, 0), (-0.8, 0.6, 0), (True, False, True)),  # turned by 53 degrees
    ((0.8, 0.6, 0), (-0.6, 0.8, 0), (False, False, False)),  # turned by 37 degrees
])  # fmt: skip
def test_the_nearest_of_eight_orientations(
    row: tuple[float, ...], column: tuple[float, ...], expected: tuple[bool, bool, bool]
) -> None:
    found = orientation_of(numbered(4, 6, geometry(row, column)))
    assert found == Orientation(*expected)


def test_halfway_between_two_orientations_the_stored_one_stays() -> None:
    half = 0.5**0.5
    for sign in (1, -1):
        turned = geometry((half, sign * half, 0), (-sign * half, half, 0))
        assert orientation_of(numbered(4, 6, turned)) == Orientation()


def test_a_slice_stored_upside_down() -> None:
    stored = numbered(2, 3, geometry((1, 0, 0), (0, -1, 0)))
    found = upright(stored)
    assert found.hu.tolist() == [[3, 4, 5], [0, 1, 2]]
    assert found.geometry.position == (-20.0, -30.5, 7.0)
    assert found.geometry.column_direction == (0, 1, 0)


def test_a_slice_with_columns_to_the_left_is_transposed() -> None:
    found = upright(numbered(2, 3, geometry((0, 1, 0), (1, 0, 0))))
    assert found.hu.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found.geometry == UPRIGHT


def test_wide_pixels_are_interpolated_to_the_smaller_spacing() -> None:
    hu = np.array([[0, 40], [80, 0]], np.float32)
    stored = CTSlice(hu, SliceId("made by a test"), replace(UPRIGHT, spacing=(0.5, 1.0)))
    found = upright(stored)
    # a cubic of a = -0.75 at 1/4 of a pixel; -4.2, 88.4 and -8.4 are outside the range nearby
    assert found.hu.tolist() == [[0, 9.0625, 30.9375, 44.21875], [80, 61.875, 18.125, 0]]
    assert found.geometry.spacing == (0.5, 0.5)
    assert found.geometry.position == (-20.25, -30.0, 7.0)


def test_a_slice_that_is_upright_and_square_is_not_copied() -> None:
    stored = numbered(6, 5)
    assert upright(stored) is stored
    nearly = replace(stored, geometry=replace(UPRIGHT, spacing=(0.488281, 0.48828125)))
    assert upright(nearly) is nearly


def test_without_orientation_a_slice_is_taken_as_stored() -> None:
    stored = CTSlice(head().hu, SliceId("made by a test"))
    assert upright(stored) is stored
    wide = replace(stored, geometry=Geometry(spacing=(0.5, 1.0)))
    assert upright(wide).shape == (72, 160)
    assert upright(wide).geometry == Geometry(spacing=(0.5, 0.5))


@pytest.mark.parametrize("spacing", [(0.5, 2.5), (1e-300, 1e4), (5e-324, 9e4)])
def test_spacings_that_cannot_be_are_not_followed(spacing: tuple[float, float]) -> None:
    stored = replace(numbered(6, 5), geometry=replace(UPRIGHT, spacing=spacing))
    assert upright(stored) is stored


def test_a_slice_of_the_largest_side_does_not_grow() -> None:
    stored = replace(numbered(4, 4096), geometry=replace(UPRIGHT, spacing=(0.5, 0.6)))
    assert upright(stored) is stored


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(ORIENTATIONS))
def test_turning_back_gives_every_index(rows: int, columns: int, how: tuple[int, bool]) -> None:
    stored = reoriented(numbered(rows + 1, columns + 1), *how)
    found = orientation_of(stored)
    np.testing.assert_array_equal(found.turn(stored.hu), numbered(rows + 1, columns + 1).hu)
    np.testing.assert_array_equal(found.turn_back(found.turn(stored.hu)), stored.hu)
    np.testing.assert_array_equal(found.invert(found.apply(stored.hu), stored.shape), stored.hu)


@given(
    st.booleans(), st.booleans(), st.booleans(), st.floats(1, 4), st.booleans(),
    st.integers(2, 60), st.integers(2, 60), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_an_upright_index_lies_where_its_stored_index_does(
    transposed: bool, rows_back: bool, columns_back: bool, ratio: float, tall: bool,
    rows: int, columns: int, down: float, across: float,
) -> None:  # fmt: skip
    row, column = ((0, 1, 0), (1, 0, 0)) if transposed else ((1, 0, 0), (0, 1, 0))
    signs = (-1 if columns_back else 1, -1 if rows_back else 1)
    spacing = (0.5 * ratio, 0.5) if tall else (0.5, 0.5 * ratio)
    turned = geometry(tuple(signs[0] * v for v in row), tuple(signs[1] * v for v in column))
    stored = numbered(rows, columns, replace(turned, spacing=spacing))
    found = upright(stored)
    index = (down * (found.shape[0] - 1), across * (found.shape[1] - 1))
    back = orientation_of(stored).stored_index(index, stored.shape)
    np.testing.assert_allclose(place(stored.geometry, *back), place(found.geometry, *index))
    assert found.geometry.row_direction == (1, 0, 0)
    assert found.geometry.column_direction == (0, 1, 0)
    assert -0.5 <= back[0] <= rows - 0.5
    assert -0.5 <= back[1] <= columns - 0.5


@given(st.integers(2, 20), st.integers(2, 20), st.sampled_from([2, 3, 4]), st.booleans())
def test_stretched_pixels_come_back_as_they_were(
    rows: int, columns: int, times: int, tall: bool
) -> None:
    spacing = (0.5 * times, 0.5) if tall else (0.5, 0.5 * times)
    stored = numbered(rows, columns, replace(UPRIGHT, spacing=spacing))
    found = orientation_of(stored)
    repeated = np.repeat(stored.hu, times, axis=0 if tall else 1)
    assert found.upright_shape(stored.shape) == repeated.shape
    np.testing.assert_allclose(found.invert(repeated, stored.shape), stored.hu, rtol=1e-6)


@pytest.mark.parametrize("how", ORIENTATIONS)
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("spot", [(20, 44), (50, 12), (32, 60)])
def test_a_planted_spot_comes_back_to_its_stored_pixels(
    how: tuple[int, bool], axis: int | None, spot: tuple[int, int]
) -> None:
    stored = reoriented(head(spot) if axis is None else oblong(head(spot), axis), *how)
    pixels, placement = prepare(stored, CONFIG)
    back = uncrop((pixels[0] > 200).astype(np.float32), placement, stored.shape)
    for found, expected in zip(centre(back), centre(stored.hu > 70), strict=True):
        assert abs(found - expected) <= 0.5


def centre(weights: NDArray[np.floating] | NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.indices(weights.shape)
    total = weights.sum()
    return float((rows * weights).sum() / total), float((columns * weights).sum() / total)


@pytest.mark.parametrize("how", ORIENTATIONS)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_model_input_is_that_of_the_upright_slice(
    how: tuple[int, bool], axis: int | None
) -> None:
    straight = head() if axis is None else oblong(head(), axis)
    stored = reoriented(straight, *how)
    pixels, placement = prepare(stored, CONFIG)
    np.testing.assert_array_equal(pixels, prepare(straight, CONFIG).pixels)
    mask = (stored.hu > 70).astype(np.uint8) * 5
    straight_mask = (straight.hu > 70).astype(np.uint8) * 5
    np.testing.assert_array_equal(
        prepare_mask(mask, placement), prepare_mask(straight_mask, prepare(straight, CONFIG)[1])
    )
    found = centre(prepare_mask(mask, placement) == 5)
    np.testing.assert_allclose(found, centre(pixels[0] > 100), atol=0.5)


def test_neighbours_are_turned_by_their_own_orientation() -> None:
    config = replace(CONFIG, context=1)
    around = (reoriented(head((30, 30)), 1, True), reoriented(oblong(head((40, 50)), 1), 2, False))
    found = prepare(reoriented(head(), 3, False), config, around).pixels
    expected = prepare(head(), config, (head((30, 30)), oblong(head((40, 50)), 1))).pixels
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found[0], found[1])


def test_the_dlmi_preset_takes_slices_as_stored() -> None:
    stored = reoriented(oblong(head(), 1), 1, False)
    dlmi = PreprocessConfig.dlmi(64)
    plain = CTSlice(stored.hu, stored.id)
    for found in (prepare(stored, dlmi), prepare_each(stored, (CONFIG, dlmi))[1]):
        np.testing.assert_array_equal(found.pixels, prepare(plain, dlmi).pixels)
        assert found.placement.orientation == Orientation()


def test_networks_of_two_sizes_share_the_upright_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[CTSlice] = []
    monkeypatch.setattr(pipeline, "upright", lambda ct: calls.append(ct) or upright(ct))
    stored = reoriented(head(), 1, False)
    small, large = prepare_each(stored, (CONFIG, replace(CONFIG, size=96)))
    assert len(calls) == 1
    assert (small.pixels.shape, large.pixels.shape) == ((1, 64, 64), (1, 96, 96))


def test_rearranged_is_what_its_name_says() -> None:
    assert rearranged(np.array([[1, 2]]), 1, False).tolist() == [[2], [1]]
    assert rearranged(np.array([[1, 2]]), 0, True).tolist() == [[2, 1]]
