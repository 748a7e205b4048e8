from __future__ import annotations

import numpy as np
import pytest
import torch

from ich_cli.core.errors import UsageError
from ich_cli.core.train.augment import AugmentConfig, Draws, augment, draw_dlmi_pose, move

WIDTHS = (80.0, 200.0, 2800.0)
STILL = AugmentConfig(
    flip=0, rotate=0, scale=0, shift=0, shear=0, hu_shift=0, gain=0, sharpness=0, noise_hu=0,
    erase=0,
)  # fmt: skip


def generator(seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def batch(n: int = 4, channels: int = 3, side: int = 32) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (n, channels, side, side), dtype=np.uint8))


def test_no_change_is_the_identity() -> None:
    x = batch()
    torch.testing.assert_close(augment(x, STILL, WIDTHS, generator()), x.float(), atol=2e-3, rtol=0)


def test_a_certain_flip_exchanges_left_and_right() -> None:
    x = batch()
    flipped = augment(x, AugmentConfig(**{**vars(STILL), "flip": 1}), WIDTHS, generator())
    torch.testing.assert_close(flipped, x.float().flip(-1), atol=2e-3, rtol=0)


def test_hu_shift_is_the_same_number_of_hu_in_every_window() -> None:
    x = torch.full((8, 3, 8, 8), 128, dtype=torch.uint8)
    moved = augment(x, AugmentConfig(**{**vars(STILL), "hu_shift": 6}), WIDTHS, generator())
    hu = (moved - 128).mean((2, 3)) / 255 * torch.tensor(WIDTHS)  # (8, 3)
    torch.testing.assert_close(hu[:, 0], hu[:, 1], atol=1e-2, rtol=0)
    torch.testing.assert_close(hu[:, 0], hu[:, 2], atol=1e-1, rtol=0)
    assert hu.abs().max() <= 6.1
    assert hu[:, 0].std() > 1


def test_air_stays_black_and_saturated_bone_white() -> None:
    x = torch.zeros((4, 3, 16, 16), dtype=torch.uint8)
    x[:, :, :, 8:] = 255
    config = AugmentConfig(**{**vars(STILL), "hu_shift": 20, "gain": 0.5, "noise_hu": 20})
    torch.testing.assert_close(
        augment(x, config, WIDTHS, generator()), x.float(), atol=1e-3, rtol=0
    )


def test_what_comes_in_from_outside_is_air() -> None:
    x = torch.full((16, 3, 32, 32), 200, dtype=torch.uint8)
    config = AugmentConfig(**{**vars(STILL), "shift": 0.5})
    out = augment(x, config, WIDTHS, generator())
    assert out.min() == 0
    assert out.max() <= 200.01


def test_the_seed_decides_everything_and_values_stay_in_range() -> None:
    x = batch(channels=9)
    config = AugmentConfig.of_strength(2)
    a, b, c = (augment(x, config, WIDTHS, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.min() >= 0
    assert a.max() <= 255


def test_rotation_keeps_a_disc_where_it_is() -> None:
    rows, columns = np.mgrid[:64, :64]
    disc = ((rows - 31.5) ** 2 + (columns - 31.5) ** 2 < 400).astype(np.uint8) * 200
    x = torch.from_numpy(np.broadcast_to(disc, (4, 3, 64, 64)).copy())
    turned = augment(x, AugmentConfig(**{**vars(STILL), "rotate": 45}), WIDTHS, generator())
    assert (turned - x.float()).abs().mean() < 4


def test_erasing_makes_a_black_rectangle() -> None:
    x = torch.full((4, 3, 64, 64), 100, dtype=torch.uint8)
    out = augment(x, AugmentConfig(**{**vars(STILL), "erase": 1}), WIDTHS, generator())
    share = (out == 0).float().mean((1, 2, 3))
    assert (share > 0.01).all()
    assert (share < 0.15).all()
    assert ((out == 0) | ((out - 100).abs() < 1e-3)).all()


def test_amounts_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError):
        AugmentConfig(flip=1.5)
    with pytest.raises(UsageError):
        AugmentConfig.of_strength(-1)


def test_the_recipes_poses_are_flips_transpositions_and_few_affine_ones() -> None:
    pose = draw_dlmi_pose(2000, generator())
    plain = pose[:, :, :2].abs().round(decimals=6)
    kept = (plain == torch.eye(2)).flatten(1).all(1)
    exchanged = (plain == torch.eye(2).flip(0)).flatten(1).all(1)
    assert (kept | exchanged).float().mean() == pytest.approx(0.7, abs=0.03)
    assert exchanged.float().sum() / (kept | exchanged).sum() == pytest.approx(0.5, abs=0.04)
    mirrored = pose[kept][:, 0, 0] < 0
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.06)
    assert pose[:, :, 2].abs().max() <= 0.1  # 5 % of the side, which is 2 long


def test_the_recipes_border_is_replicated() -> None:
    x = torch.full((1, 1, 8, 8), 7.0)
    pose = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])
    assert move(x, pose).min() == 0
    assert move(x, pose, "border").min() == 7


def test_processes_share_the_draws_of_one() -> None:
    whole = Draws(torch.Generator().manual_seed(1)).uniform(6, 0, 1, 2)
    for rank in (0, 1):
        mine = Draws(torch.Generator().manual_seed(1), rank, 2).uniform(3, 0, 1, 2)
        assert torch.equal(mine, whole[rank::2])
