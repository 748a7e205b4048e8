"""Which slices an epoch draws."""

from __future__ import annotations

import numpy as np
import pytest

from ich_cli.core.train.dataset import _balanced, _cycle

NONE, EPIDURAL, SUBDURAL = [0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1]
LABELS = np.array([NONE] * 60 + [EPIDURAL] * 16 + [SUBDURAL] * 4, np.float32)


def test_the_requested_fraction_has_hemorrhage() -> None:
    drawn = _balanced(LABELS, 50, 0.4, np.random.default_rng(0))
    assert drawn is not None
    assert len(drawn) == 50
    assert LABELS[drawn, 0].sum() == 20
    without = drawn[LABELS[drawn, 0] == 0]
    assert len(set(without)) == 30  # 60 to deal from: none comes twice


def test_a_slice_of_a_rare_subtype_comes_more_often() -> None:
    drawn = _balanced(LABELS, 10_000, 0.9, np.random.default_rng(0))
    assert drawn is not None
    # weights 1 / sqrt(16) and 1 / sqrt(4): 16 * 1/4 = 4 against 4 * 1/2 = 2, one third subdural
    assert LABELS[drawn, 5].sum() / 9000 == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("one_class", [NONE, EPIDURAL])
def test_one_class_alone_cannot_be_balanced(one_class: list[int]) -> None:
    labels = np.array([one_class] * 5, np.float32)
    assert _balanced(labels, 4, 0.4, np.random.default_rng(0)) is None


def test_deals_all_before_any_comes_twice() -> None:
    drawn = _cycle(4, 10, np.random.default_rng(0))
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]
    assert len(drawn) == 10
