"""Pictures of any slice and map: range, shape, and what may not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ich_cli.core.imaging import BRAIN, STYLES, Style, blend, colours, opacity_of, overlay, picture

SIDES = st.tuples(st.integers(8, 24), st.integers(8, 24))
HU = SIDES.flatmap(lambda shape: arrays(np.float32, shape, elements=st.integers(-1024, 3071)))


@given(HU, st.sampled_from(STYLES), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_any_slice_gives_a_picture_of_its_size_and_is_left_as_it_was(
    hu: NDArray[np.float32], style: Style, opacity: float, seed: int
) -> None:
    values = np.random.default_rng(seed).random(hu.shape).astype(np.float32)
    before = hu.copy(), values.copy()
    shown = overlay(hu, values, opacity, style)
    assert (shown.shape, shown.dtype) == ((*hu.shape, 3), np.uint8)
    np.testing.assert_array_equal(hu, before[0])
    np.testing.assert_array_equal(values, before[1])


@given(HU, st.sampled_from(STYLES))
def test_no_opacity_or_an_empty_map_leaves_the_picture(
    hu: NDArray[np.float32], style: Style
) -> None:
    bare = picture(hu, BRAIN)
    empty = np.zeros(hu.shape, np.float32)
    np.testing.assert_array_equal(overlay(hu, empty, style=style), bare)
    np.testing.assert_array_equal(overlay(hu, empty + 1, 0.0, "heat"), bare)


@given(HU)
def test_a_slice_and_its_picture_give_the_same_overlay(hu: NDArray[np.float32]) -> None:
    values = np.linspace(0, 1, hu.size, dtype=np.float32).reshape(hu.shape)
    expected = overlay(hu, values)
    np.testing.assert_array_equal(overlay(picture(hu), values), expected)
    np.testing.assert_array_equal(overlay(picture(hu)[:, :, 0], values), expected)


@given(st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=30))
def test_values_outside_zero_to_one_are_clipped(values: list[float]) -> None:
    row = np.array([values], np.float32)
    base = np.full((1, row.size, 3), 90, np.uint8)
    np.testing.assert_array_equal(blend(base, row), blend(base, np.clip(row, 0, 1)))


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30), st.floats(0, 1))
def test_opacity_rises_with_the_value_up_to_the_requested_one(
    values: list[float], opacity: float
) -> None:
    share = opacity_of(np.sort(np.array([values], np.float32)), opacity)
    assert (np.diff(share) >= 0).all()
    assert share.max() <= opacity + 1e-6
    assert share.min() >= 0


@given(st.floats(0, 1, width=32))
def test_the_same_value_has_the_same_colour_in_any_map(value: float) -> None:
    alone = colours(np.full((1, 1), value, np.float32))[0, 0]
    among = np.linspace(0, 1, 9, dtype=np.float32).reshape(3, 3)
    among[1, 1] = value
    np.testing.assert_array_equal(colours(among)[1, 1], alone)


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(1, 3))
def test_a_map_of_another_size_is_refused(shape: tuple[int, int], more: int) -> None:
    with pytest.raises(ValueError, match="the map has shape"):
        overlay(np.zeros(shape, np.float32), np.zeros((shape[0] + more, shape[1]), np.float32))
