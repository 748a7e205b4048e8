"""Windows against the formula of PS3.3 C.11.2.1.3.2, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ich_cli.core.imaging import BONE, BRAIN, SUBDURAL, Window, to_uint8
from ich_cli.core.imaging.windowing import apply_window


@pytest.mark.parametrize(
    ("hu", "window", "expected"),
    [
        (0, BRAIN, 0.0),  # 40 - 80 / 2
        (40, BRAIN, 0.5),  # the center
        (80, BRAIN, 1.0),  # 40 + 80 / 2
        (60, BRAIN, 0.75),
        (-1000, BRAIN, 0.0),
        (3000, BRAIN, 1.0),
        (80, SUBDURAL, 0.5),
        (-20, SUBDURAL, 0.0),
        (30, SUBDURAL, 0.25),  # (30 + 20) / 200
    ],
)
def test_apply_window(hu: float, window: Window, expected: float) -> None:
    assert apply_window(hu, window) == pytest.approx(expected, abs=1e-7)


def test_result_is_float32_of_the_same_shape() -> None:
    out = apply_window(np.zeros((2, 3), np.int16), BRAIN)
    assert out.dtype == np.float32
    assert out.shape == (2, 3)


def test_uint8_rounds_to_nearest_with_halves_up() -> None:
    # 255 steps over 80 HU: 8 HU is 25.5, 40 HU is 127.5, 79.9 HU is 254.68
    levels = to_uint8(np.array([0.0, 8.0, 40.0, 79.9, 80.0]), BRAIN)
    assert levels.dtype == np.uint8
    assert levels.tolist() == [0, 26, 128, 255, 255]


@pytest.mark.parametrize("width", [0, -80, float("nan")])
def test_a_width_must_be_positive(width: float) -> None:
    with pytest.raises(ValueError, match="width must be positive"):
        apply_window(0, Window(40, width))


@given(
    hu=st.lists(st.floats(-4096, 32767, width=32), min_size=2, max_size=20),
    center=st.integers(-500, 1000),
    width=st.integers(1, 4000),
)
def test_stays_in_range_and_keeps_the_order(hu: list[float], center: int, width: int) -> None:
    out = apply_window(np.sort(np.array(hu, np.float32)), Window(center, width))
    assert out.min() >= 0
    assert out.max() <= 1
    assert (np.diff(out) >= 0).all()


@given(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=2), elements=st.floats(-3000, 3000, width=32))
)
def test_windows_leave_their_input_alone(hu: NDArray[np.float32]) -> None:
    before = hu.copy()
    for window in (BRAIN, SUBDURAL, BONE):
        low = np.float32(window.center - window.width / 2)
        plain = np.clip((hu - low) / np.float32(window.width), 0, 1)
        np.testing.assert_array_equal(apply_window(hu, window), plain)
        np.testing.assert_array_equal(
            to_uint8(hu, window), (plain * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        )
    np.testing.assert_array_equal(hu, before)
