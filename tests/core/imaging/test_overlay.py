from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from PIL import Image

from ich_cli.core.dicom import CTSlice, Geometry, SliceId
from ich_cli.core.errors import OutputError
from ich_cli.core.explain import Faithfulness
from ich_cli.core.imaging import (
    BONE,
    BRAIN,
    LEVELS,
    OPACITY,
    SUBDURAL,
    blend,
    colours,
    edge_letters,
    line_colour,
    overlay,
    picture,
)
from ich_cli.core.imaging.overlays import contours
from ich_cli.core.labels import LABELS
from ich_cli.core.viz import Panel, draw_panel, write_figure

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
    assert np.abs(blend(base, one, 0.3) - np.rint(colours(one) * 0.3)).max() <= 1


def test_colours_grow_in_lightness_for_any_eyes() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None]
    lab = cv2.cvtColor(colours(ramp).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert (np.diff(lab[0, :, 0]) > 0).all()


def cone(height: float, side: int = 101) -> NDArray[np.float32]:
    """Return a map that falls evenly from `height` in the middle to 0 at 50 pixels from it."""
    down, across = np.ogrid[:side, :side]
    far = np.hypot(down - side // 2, across - side // 2)
    return np.maximum(0, height * (1 - far / 50)).astype(np.float32)


def test_contours_are_where_the_map_has_their_value() -> None:
    found = dict(contours(cone(0.5)))
    assert list(found) == [0.05, 0.1, 0.2, 0.4]  # 0.8 is never reached
    for level, lines in found.items():
        (line,) = lines
        radius = np.hypot(*(line - 50).T)
        np.testing.assert_allclose(radius, 50 * (1 - level / 0.5), atol=0.6)


def test_a_weak_map_has_no_contours() -> None:
    base = np.full((101, 101), 90, np.uint8)
    shown = overlay(base, cone(0.04), style="contour")
    assert np.array_equal(shown, np.repeat(base[:, :, None], 3, 2))


def test_contours_leave_the_pixels_between_them_bare() -> None:
    base = np.full((101, 101), 90, np.uint8)
    shown = overlay(base, cone(0.5), opacity=1.0, style="contour")
    assert (shown[50, 50] == 90).all()
    row = np.flatnonzero((shown[50] != 90).any(axis=1))
    for level in (0.05, 0.1, 0.2, 0.4):
        assert np.abs(row - (50 + 50 * (1 - level / 0.5))).min() <= 1
    assert len(row) <= 8 * 6  # eight crossings of a line with its rim
    assert (overlay(base, cone(0.5), opacity=0.0, style="contour") == 90).all()


def test_each_line_is_lighter_than_the_one_outside_it() -> None:
    rgb = np.array([[line_colour(level) for level in LEVELS]], np.float32) / 255
    assert (np.diff(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0, :, 0]) > 8).all()


def test_overlay_takes_hu_or_a_picture() -> None:
    hu = np.linspace(-100, 200, 101 * 101, dtype=np.float32).reshape(101, 101)
    map_ = cone(0.7)
    by_hu = overlay(hu, map_, 0.4, "heat", SUBDURAL)
    rgb = picture(hu, SUBDURAL)
    assert np.array_equal(by_hu, overlay(rgb, map_, 0.4))
    assert np.array_equal(by_hu, overlay(np.ascontiguousarray(rgb[:, :, 0]), map_, 0.4))
    assert np.array_equal(by_hu, blend(rgb, map_, 0.4))
    assert np.array_equal(overlay(hu, map_, 0.0), picture(hu))


@pytest.mark.parametrize(
    ("changed", "output"),
    [
        ({"opacity": 1.5}, "opacity must be between 0 and 1"),
        ({"style": "fog"}, "style must be one of heat, contour, not 'fog'"),
        ({"values": np.zeros((3, 3), np.float32)}, r"the map has shape \(3, 3\)"),
    ],
)
def test_overlay_refuses_what_makes_no_sense(changed: dict[str, object], output: str) -> None:
    given = {"image": np.zeros((4, 4), np.uint8), "values": np.zeros((4, 4), np.float32)}
    with pytest.raises(ValueError, match=output):
        overlay(**{**given, **changed})  # type: ignore[arg-type]


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
    output = {label: Faithfulness(0.9, 0.2, 0.8) for label in labels[1:]}
    return Panel(ct, maps, six, dict.fromkeys(LABELS, 0.5), caveat=caveat, faithfulness=output)


def texts(drawn: Panel) -> str:
    figure = draw_panel(drawn)
    found = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return "\n".join(text.get_text() for text in found)


def test_panel_shows_method_threshold_and_caveat() -> None:
    output = texts(panel(("any", "epidural", "subdural"), caveat="Trained on nothing."))
    assert "any hemorrhage  0.90" in output
    assert "reaches its threshold 0.50" in output
    assert "epidural  0.4960\nunder its threshold 0.5000" in output  # 0.50 under 0.50 would puzzle
    assert "subdural  0.5000\nreaches its threshold 0.5000" in output
    assert "Research use only, not a medical device. Trained on nothing." in output
    assert all(f"{label} 0." in output for label in LABELS)
    for letter in "RLAP":
        assert f"\n{letter}\n" in output
    assert "PLANTED" not in output


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


def test_faithfulness_is_shown_under_each_map() -> None:
    output = texts(panel(("any", "epidural")))
    assert (
        "the map is empty: nothing here raises the probability" in output
    )  # `any` was not measured
    assert "hottest tenth replaced 0.200 · a random one 0.800" in output
    assert "healthy-looking tissue" in output
    assert "hottest tenth" not in texts(panel(("any",)))


def test_eigencam_is_described_as_ignoring_the_label() -> None:
    assert "all labels have the same map" in texts(replace(panel(("any",)), method="eigencam"))
    assert "all labels have the same map" not in texts(panel(("any",)))


def test_each_window_is_shown_and_the_maps_lie_over_the_first() -> None:
    shown = replace(panel(("any",)), windows=(BONE, BRAIN), style="contour", opacity=1.0)
    figure = draw_panel(shown)
    output = texts(shown)
    assert "bone\nwindow 600 / 2800 HU" in output
    assert "brain\nwindow 40 / 80 HU" in output
    first, second, third = (axes.images[0].get_array() for axes in figure.axes[:3])
    assert np.array_equal(first, picture(shown.ct.hu, BONE))
    assert np.array_equal(second, picture(shown.ct.hu, BRAIN))
    assert np.array_equal(third, overlay(shown.ct.hu, shown.maps["any"], 1.0, "contour", BONE))


@pytest.mark.parametrize(
    ("spacing", "bar"),
    [((0.5, 0.5), "5 mm"), ((5.0, 5.0), "50 mm"), ((1.0, 2.0), "20 mm"), ((0.01, 0.01), None)],
)
def test_the_bar_is_a_round_length_from_the_spacing(
    spacing: tuple[float, float], bar: str | None
) -> None:
    axes = draw_panel(panel(("any",), spacing=spacing)).axes[0]  # 48 columns
    output = [text.get_text() for text in axes.texts if text.get_text().endswith("mm")]
    assert output == ([] if bar is None else [bar])
    if bar:
        (line,) = axes.lines
        x = line.get_xdata()
        assert (x[1] - x[0]) * 48 * spacing[1] == pytest.approx(float(bar.split()[0]))  # type: ignore[index]


def test_no_bar_without_a_spacing() -> None:
    shown = panel(("any",))
    bare = replace(shown, ct=replace(shown.ct, geometry=Geometry()))
    axes = draw_panel(bare).axes[0]
    assert not axes.lines
    assert "mm" not in texts(bare)


def test_pixels_that_are_not_square_keep_their_shape() -> None:
    axes = draw_panel(panel(("any",), spacing=(1.0, 0.5))).axes[0]
    assert axes.get_aspect() == 2.0


def test_file_is_complete_and_has_no_metadata(tmp_path: Path) -> None:
    write_figure(tmp_path / "a.png", draw_panel(panel(("any",))))
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert set(image.info) <= {"dpi"}
        assert min(image.size) > 500
    assert b"PLANTED" not in (tmp_path / "a.png").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_figure(tmp_path / "no" / "a.png", draw_panel(panel(("any",))))
