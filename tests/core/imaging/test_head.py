"""The largest part of a mask is the one that OpenCV finds."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ich_cli.core.imaging import largest_part


@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(0, 1)
    )
)
def test_the_largest_part_is_that_of_opencv(mask: NDArray[np.uint8]) -> None:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    found = largest_part(mask)
    if count < 2:
        assert found is None
        return
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    assert found is not None
    np.testing.assert_array_equal(found, labels == best)
    assert cv2.boundingRect(found) == tuple(stats[best, :4])
