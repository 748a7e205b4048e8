"""Random changes to a batch on the device: pose, HU, sharpness and noise as scanners differ.

Pixels outside a window (0 or 255) stay there, for what was clipped is not known: air stays black
when the HU shift, and bone stays white.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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


def augment(
    pixels: Tensor,
    config: AugmentConfig,
    widths: Sequence[float],
    generator: torch.Generator,
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
    generator
        On the same device; all randomness comes from it.
    pose
        Of `draw_pose`, where something else shall be moved alike; None draws one.

    Returns
    -------
    torch.Tensor
        float32 ``(N, C, S, S)`` in [0, 255].
    """
    pose = draw_pose(len(pixels), config, generator) if pose is None else pose
    moved = move(pixels.float() / 255, pose)
    per_channel = torch.tensor(widths, device=pixels.device).repeat(pixels.shape[1] // len(widths))
    changed = _sharpen(moved, config, generator)
    changed = _shift_hu(changed, config, per_channel, generator)
    changed = changed.clamp(0, 1)
    inside = (moved > _HALF_LEVEL) & (moved < 1 - _HALF_LEVEL)
    changed = torch.where(inside, changed, moved)
    return _erase(changed, config, generator) * 255


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


def _symmetric(n: int, most: float, generator: torch.Generator) -> Tensor:
    return _uniform(n, -most, most, generator)


def draw_pose(n: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Draw flips, rotations, scales, shears and shifts: matrices ``(n, 2, 3)`` for `move`."""
    angle = _symmetric(n, math.radians(config.rotate), generator)
    shear = torch.tan(_symmetric(n, math.radians(config.shear), generator))
    zoom = 1 / (1 + _symmetric(n, config.scale, generator))
    mirror = torch.where(_uniform(n, 0, 1, generator) < config.flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    # the output's coordinates → the input's, both in [-1, 1]; a shift of 2 is the whole side
    rows = [
        torch.stack([mirror * cos, mirror * (shear * cos - sin)], 1),
        torch.stack([sin, shear * sin + cos], 1),
    ]
    offset = torch.stack([_symmetric(n, 2 * config.shift, generator) for _ in range(2)], 1)
    return torch.cat([torch.stack(rows, 1), offset[:, :, None]], 2)


def move(x: Tensor, pose: Tensor) -> Tensor:
    """Move ``(N, C, S, S)`` in one resampling; what comes from outside is 0, air."""
    grid = functional.affine_grid(pose, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def _sharpen(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    if config.sharpness == 0:
        return x
    smooth = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    amount = _symmetric(x.shape[0], config.sharpness, generator)
    return x + amount[:, None, None, None] * (x - smooth)


def _shift_hu(
    x: Tensor, config: AugmentConfig, widths: Tensor, generator: torch.Generator
) -> Tensor:
    """Add HU and noise to the whole slice, and stretch each window a little."""
    n, channels = x.shape[:2]
    hu = _symmetric(n, config.hu_shift, generator)[:, None] / widths  # (N, C)
    gain = 1 + _symmetric(n * channels, config.gain, generator).view(n, channels)
    sigma = _uniform(n, 0, config.noise_hu, generator)[:, None] / widths
    if config.noise_hu > 0:
        noise = torch.randn(n, 1, *x.shape[2:], generator=generator, device=generator.device)
        x = x + sigma[:, :, None, None] * noise
    return x * gain[:, :, None, None] + hu[:, :, None, None]


def _erase(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Blacken a rectangle of 2 to 12 % of the side squared in some slices."""
    if config.erase == 0:
        return x
    n, side = x.shape[0], x.shape[-1]
    where = torch.arange(side, device=x.device)[None]
    inside = []
    for _ in range(2):
        length = _uniform(n, 0.14, 0.35, generator)[:, None] * side
        start = _uniform(n, 0, 1, generator)[:, None] * (side - length)
        inside.append((where >= start) & (where < start + length))
    chosen = (_uniform(n, 0, 1, generator) < config.erase)[:, None, None]
    hole = inside[0][:, :, None] & inside[1][:, None, :] & chosen
    return x.masked_fill(hole[:, None], 0.0)
