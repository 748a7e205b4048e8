"""Augmentation of a batch on the device: pose, HU, sharpness and noise, as between scanners.

Pixels clipped by a window (0 or 255) do not change, since their HU are unknown: air stays black and
bone stays white under an HU shift.

torchvision.transforms.v2 is not used: its classes draw once per batch, from the global generator,
and its functions neither take one angle per slice nor replicate the border (needed by the ``dlmi``
recipe). Here a batch is resampled once, and the step's own generator draws all amounts, so that
resumed and distributed runs draw the same numbers as one uninterrupted process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ich_cli.core.errors import UsageError

_HALF_LEVEL: Final = 0.5 / 255  # tolerance: resampling changes black and white pixels slightly


@dataclass(frozen=True)
class AugmentConfig:
    """Largest amount of each change; each slice draws its own."""

    flip: float = 0.5
    """Probability of a horizontal flip."""
    rotate: float = 20.0
    """Largest rotation in degrees, either way."""
    scale: float = 0.15
    """Largest relative change of size."""
    shift: float = 0.06
    """Largest shift, as a fraction of the side."""
    shear: float = 5.0
    """Largest shear in degrees."""
    hu_shift: float = 6.0
    """Largest offset in HU, the same for all windows, as between scanners."""
    gain: float = 0.1
    """Largest relative change of each window's contrast."""
    sharpness: float = 0.5
    """Range from blurred (-) to sharpened (+), as between reconstruction kernels."""
    noise_hu: float = 4.0
    """Largest standard deviation of added noise in HU."""
    erase: float = 0.15
    """Probability of erasing a rectangle."""

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0 or max(self.flip, self.erase) > 1 or self.scale >= 1:
            raise UsageError("augmentation amounts must be at least 0, probabilities at most 1")

    @classmethod
    def of_strength(cls, strength: float) -> AugmentConfig:
        """Return the defaults times `strength`, in [0, 3]; 0 leaves only flips."""
        if not 0 <= strength <= 3:
            raise UsageError("augmentation must be in [0, 3]")
        base = cls()
        amounts = {k: v * strength for k, v in vars(base).items() if k not in ("flip", "erase")}
        return cls(flip=base.flip, erase=min(1.0, base.erase * strength), **amounts)


