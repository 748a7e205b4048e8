"""Copy-paste augmentation of hemorrhages (after Ghiasi et al., CVPR 2021).

Heads are cropped and centred alike, and the donor slice is similar to the recipient, so that a
lesion is pasted near its anatomical place. Skull and air of the recipient do not change. Some
slices receive healthy tissue in the shape of a lesion instead and keep their labels; otherwise the
border of the pasted area alone would indicate hemorrhage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ich_cli.core.data import NO_SUBTYPE, UNKNOWN
from ich_cli.core.imaging import Window
from ich_cli.core.labels import ANY, SUBTYPES

_BORDER = 5  # width in pixels over which the pasted area fades out
_SHIFT = 0.05  # largest shift, as a fraction of the side
_MIN_FRACTION = 0.5  # of the lesion that must lie inside the skull
_MIN_PIXELS = 12
_TISSUE_HU = (-60.0, 190.0)  # between fat and bone
_CANDIDATES = 3  # the donor is one of this many most similar slices
_DECOY_FRACTION = 0.4  # of the chosen slices receive healthy tissue

Batch = tuple[Tensor, Tensor, Tensor]
"""uint8 ``(N, C, S, S)``, float32 ``(N, 6)``, uint8 ``(N, S, S)``: pixels, labels, masks."""


def paste_hemorrhages(
    batch: Batch, share: float, windows: Sequence[Window], generator: torch.Generator
) -> Batch:
    """Paste hemorrhages from slices of a batch into slices without hemorrhage.

    Parameters
    ----------
    batch
        Pixels, labels and masks; slices with unknown masks do not take part.
    share
        Fraction of the slices without hemorrhage that receive something, in [0, 1].
    windows
        Windows of each slice of the context; the widest one separates bone, tissue and air.
    generator
        Generator on the same device; the only source of randomness.

    Returns
    -------
    tuple of torch.Tensor
        A new batch of the same shapes.
    """
    pixels, labels, masks = batch
    known = (masks != UNKNOWN).flatten(1).all(1)
    positive = (masks > 0).flatten(1).any(1) & known
    healthy = torch.nonzero(known & ~positive & (labels[:, ANY] == 0)).flatten()
    donors = torch.nonzero(positive).flatten()
    if not len(donors) or len(healthy) < 2:
        return batch
    chosen = healthy[_uniform(len(healthy), generator) < share]
    features = _thumbnails(pixels, len(windows))
    pixels, labels, masks = pixels.clone(), labels.clone(), masks.clone()
    for row in chosen.tolist():
        distance = torch.cdist(features[donors], features[row : row + 1])[:, 0]
        similar = donors[distance.argsort()[:_CANDIDATES]]
        donor_row = int(similar[_draw(len(similar), generator)])
        mask, donor = _move(masks[donor_row], pixels[donor_row], generator)
        decoy = float(_uniform(1, generator)) < _DECOY_FRACTION
        if decoy:
            donor = batch[0][int(healthy[_draw(len(healthy), generator)])]
        inside = _tissue(pixels[row], windows) & _tissue(donor, windows)
        fitting = mask * inside
        if int((fitting != 0).sum()) < max(_MIN_PIXELS, _MIN_FRACTION * int((mask != 0).sum())):
            continue
        mixed = pixels[row].float().lerp(donor.float(), _opacity(fitting != 0) * inside)
        pixels[row] = mixed.round().to(torch.uint8)
        if not decoy:
            masks[row] = fitting
            unknown = math.nan if bool((fitting & NO_SUBTYPE).any()) else 0.0
            bits = [1.0 if (fitting & (1 << k)).any() else unknown for k in range(len(SUBTYPES))]
            labels[row] = torch.tensor([1.0, *bits]).to(labels)
    return pixels, labels, masks


def _move(mask: Tensor, pixels: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Mirror and shift a slice by whole pixels, without interpolation."""
    most = int(_SHIFT * mask.shape[-1])
    down, right = (_draw(2 * most + 1, generator) - most for _ in range(2))
    if float(_uniform(1, generator)) < 0.5:
        mask, pixels = mask.flip(-1), pixels.flip(-1)
    return [torch.roll(x, (down, right), (-2, -1)) for x in (mask, pixels)]


def _thumbnails(pixels: Tensor, windows: int) -> Tensor:
    """Return the centre slices ``(N, 256)`` at 16 x 16 pixels, to compare levels of the head."""
    centre = pixels.shape[1] // windows // 2 * windows
    return functional.adaptive_avg_pool2d(pixels[:, centre].float(), 16).flatten(1)


def _tissue(pixels: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return a bool mask of the centre slice's soft tissue with bone on all four sides."""
    widest = max(range(len(windows)), key=lambda k: windows[k].width)
    window, count = windows[widest], len(windows)
    plane = pixels[pixels.shape[0] // count // 2 * count + widest]
    low, high = ((hu - window.center + window.width / 2) / window.width * 255 for hu in _TISSUE_HU)
    bone = (plane >= high).to(torch.uint8)
    enclosed = torch.ones_like(bone)
    for side in (-1, -2):
        enclosed &= bone.cummax(side).values & bone.flip(side).cummax(side).values.flip(side)
    return (plane > low) & (plane < high) & enclosed.bool()


def _opacity(mask: Tensor) -> Tensor:
    """Return the opacity of the pasted area in [0, 1], which falls off around a mask."""
    x = mask.float()[None, None]
    wide = functional.max_pool2d(x, 3, stride=1, padding=1)
    return functional.avg_pool2d(wide, _BORDER, stride=1, padding=_BORDER // 2)[0, 0]


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device)


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=generator, device=generator.device))
