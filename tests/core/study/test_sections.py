"""Sections of 5 mm: literal values, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ich_cli.core.study import Sections


def column(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(values, np.float64)[:, None]


def sections_of(along: list[float | None]) -> Sections:
    found = Sections.from_positions(along)
    assert found is not None
    return found


@pytest.mark.parametrize("mm", [4.0, 5.0, 6.0])
def test_slices_of_about_5_mm_are_used_as_they_are(mm: float) -> None:
    assert Sections.from_positions([mm * k for k in range(8)]) is None
    assert Sections.from_positions([-mm * k for k in range(8)]) is None


@pytest.mark.parametrize("along", [[], [0.0], [0.0, 1.0, None], [None, None]])
def test_slices_without_a_position_are_used_as_they_are(along: list[float | None]) -> None:
    assert Sections.from_positions(along) is None


def test_slices_of_2_5_mm_are_averaged_in_pairs() -> None:
    sections = sections_of([0.0, 2.5, 5.0, 7.5, 10.0, 12.5])

    assert sections.slices.tolist() == [0.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0]
    assert sections.sections.tolist() == [0.0, 5.0, 10.0, 15.0]
    means = sections.average(column(1, 3, 0, 0, 4, 8))
    assert means[:, 0].tolist() == [2.0, 0.0, 6.0]
    assert sections.spread(means)[:, 0].tolist() == [2.0, 2.0, 0.0, 0.0, 6.0, 6.0]


def test_slices_of_10_mm_are_taken_twice() -> None:
    sections = sections_of([100.0, 90.0, 80.0])

    doubled = sections.average(column(1, 2, 6))

    assert doubled[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0, 6.0, 6.0]
    assert sections.spread(column(1, 3, 2, 4, 0, 8))[:, 0].tolist() == [2.0, 3.0, 4.0]


def test_slices_of_7_mm_are_cut_where_sections_end() -> None:
    sections = sections_of([0.0, 7.0, 14.0])

    # 21 mm: four sections of 5.25 mm; the second has 1.75 mm of the first slice
    means = sections.average(column(3, 0, 9))
    assert means[:, 0].tolist() == pytest.approx([3.0, 1.0, 3.0, 9.0])


def test_uneven_slices_count_by_their_width() -> None:
    sections = sections_of([0.0, 1.0, 2.0, 10.0])

    assert sections.slices.tolist() == [0.0, 1.0, 2.0, 6.5, 14.5]
    assert len(sections.sections) == 4


def test_a_wide_gap_is_not_filled() -> None:
    sections = sections_of([0.0, 1.0, 2.0, 3.0, 903.0, 904.0, 905.0])

    assert sections.slices[-1] == 26.0


def test_slices_at_the_same_position_share_it() -> None:
    sections = sections_of([0.0, 0.0, 0.0, 2.0, 2.0, 2.0])

    assert np.isfinite(sections.average(column(1, 2, 3, 4, 5, 6))).all()
    assert np.isfinite(sections.spread(column(1, 2))).all()


values = st.lists(st.floats(-12, 12), min_size=3, max_size=24)


def cut(values: np.ndarray[tuple[int, int], np.dtype[np.float64]], along: list[float]) -> object:
    sections = Sections.from_positions(along)
    return values if sections is None else sections.average(values)


@given(values, st.sampled_from([1.7, 3.0, 5.0, 10.0, 15.0]))
def test_splitting_each_slice_in_two_equal_ones_changes_nothing(
    logits: list[float], mm: float
) -> None:
    once = column(*logits)
    along = [mm * k for k in range(len(logits))]
    halves = [at + step for at in along for step in (-mm / 4, mm / 4)]

    np.testing.assert_allclose(cut(np.repeat(once, 2, axis=0), halves), cut(once, along), atol=1e-9)


@given(values, st.floats(0.3, 3.9))
def test_sections_keep_mean_and_range(logits: list[float], mm: float) -> None:
    sections = sections_of([mm * k for k in range(len(logits))])

    means = sections.average(column(*logits))
    back = sections.spread(means)

    assert np.mean(means) == pytest.approx(np.mean(logits), abs=1e-9)
    assert np.mean(back) == pytest.approx(np.mean(logits), abs=1e-9)
    assert min(logits) - 1e-9 <= means.min() <= means.max() <= max(logits) + 1e-9
