from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ich_cli.core.imaging import head_mask, inpaint_lesions, replace_region
from ich_cli.core.imaging.inpainting import Midline, midline, soft_tissue


def head(angle: float = 0.0, shift: int = 0, *, blood: bool = False) -> NDArray[np.float32]:
    """Return an ellipse of brain in bone with a nose and dark ventricles, rotated by `angle`."""
    picture = np.full((200, 200), -1000, np.float32)
    centre = (100 + shift, 100)
    cv2.ellipse(picture, centre, (62, 82), 0, 0, 360, 900, -1)
    cv2.ellipse(picture, centre, (56, 76), 0, 0, 360, 34, -1)
    for side in (-1, 1):
        cv2.ellipse(picture, (100 + shift + 14 * side, 90), (7, 24), 0, 0, 360, 8, -1)
    cv2.circle(picture, (100 + shift, 18), 7, 40, -1)
    if blood:
        cv2.circle(picture, (65 + shift, 110), 14, 72, -1)
    noise = np.random.default_rng(1).normal(0, 4, picture.shape).astype(np.float32)
    picture += noise
    turned = cv2.getRotationMatrix2D((99.5, 99.5), angle, 1)
    return np.asarray(cv2.warpAffine(picture, turned, (200, 200), borderValue=(-1000,)), np.float32)


def midline_of(hu: NDArray[np.float32]) -> Midline:
    return midline(hu, head_mask(hu))


@pytest.mark.parametrize("angle", [-22, -7, 0, 12, 25])
def test_the_midline_follows_the_head(angle: int) -> None:
    found = midline_of(head(angle))  # OpenCV turns counter-clockwise: the top goes left
    assert found.angle == pytest.approx(angle, abs=2)


def test_the_midline_is_found_off_the_middle() -> None:
    assert midline_of(head(shift=15)).x == pytest.approx(115, abs=1.5)


def test_a_reflection_is_its_own_inverse_and_leaves_the_line() -> None:
    line = midline_of(head(12))
    matrix = np.vstack([line.reflection(), [0, 0, 1]])
    np.testing.assert_allclose(matrix @ matrix, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(matrix @ [line.x, line.y, 1], [line.x, line.y, 1], atol=1e-9)


def test_blood_is_removed_and_bone_and_air_are_kept() -> None:
    hu = head(10, blood=True)
    inpainted = inpaint_lesions(hu)
    blood = cv2.GaussianBlur(hu, (0, 0), 2) > 65
    soft = soft_tissue(hu, head_mask(hu))
    assert (blood & soft).sum() > 300
    assert inpainted[blood & soft].mean() == pytest.approx(34, abs=4)
    assert np.array_equal(inpainted[~soft], hu[~soft])


def test_inpainted_tissue_has_the_noise_of_the_head() -> None:
    hu = head(blood=True)
    inpainted = inpaint_lesions(hu)
    calm = np.zeros(hu.shape, bool)
    calm[60:120, 130:150] = True  # brain on the side without blood, whose mirror has it in part
    here = (slice(105, 116), slice(60, 71))  # within the blood
    assert 1.5 < inpainted[here].std() < 8
    assert abs(float(inpainted[here].mean()) - float(hu[calm].mean())) < 5


def test_blood_in_the_mirror_is_not_copied_over() -> None:
    hu = head(blood=True)
    opposite = (slice(105, 116), slice(130, 141))
    assert inpaint_lesions(hu)[opposite].mean() < 45


def test_only_the_region_is_replaced_without_an_edge() -> None:
    hu = np.zeros((100, 100), np.float32)
    inpainted = np.full((100, 100), 10, np.float32)
    region = np.zeros((100, 100), bool)
    region[30:70, 30:70] = True
    found = replace_region(hu, inpainted, region)
    assert not found[~region].any()
    assert found[50, 50] == pytest.approx(10)
    assert 0 <= found[50, 30] < 5 < found[50, 33]


@pytest.mark.parametrize("value", [-1000, 40, 2000])
def test_a_slice_of_one_value_is_inpainted(value: float) -> None:
    hu = np.full((64, 48), value, np.float32)
    inpainted = inpaint_lesions(hu)
    assert inpainted.shape == hu.shape
    assert np.isfinite(inpainted).all()


def test_the_head_is_the_largest_part_with_its_sinuses() -> None:
    hu = np.full((80, 80), -1000, np.float32)
    hu[10:60, 10:60] = 40
    hu[20:30, 20:30] = -1000  # a sinus
    hu[70:76, 5:75] = 100  # a headrest
    found = head_mask(hu)
    assert found[25, 25]
    assert found[11:59, 11:59].all()
    assert not found[70:].any()
    assert not head_mask(np.full((80, 80), -1000, np.float32)).any()
