"""Random changes to a batch on the device: pose, HU, sharpness and noise as scanners differ.

Pixels outside a window (0 or 255) stay there, for what was clipped is not known: air stays black
when the HU shift, and bone stays white.

Not by torchvision.transforms.v2: its classes draw once a batch, not once a slice, from the global
generator; its functions take one angle for all pictures, cannot replicate the border (which the
``dlmi`` recipe does), and a slice at a time they are a loop over the batch. Here a batch is one
resampling whatever its amounts, and the step's own generator draws them, so that a resumed run and
several processes draw what one run draws.
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

_HALF_LEVEL: Final = 0.5 / 255  # resampling leaves a trace of its neighbours in black and white


@dataclass(frozen=True)
class AugmentConfig:
    """How far each change may go; each slice draws its own amounts."""

    flip: float = 0.5
    """Probability of exchanging left and right."""
    rotate: float = 20.0
    """Degrees, to either side."""
    scale: float = 0.15
    """Share by which the head grows or shrinks."""
    shift: float = 0.06
    """Share of the side by which it moves."""
    shear: float = 5.0
    """Degrees."""
    hu_shift: float = 6.0
    """HU added to all windows alike: scanners differ by that much."""
    gain: float = 0.1
    """Share by which each window's contrast changes."""
    sharpness: float = 0.5
    """From -this (blurred) to +this (sharpened), as reconstruction kernels differ."""
    noise_hu: float = 4.0
    """Largest standard deviation of the added noise in HU."""
    erase: float = 0.15
    """Probability of a rectangle of air."""

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0 or max(self.flip, self.erase) > 1 or self.scale >= 1:
            raise UsageError("augmentation amounts must not be negative, probabilities at most 1")

    @classmethod
    def of_strength(cls, strength: float) -> AugmentConfig:
        """Return the defaults times `strength`; 0 changes nothing but left and right."""
        if not 0 <= strength <= 3:
            raise UsageError("the strength of augmentation lies in 0 … 3")
        base = cls()
        amounts = {k: v * strength for k, v in vars(base).items() if k not in ("flip", "erase")}
        return cls(flip=base.flip, erase=min(1.0, base.erase * strength), **amounts)


@dataclass(frozen=True)
class Draws:
    """Random numbers of a step's slices: of several processes, each takes its own of the same."""

    generator: torch.Generator
    rank: int = 0
    world: int = 1
    """The slices of a step are dealt to that many processes in turn."""

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
    """Change each slice of a batch at random.

    Parameters
    ----------
    pixels
        uint8 ``(N, C, S, S)``.
    config
        How far.
    widths
        Width in HU of each window; repeated over the slices of a context.
    draws
        On the same device; all randomness comes from it.
    pose
        Of `draw_pose`, where something else shall be moved alike; None draws one.

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
    # the output's coordinates → the input's, both in [-1, 1]; a shift of 2 is the whole side
    rows = [
        torch.stack([mirror * cos, mirror * (shear * cos - sin)], 1),
        torch.stack([sin, shear * sin + cos], 1),
    ]
    offset = torch.stack([draws.symmetric(n, 2 * config.shift) for _ in range(2)], 1)
    return torch.cat([torch.stack(rows, 1), offset[:, :, None]], 2)


def draw_dlmi_pose(n: int, draws: Draws) -> Tensor:
    """Draw the poses of the midterm project: matrices ``(n, 2, 3)`` for `move` with its border.

    A flip at 0.5; a shift of 5 %, a scale of 5 % and a rotation of 20 degrees, together at 0.3;
    rows and columns exchanged at 0.5.
    """
    calm = AugmentConfig(flip=0, rotate=20, scale=0.05, shift=0.05, shear=0)
    still = torch.eye(2, 3, device=draws.generator.device).expand(n, 2, 3)
    pose = torch.where((draws.uniform(n) < 0.3)[:, None, None], draw_pose(n, calm, draws), still)
    mirror = torch.where(draws.uniform(n) < 0.5, -1.0, 1.0)
    pose = torch.cat([pose[:, :, :1] * mirror[:, None, None], pose[:, :, 1:]], 2)
    exchanged = torch.cat([pose[:, :, [1, 0]], pose[:, :, 2:]], 2)
    return torch.where((draws.uniform(n) < 0.5)[:, None, None], exchanged, pose)


def move(x: Tensor, pose: Tensor, border: Literal["zeros", "border"] = "zeros") -> Tensor:
    """Move ``(N, C, S, S)`` in one resampling; from outside comes 0, air, or the border's pixel."""
    grid = functional.affine_grid(pose, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode=border, align_corners=False)


def _sharpen(x: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    if config.sharpness == 0:
        return x
    smooth = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    amount = draws.symmetric(x.shape[0], config.sharpness)
    return x + amount[:, None, None, None] * (x - smooth)


def _shift_hu(x: Tensor, config: AugmentConfig, widths: Tensor, draws: Draws) -> Tensor:
    """Add HU and noise to the whole slice, and stretch each window a little."""
    n, channels = x.shape[:2]
    hu = draws.symmetric(n, config.hu_shift)[:, None] / widths  # (N, C)
    gain = 1 + draws.symmetric(n, config.gain, channels)
    sigma = draws.uniform(n, 0, config.noise_hu)[:, None] / widths
    if config.noise_hu > 0:
        noise = draws.normal(n, 1, *x.shape[2:])
        x = x + sigma[:, :, None, None] * noise
    return x * gain[:, :, None, None] + hu[:, :, None, None]


def _erase(x: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Blacken a rectangle of 2 to 12 % of the side squared in some slices."""
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
