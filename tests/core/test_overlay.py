from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ich_cli.core.ctslice import CTSlice, Geometry, SliceId
from ich_cli.core.errors import OutputError
from ich_cli.core.labels import LABELS
from ich_cli.core.overlay import OPACITY, blend, colours, edge_letters, picture
from ich_cli.core.panel import Panel, draw_panel, write_panel

# ImageOrientationPatient of the usual orientations (PS3.3 C.7.6.2.1.1): x to the left, y to the
# back, z to the head.
ORIENTATIONS = [
    ((1, 0, 0), (0, 1, 0), "RLAP"),  # axial, supine, head first, as radiologists look at it
    ((-1, 0, 0), (0, 1, 0), "LRAP"),  # mirrored
    ((1, 0, 0), (0, -1, 0), "RLPA"),
    ((0, 1, 0), (0, 0, -1), "APHF"),  # sagittal
    ((1, 0, 0), (0, 0, -1), "RLHF"),  # coronal
    ((1, 0, 0), (0, 0.948, -0.317), "RLAP"),  # gantry tilted by 18.5 degrees
]


@pytest.mark.parametrize(("row", "column", "letters"), ORIENTATIONS)
def test_letters_at_the_edges(
    row: tuple[float, float, float], column: tuple[float, float, float], letters: str
) -> None:
    found = edge_letters(Geometry(row_direction=row, column_direction=column))
    assert found is not None
    assert "".join(found) == letters


def test_oblique_edges_have_two_letters_the_nearer_first() -> None:
    found = edge_letters(Geometry(row_direction=(0.8, 0.6, 0), column_direction=(-0.6, 0.8, 0)))
    assert found == ("RA", "LP", "AL", "PR")


def test_no_letters_without_an_orientation() -> None:
    assert edge_letters(Geometry()) is None


def test_picture_is_the_brain_window() -> None:
    found = picture(np.array([[-1000, 0, 40, 80, 3000]], np.float32))
    assert found.shape == (1, 5, 3)
    assert found[0, :, 0].tolist() == [0, 0, 128, 255, 255]


grey = st.integers(0, 255)


@given(grey, st.floats(0, 1, width=32))
def test_blend_lies_between_picture_and_colour(background: int, value: float) -> None:
    base = np.full((1, 1, 3), background, np.uint8)
    map_ = np.full((1, 1), value, np.float32)
    mixed = blend(base, map_)[0, 0].astype(int)
    colour = colours(map_)[0, 0].astype(int)
    assert (mixed >= np.minimum(colour, background) - 1).all()
    assert (mixed <= np.maximum(colour, background) + 1).all()


def test_blend_leaves_the_picture_where_the_map_is_empty() -> None:
    base = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(blend(base, np.zeros((8, 8), np.float32)), base)
    assert np.array_equal(blend(base, np.full((8, 8), np.nan, np.float32)), base)


def test_strongest_value_is_opaque_as_said() -> None:
    base = np.zeros((1, 1, 3), np.uint8)
    one = np.ones((1, 1), np.float32)
    expected = np.rint(colours(one) * OPACITY)
    assert np.abs(blend(base, one) - expected).max() <= 1


def test_colours_grow_in_lightness_for_any_eyes() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None]
    lab = cv2.cvtColor(colours(ramp).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert (np.diff(lab[0, :, 0]) > 0).all()


def panel(
    labels: tuple[str, ...], spacing: tuple[float, float] = (0.5, 0.5), caveat: str = ""
) -> Panel:
    hu = np.full((64, 48), 30, np.float32)
    geometry = Geometry(row_direction=(1, 0, 0), column_direction=(0, 1, 0), spacing=spacing)
    ct = CTSlice(hu, SliceId("PLANTED^NAME.dcm"), geometry, patient="PLANTED-ID")
    maps: dict[str, NDArray[np.float32]] = {
        label: np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(64, 48) for label in labels
    }
    six = (0.9, 0.496, 0.3, 0.2, 0.1, 0.5)
    return Panel(ct, maps, six, dict.fromkeys(LABELS, 0.5), caveat=caveat)


def texts(drawn: Panel) -> str:
    figure = draw_panel(drawn)
    found = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return "\n".join(text.get_text() for text in found)


def test_panel_says_what_a_reader_needs() -> None:
    told = texts(panel(("any", "epidural", "subdural"), caveat="Trained on nothing."))
    assert "any hemorrhage  0.90" in told
    assert "reaches its threshold 0.50" in told
    assert "epidural  0.4960\nunder its threshold 0.5000" in told  # 0.50 under 0.50 would puzzle
    assert "subdural  0.5000\nreaches its threshold 0.5000" in told
    assert "Research use only, not a medical device. Trained on nothing." in told
    assert all(f"{label} 0." in told for label in LABELS)
    for letter in "RLAP":
        assert f"\n{letter}\n" in told
    assert "PLANTED" not in told


@pytest.mark.parametrize("labels", [LABELS[:1], LABELS[:2], LABELS[:3], LABELS])
def test_no_text_of_the_panel_is_cut_or_overlaps(labels: tuple[str, ...]) -> None:
    caveat = "These weights never saw a real CT (trained on a great many synthetic heads): " * 3
    figure = draw_panel(panel(labels, caveat=caveat))
    figure.canvas.draw()
    whole = figure.bbox
    found = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    boxes = [text.get_window_extent() for text in found]
    for box in boxes:
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1
    for n, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[n + 1 :]), found[n].get_text()


def test_pixels_that_are_not_square_keep_their_shape() -> None:
    axes = draw_panel(panel(("any",), spacing=(1.0, 0.5))).axes[0]
    assert axes.get_aspect() == 2.0


def test_file_is_whole_and_says_nothing_beside_the_picture(tmp_path: Path) -> None:
    write_panel(tmp_path / "a.png", panel(("any",)))
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert set(image.info) <= {"dpi"}
        assert min(image.size) > 500
    assert b"PLANTED" not in (tmp_path / "a.png").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_panel(tmp_path / "no" / "a.png", panel(("any",)))
