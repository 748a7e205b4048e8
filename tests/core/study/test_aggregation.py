"""Slices put together into a study: literal numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from ich_cli.core.study import AGGREGATIONS, aggregate

SLICES = [[0.1, 0.0], [0.8, 0.5], [0.5, 0.0], [0.2, 0.1]]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("max", [0.8, 0.5]),
        ("noisy-or", [0.928, 0.55]),  # 1 - .9*.2*.5*.8 and 1 - .5*.9
        ("top2-mean", [0.65, 0.3]),
        ("top3-mean", [0.5, 0.2]),
        ("top5-mean", [0.4, 0.15]),  # there are only four
        ("mean", [0.4, 0.15]),
    ],
)
def test_an_aggregation_gives_its_number(how: str, expected: list[float]) -> None:
    assert aggregate(SLICES, how).tolist() == pytest.approx(expected, abs=1e-12)


def test_an_unknown_one_and_no_slice_are_refused() -> None:
    with pytest.raises(ValueError, match="'median'; use one of max, noisy-or"):
        aggregate(SLICES, "median")
    with pytest.raises(ValueError, match="N > 0"):
        aggregate(np.empty((0, 6)), "max")


@given(arrays(np.float64, st.tuples(st.integers(1, 9), st.just(6)), elements=st.floats(0, 1)))
def test_each_stays_a_probability_whatever_the_order(p: np.ndarray) -> None:
    for how in AGGREGATIONS:
        together = aggregate(p, how)
        assert together.shape == (6,)
        assert ((together >= 0) & (together <= 1)).all()
        assert aggregate(p[::-1], how) == pytest.approx(together, abs=1e-12)