@dataclass(frozen=True)
class Draws:
    """Random numbers for the slices of a step; each process takes its own part of the same draw."""

    generator: torch.Generator
    rank: int = 0
    world: int = 1
    """Number of processes; slices are assigned to them in turn."""

    def uniform(self, n: int, low: float = 0.0, high: float = 1.0, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` numbers in [low, high), on the generator's device."""
        whole = (n * self.world, *shape)
        each = torch.rand(whole, generator=self.generator, device=self.generator.device)
        return each[self.rank :: self.world] * (high - low) + low

    def symmetric(self, n: int, most: float, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` numbers in [-most, most)."""
        return self.uniform(n, -most, most, *shape)

    def normal(self, n: int, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` standard normal numbers."""
        whole = (n * self.world, *shape)
        each = torch.randn(whole, generator=self.generator, device=self.generator.device)
        return each[self.rank :: self.world]


def augment(
    pixels: Tensor,
    config: AugmentConfig,
    widths: Sequence[float],
    draws: Draws,
    pose: Tensor | None = None,
) -> Tensor:
    """Augment each slice of a batch.

    Parameters
    ----------
    pixels
        uint8 ``(N, C, S, S)``.
    config
        Largest amounts.
    widths
        Width of each window in HU; repeated over the slices of the context.
    draws
        Random numbers on the same device; the only source of randomness.
    pose
        Result of `draw_pose`, to move masks alike; None draws one.

    Returns
    -------
    torch.Tensor
        float32 ``(N, C, S, S)`` in [0, 255].
    """
    pose = draw_pose(len(pixels), config, draws) if pose is None else pose
    moved = move(pixels.float() / 255, pose)
    per_channel = torch.tensor(widths, device=pixels.device).repeat(pixels.shape[1] // len(widths))
    changed = _sharpen(moved, config, draws)
    changed = _shift_hu(changed, config, per_channel, draws)
    changed = changed.clamp(0, 1)
    inside = (moved > _HALF_LEVEL) & (moved < 1 - _HALF_LEVEL)
    changed = torch.where(inside, changed, moved)
    return _erase(changed, config, draws) * 255


def draw_pose(n: int, config: AugmentConfig, draws: Draws) -> Tensor:
    """Draw flips, rotations, scales, shears and shifts: matrices ``(n, 2, 3)`` for `move`."""
    angle = draws.symmetric(n, math.radians(config.rotate))
    shear = torch.tan(draws.symmetric(n, math.radians(config.shear)))
    zoom = 1 / (1 + draws.symmetric(n, config.scale))
    mirror = torch.where(draws.uniform(n, 0, 1) < config.flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    # output to input coordinates, both in [-1, 1]; a shift of 2 is the whole side
    rows = [
        torch.stack([mirror * cos, mirror * (shear * cos - sin)], 1),
        torch.stack([sin, shear * sin + cos], 1),
    ]
    offset = torch.stack([draws.symmetric(n, 2 * config.shift) for _ in range(2)], 1)
    return torch.cat([torch.stack(rows, 1), offset[:, :, None]], 2)


def draw_dlmi_pose(n: int, draws: Draws) -> Tensor:
    """Draw the poses of the predecessor project: matrices ``(n, 2, 3)`` for `move` with its border.

    Flip with probability 0.5; shift of 5 %, scale of 5 % and rotation of 20 degrees, together
    with probability 0.3; transpose with probability 0.5.
    """
    amounts = AugmentConfig(flip=0, rotate=20, scale=0.05, shift=0.05, shear=0)
    identity = torch.eye(2, 3, device=draws.generator.device).expand(n, 2, 3)
    pose = torch.where(
        (draws.uniform(n) < 0.3)[:, None, None], draw_pose(n, amounts, draws), identity
    )
    mirror = torch.where(draws.uniform(n) < 0.5, -1.0, 1.0)
    pose = torch.cat([pose[:, :, :1] * mirror[:, None, None], pose[:, :, 1:]], 2)
    transposed = torch.cat([pose[:, :, [1, 0]], pose[:, :, 2:]], 2)
    return torch.where((draws.uniform(n) < 0.5)[:, None, None], transposed, pose)


def move(x: Tensor, pose: Tensor, border: Literal["zeros", "border"] = "zeros") -> Tensor:
    """Resample ``(N, C, S, S)`` by poses ``(N, 2, 3)``; outside pixels are 0 or replicated."""
    grid = functional.affine_grid(pose, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode=border, align_corners=False)


def _sharpen(x: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    if config.sharpness == 0:
        return x
    smooth = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    amount = draws.symmetric(x.shape[0], config.sharpness)
    return x + amount[:, None, None, None] * (x - smooth)


def _shift_hu(x: Tensor, config: AugmentConfig, widths: Tensor, draws: Draws) -> Tensor:
    """Add an HU offset and noise to the slice, and scale each window's contrast."""
    n, channels = x.shape[:2]
    hu = draws.symmetric(n, config.hu_shift)[:, None] / widths  # (N, C)
    gain = 1 + draws.symmetric(n, config.gain, channels)
    sigma = draws.uniform(n, 0, config.noise_hu)[:, None] / widths
    if config.noise_hu > 0:
        noise = draws.normal(n, 1, *x.shape[2:])
        x = x + sigma[:, :, None, None] * noise
    return x * gain[:, :, None, None] + hu[:, :, None, None]


def _erase(x: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Set a rectangle of 2 to 12 % of the area to 0 in some slices."""
    if config.erase == 0:
        return x
    n, side = x.shape[0], x.shape[-1]
    where = torch.arange(side, device=x.device)[None]
    inside = []
    for _ in range(2):
        length = draws.uniform(n, 0.14, 0.35)[:, None] * side
        start = draws.uniform(n, 0, 1)[:, None] * (side - length)
        inside.append((where >= start) & (where < start + length))
    chosen = (draws.uniform(n, 0, 1) < config.erase)[:, None, None]
    hole = inside[0][:, :, None] & inside[1][:, None, :] & chosen
    return x.masked_fill(hole[:, None], 0.0)
