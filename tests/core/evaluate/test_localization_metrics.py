from __future__ import annotations

import numpy as np
import pytest

from ich_cli.core.data.lesion_masks import Box, boxes_to_mask
from ich_cli.core.evaluate.map_benchmark import chance, mass_inside, pointing_game

MAP = np.array([[0.0, 0.1, 0.0], [0.0, 0.2, 0.5], [0.0, 0.0, 0.2]], np.float32)
UPPER = np.array([[1, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
RIGHT = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1]], bool)


def test_the_peak_inside_is_a_hit_outside_a_miss() -> None:
    assert pointing_game(MAP, RIGHT) == 1.0
    assert pointing_game(MAP, UPPER) == 0.0


def test_a_shared_peak_is_shared() -> None:
    flat = np.full((2, 2), 0.3, np.float32)
    assert pointing_game(flat, np.array([[1, 0], [0, 0]], bool)) == 0.25


def test_mass_is_the_share_of_the_sum() -> None:
    assert mass_inside(MAP, RIGHT) == pytest.approx(0.7)
    assert mass_inside(MAP, UPPER) == pytest.approx(0.1)


def test_an_empty_map_misses() -> None:
    empty = np.zeros((3, 3), np.float32)
    assert pointing_game(empty, RIGHT) == 0.0
    assert mass_inside(empty, RIGHT) == 0.0


def test_chance_is_the_share_of_the_head() -> None:
    head = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]], bool)
    assert chance(RIGHT, head) == 0.5
    assert chance(RIGHT, np.zeros((3, 3), bool)) == 0.0


def test_boxes_are_fractions_of_the_picture() -> None:
    # 10 wide, 4 high: x from 0.2 to 0.4 holds the centres 0.25 and 0.35; y from 0.5 to 1 two rows
    mask = boxes_to_mask([Box(0, 0.3, 0.75, 0.2, 0.5)], (4, 10))
    expected = np.zeros((4, 10), bool)
    expected[2:, 2:4] = True
    assert np.array_equal(mask, expected)
    both = boxes_to_mask([Box(0, 0.3, 0.75, 0.2, 0.5), Box(0, 0.95, 0.1, 0.1, 0.2)], (4, 10))
    assert both[0, 9]
    assert both.sum() == 5
    assert not boxes_to_mask([], (4, 10)).any()


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"a map of \(3, 3\) against a mask of \(2, 3\)"):
        mass_inside(MAP, UPPER[:2])
