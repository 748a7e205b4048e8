from __future__ import annotations

import torch
from torch import Tensor

from ich_cli.core.data import UNKNOWN
from ich_cli.core.imaging import Window
from ich_cli.core.train.copy_paste import paste_hemorrhages

WINDOWS = (Window(40, 80), Window(600, 2800))
SIDE = 64


def level(hu: float, window: Window) -> int:
    return max(0, min(255, round((hu - window.center + window.width / 2) / window.width * 255)))


def paint(pixels: Tensor, rows: slice, columns: slice, hu: float) -> None:
    for channel, window in enumerate(WINDOWS):
        pixels[channel, rows, columns] = level(hu, window)


def head(brain: float = 35) -> Tensor:
    """Air, a square ring of bone, and brain in it: uint8 ``(2, 64, 64)``."""
    pixels = torch.zeros((2, SIDE, SIDE), dtype=torch.uint8)
    paint(pixels, slice(4, 60), slice(4, 60), 900)
    paint(pixels, slice(10, 54), slice(10, 54), brain)
    return pixels


def batch(n: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """The first slice has a subdural bleed (bit 4) in the middle; the others are healthy."""
    pixels = torch.stack([head() for _ in range(n)])
    masks = torch.zeros((n, SIDE, SIDE), dtype=torch.uint8)
    labels = torch.zeros((n, 6))
    paint(pixels[0], slice(26, 38), slice(26, 38), 70)
    masks[0, 26:38, 26:38] = 1 << 4
    labels[0, [0, 5]] = 1
    return pixels, labels, masks


def run(
    given: tuple[Tensor, Tensor, Tensor], share: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    return paste_hemorrhages(given, share, WINDOWS, torch.Generator().manual_seed(seed))


def test_blood_comes_with_its_mask_and_labels_and_decoys_change_none() -> None:
    before = batch(24)
    pixels, labels, masks = run(before)
    bleeding = (masks > 0).flatten(1).any(1)
    assert 8 <= int(bleeding.sum()) < 24  # some received healthy tissue
    for row in torch.nonzero(bleeding).flatten().tolist():
        assert labels[row].tolist() == [1, 0, 0, 0, 0, 1]
        assert set(masks[row].unique().tolist()) == {0, 16}
        inner = torch.nn.functional.avg_pool2d((masks[row] > 0).float()[None], 7, 1, 3)[0] == 1
        assert (pixels[row, 0][inner] == level(70, WINDOWS[0])).all()
    for row in torch.nonzero(~bleeding).flatten().tolist():
        assert labels[row].sum() == 0
        assert torch.equal(pixels[row], before[0][row])  # healthy tissue of equal heads


def test_the_batch_itself_is_not_changed() -> None:
    given = batch()
    copies = [x.clone() for x in given]
    run(given)
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True))


def test_skull_and_air_stay_what_they_are() -> None:
    given = batch()
    given[2][0] = 1 << 4  # the whole picture is said to bleed
    given[0][0, :, 10:54, 10:54] = level(70, WINDOWS[0])
    pixels, _, masks = run(given)
    outside = torch.ones((SIDE, SIDE), dtype=torch.bool)
    outside[10:54, 10:54] = False
    assert torch.equal(pixels[:, :, outside], given[0][:, :, outside])
    assert not masks[1:, outside].any()


def test_without_share_donor_or_known_masks_nothing_changes() -> None:
    given = batch()
    assert torch.equal(run(given, share=0.0)[0], given[0])
    pixels, labels, masks = batch()
    masks[0] = UNKNOWN
    assert torch.equal(run((pixels, labels, masks))[0], pixels)
    pixels, labels, masks = batch()
    masks[1:] = UNKNOWN
    assert torch.equal(run((pixels, labels, masks))[2], masks)


def test_the_same_seed_gives_the_same_batch() -> None:
    assert torch.equal(run(batch(), seed=3)[0], run(batch(), seed=3)[0])
    assert not torch.equal(run(batch(), seed=3)[0], run(batch(), seed=4)[0])


def test_a_lesion_over_bone_of_the_recipient_is_not_pasted() -> None:
    pixels, labels, masks = batch()
    for row in range(1, len(pixels)):
        paint(pixels[row], slice(20, 44), slice(20, 44), 900)
    assert not run((pixels, labels, masks))[2][1:].any()
