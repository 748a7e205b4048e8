from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ich_cli.core.dicom import CTSlice, Geometry, SliceId
from ich_cli.core.explain import Faithfulness
from ich_cli.core.imaging import BRAIN
from ich_cli.core.labels import LABELS
from ich_cli.core.study import Probabilities
from ich_cli.core.viz import ContactSheet, Panel, draw_sheet, spread, thumbnail, write_figure


def ct(shape: tuple[int, int] = (64, 48), spacing: tuple[float, float] = (0.5, 0.5)) -> CTSlice:
    geometry = Geometry(row_direction=(1, 0, 0), column_direction=(0, 1, 0), spacing=spacing)
    return CTSlice(
        np.full(shape, 40, np.float32), SliceId("PLANTED^NAME.dcm"), geometry, patient="PLANTED-ID"
    )


def sheet(count: int = 20, worst: int = 3, labels: tuple[str, ...] = ("any",)) -> ContactSheet:
    six: list[Probabilities | None] = [(0.1 + 0.04 * (k % 20), 0, 0, 0, 0, 0) for k in range(count)]
    six[1] = None
    panels = []
    for place in range(worst):
        of_slice = six[count - 1 - 2 * place]
        assert of_slice is not None
        maps = {label: np.full((64, 48), 0.3, np.float32) for label in labels}
        measured = {label: Faithfulness(0.9, 0.2, 0.8) for label in labels}
        panels.append(
            (
                count - 1 - 2 * place,
                Panel(ct(), maps, of_slice, dict.fromkeys(LABELS, 0.5), faithfulness=measured),
            )
        )
    small = [thumbnail(ct(), index) for index in spread(count) if six[index] is not None]
    return ContactSheet(six, panels, small)


def texts(drawn: ContactSheet) -> list[str]:
    figure = draw_sheet(drawn)
    found = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text.get_text() for text in found]


def test_the_picture_shows_probabilities_method_and_caveat() -> None:
    text = "\n".join(texts(sheet()))
    assert "any hemorrhage  0.86  in slice 20 of 20" in text
    assert "reaches its threshold 0.50 · 1 could not be read (x)" in text
    assert "slice 20\nbrain window 40 / 80 HU" in text
    assert "any hemorrhage  0.78\nreaches its threshold 0.50" in text
    assert "hottest tenth replaced 0.200 · a random one 0.800" in text
    assert "Research use only, not a medical device." in text
    assert "PLANTED" not in text


def test_all_slices_are_small_unless_there_are_too_many() -> None:
    assert "all slices, from the feet" not in "\n".join(texts(sheet()))  # one could not be read
    assert any(text.startswith("19 of 20 slices") for text in texts(sheet()))
    assert any(text.startswith("39 of 77 slices") for text in texts(sheet(77)))
    assert spread(48) == list(range(48))
    assert spread(49) == list(range(0, 49, 2))
    assert len(spread(1000)) <= 48
    assert spread(0) == []


def test_what_is_over_the_threshold_is_framed() -> None:
    figure = draw_sheet(sheet())
    widths = [
        axes.spines["left"].get_linewidth()
        for axes in figure.axes
        if axes.images and axes.images[0].get_array().ndim == 2
    ]
    # 0.1 + 0.04 k reaches 0.5 from slice 10 of 0 … 19; slice 1 could not be read
    assert widths == [0.4] * 9 + [1.6] * 10


@pytest.mark.parametrize(
    ("count", "worst", "labels"), [(3, 1, ("any",)), (20, 3, LABELS[:3]), (130, 2, ("any",))]
)
def test_no_text_is_cut_or_overlaps(count: int, worst: int, labels: tuple[str, ...]) -> None:
    figure = draw_sheet(sheet(count, worst, labels))
    figure.canvas.draw()
    found = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    boxes = [text.get_window_extent() for text in found]
    whole = figure.bbox
    for n, box in enumerate(boxes):
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, found[n].get_text()
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, found[n].get_text()
        assert not any(box.overlaps(other) for other in boxes[n + 1 :]), found[n].get_text()


def test_thumbnails_have_the_shape_of_the_body() -> None:
    assert thumbnail(ct((64, 48)), 0).grey.shape == (128, 96)
    assert thumbnail(ct((64, 64), (1.0, 0.5)), 0).grey.shape == (128, 64)
    assert thumbnail(ct(), 3, BRAIN).grey.max() == 128  # 40 HU in 0 … 80


def test_file_is_complete_and_has_no_metadata(tmp_path: Path) -> None:
    write_figure(tmp_path / "a.png", draw_sheet(sheet()))
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert set(image.info) <= {"dpi"}
    assert b"PLANTED" not in (tmp_path / "a.png").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
