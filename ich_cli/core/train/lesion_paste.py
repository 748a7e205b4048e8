"""Blood from one slice of a batch in the healthy head of another: rare bleeds in many heads.

Heads are cropped and centred alike and the giver is one that looks like the receiver, so that a
bleed lands near where anatomy puts it. Skull and air of the receiving head stay what they are. Some
slices receive healthy tissue in the shape of a bleed instead, and keep their labels: otherwise the
seam alone would mean blood. (Cut and paste, as Ghiasi et al., CVPR 2021, for objects.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ich_cli.core.data import UNKNOWN
from ich_cli.core.imaging import Window
from ich_cli.core.labels import ANY, SUBTYPES

_SEAM = 5  # pixels over which the transplant fades
_SHIFT = 0.05  # of the side
_LEAST_SHARE = 0.5  # of the bleed must fit between the bones
_LEAST_PIXELS = 12
_TISSUE_HU = (-60.0, 190.0)  # between fat and bone
_ALIKE = 3  # the giver is one of this many that look most like the receiver
_DECOYS = 0.4  # of the slices chosen receive healthy tissue

Batch = tuple[Tensor, Tensor, Tensor]
"""uint8 ``(N, C, S, S)``, float32 ``(N, 6)``, uint8 ``(N, S, S)``: pixels, labels, masks."""


def transplant(
    batch: Batch, share: float, windows: Sequence[Window], generator: torch.Generator
) -> Batch:
    """Give some slices without blood that of others.

    Parameters
    ----------
    batch
        Pixels, labels and masks; slices of which nobody knows where they bleed neither give nor
        receive.
    share
        Of the slices without blood, those that receive something.
    windows
        Of each slice of the context; the widest tells bone and air from tissue.
    generator
        On the same device; all randomness comes from it.

    Returns
    -------
    tuple of torch.Tensor
        A new batch of the same shapes.
    """
    pixels, labels, masks = batch
    known = (masks != UNKNOWN).flatten(1).all(1)
    bleeding = (masks > 0).flatten(1).any(1) & known
    healthy = torch.nonzero(known & ~bleeding & (labels[:, ANY] == 0)).flatten()
    givers = torch.nonzero(bleeding).flatten()
    if not len(givers) or len(healthy) < 2:
        return batch
    chosen = healthy[_uniform(len(healthy), generator) < share]
    looks = _looks(pixels, len(windows))
    pixels, labels, masks = pixels.clone(), labels.clone(), masks.clone()
    for row in chosen.tolist():
        alike = givers[torch.cdist(looks[givers], looks[row : row + 1])[:, 0].argsort()[:_ALIKE]]
        giver = int(alike[_draw(len(alike), generator)])
        mask, donor = _moved(masks[giver], pixels[giver], generator)
        decoy = float(_uniform(1, generator)) < _DECOYS
        if decoy:
            donor = batch[0][int(healthy[_draw(len(healthy), generator)])]
        inside = _tissue(pixels[row], windows) & _tissue(donor, windows)
        fitting = mask * inside
        if int((fitting != 0).sum()) < max(_LEAST_PIXELS, _LEAST_SHARE * int((mask != 0).sum())):
            continue
        mixed = pixels[row].float().lerp(donor.float(), _seam(fitting != 0) * inside)
        pixels[row] = mixed.round().to(torch.uint8)
        if not decoy:
            masks[row] = fitting
            bits = [bool((fitting & (1 << k)).any()) for k in range(len(SUBTYPES))]
            labels[row] = torch.tensor([True, *bits]).to(labels)
    return pixels, labels, masks


def _moved(mask: Tensor, pixels: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Mirror and shift a slice by whole pixels: nothing is blurred."""
    most = int(_SHIFT * mask.shape[-1])
    down, right = (_draw(2 * most + 1, generator) - most for _ in range(2))
    if float(_uniform(1, generator)) < 0.5:
        mask, pixels = mask.flip(-1), pixels.flip(-1)
    return [torch.roll(x, (down, right), (-2, -1)) for x in (mask, pixels)]


def _looks(pixels: Tensor, windows: int) -> Tensor:
    """Return the centre slices, small and flat: slices of one level of the head look alike."""
    centre = pixels.shape[1] // windows // 2 * windows
    return functional.adaptive_avg_pool2d(pixels[:, centre].float(), 16).flatten(1)


def _tissue(pixels: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return where the centre slice is neither air nor bone and has bone on all four sides."""
    widest = max(range(len(windows)), key=lambda k: windows[k].width)
    window, count = windows[widest], len(windows)
    plane = pixels[pixels.shape[0] // count // 2 * count + widest]
    low, high = ((hu - window.center + window.width / 2) / window.width * 255 for hu in _TISSUE_HU)
    bone = (plane >= high).to(torch.uint8)
    enclosed = torch.ones_like(bone)
    for side in (-1, -2):
        enclosed &= bone.cummax(side).values & bone.flip(side).cummax(side).values.flip(side)
    return (plane > low) & (plane < high) & enclosed.bool()


def _seam(mask: Tensor) -> Tensor:
    """Return opacity in [0, 1] that falls off around a mask."""
    x = mask.float()[None, None]
    wide = functional.max_pool2d(x, 3, stride=1, padding=1)
    return functional.avg_pool2d(wide, _SEAM, stride=1, padding=_SEAM // 2)[0, 0]


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device)


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=generator, device=generator.device))
