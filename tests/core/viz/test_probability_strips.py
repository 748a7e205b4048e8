from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ich_cli.core.labels import LABELS
from ich_cli.core.study import Probabilities
from ich_cli.core.viz import DARK, new_figure
from ich_cli.core.viz.probability_strips import HEIGHT, as_array, draw_strips

SIX: Probabilities = (0.49, 0.04, 0.0, 0.01, 0.25, 1.0)
THRESHOLDS = dict.fromkeys(LABELS, 0.25)


def strip_chart(
    probabilities: list[Probabilities | None], marked: Sequence[int] = (), width: float = 9.0
) -> Figure:
    figure = new_figure(width, HEIGHT)
    draw_strips(figure, probabilities, THRESHOLDS, left=0, bottom=0, width=width, marked=marked)
    return figure


def bars(axes: Any) -> list[Rectangle]:
    found: list[Rectangle] = list(axes.containers[0])
    return found


def test_a_bar_a_slice_as_high_as_the_root_of_its_probability() -> None:
    figure = strip_chart([SIX, None, SIX])
    assert len(figure.axes) == 6
    for axes, p in zip(figure.axes, SIX, strict=True):
        heights = [bar.get_height() for bar in bars(axes)]
        assert heights == pytest.approx([p**0.5, 0, p**0.5])
        assert axes.get_ylim() == (0, 1)  # the same in every picture


def test_values_that_reach_their_threshold_are_highlighted() -> None:
    figure = strip_chart([SIX])
    colors = [to_hex(bars(axes)[0].get_facecolor()) for axes in figure.axes]
    over, under = DARK.alert, DARK.line
    assert colors == [over, under, under, under, over, over]


def test_the_highest_is_labels_and_a_slice_that_failed_is_marked() -> None:
    axes = strip_chart([None, SIX]).axes[0]
    labels = [text.get_text() for text in axes.texts]
    assert labels == ["any hemorrhage", "0.490", "highest"]
    assert [line.get_marker() for line in axes.lines].count("x") == 1


def test_a_series_that_could_not_be_read_is_drawn() -> None:
    axes = strip_chart([None, None]).axes[3]
    assert [text.get_text() for text in axes.texts] == ["intraventricular", "-"]


def test_slices_to_mark_are_marked() -> None:
    axes = strip_chart([SIX] * 9, marked=[4]).axes[0]
    spans = [patch for patch in axes.patches if patch not in bars(axes)]
    assert [span.get_extents().width > 0 for span in spans] == [True]


def test_not_read_is_not_a_number() -> None:
    found = as_array([SIX, None])
    assert found.shape == (2, 6)
    assert np.isnan(found[1]).all()
    assert as_array([]).shape == (0, 6)


@pytest.mark.parametrize("count", [1, 28, 60, 700])
@pytest.mark.parametrize("width", [6.0, 12.0])
def test_no_text_is_cut_or_overlaps(count: int, width: float) -> None:
    figure = strip_chart([SIX] * count, width=width)
    figure.canvas.draw()
    texts = [text for axes in figure.axes for text in axes.texts]
    ticks = [t for axes in figure.axes[-1:] for t in axes.get_xticklabels()]
    boxes = [text.get_window_extent() for text in [*texts, *ticks, figure.axes[-1].xaxis.label]]
    whole = figure.bbox
    for n, box in enumerate(boxes):
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes[n + 1 :])
