"""Learn from where it bleeds, too: a loss on the maps that the classifier itself makes.

With average pooling and a linear classifier, a label's logit is the mean of its class activation
map (Zhou et al., CVPR 2016). The map, scaled and shifted by two numbers a label, must say where the
blood lies; so must a second, finer map that a layer of its own makes of earlier features. Both
serve only while training: what is kept is the backbone as timm knows it.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.data import UNKNOWN
from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS, SUBTYPES
from ich_cli.core.model import CellClassifier

_FINE = 16  # reduction of the finer map
_POSITIVE_WEIGHT = 4.0  # few cells bleed
_FULL = 0.25  # a cell of which this share bleeds counts as bleeding
_BIAS = -3.0  # few cells bleed, so maps begin by saying so
_SHARE = 0.1  # what a share of the odds at the wrong place costs, beside the maps' cross-entropy


class MaskLearner(nn.Module):
    """A backbone that tells, besides its logits, where it sees blood.

    Parameters
    ----------
    model
        Of timm, with feature maps, average pooling and a linear classifier.

    Raises
    ------
    UsageError
        If the backbone is built otherwise.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.scale = nn.Parameter(torch.ones(len(LABELS)))
        self.shift = nn.Parameter(torch.full((len(LABELS),), _BIAS))
        channels, layer = _fine_layer(model)
        self.fine = nn.Conv2d(channels, len(LABELS), 1)
        nn.init.constant_(cast(Tensor, self.fine.bias), _BIAS)
        self._tapped: list[Tensor] = []
        layer.register_forward_hook(lambda module, args, out: self._tapped.append(out))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits ``(N, 6)`` and maps, logits ``(N, 6, h, w)``, coarse and fine.

        Raises
        ------
        UsageError
            If there are no feature maps before a linear classifier.
        """
        self._tapped.clear()
        model = cast(Any, self.model)
        features = model.forward_features(x)
        logits = model.forward_head(features)
        classifier = model.get_classifier()
        if features.ndim != 4 or getattr(classifier, "in_features", 0) != features.shape[1]:
            raise UsageError("--mask-weight needs a backbone whose classifier reads feature maps")
        weight = classifier.weight[:, :, None, None]
        cam = functional.conv2d(features, weight.to(features.dtype))
        scale, shift = self.scale[:, None, None], self.shift[:, None, None]
        return logits, [cam * scale + shift, self.fine(self._tapped.pop())]


class CellLearner(nn.Module):
    """A `CellClassifier` that tells its cells' logits, which are its map, besides the slice's.

    Parameters
    ----------
    model
        The classifier; nothing is added to it.
    """

    def __init__(self, model: CellClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits ``(N, 6)`` and the one map, logits ``(N, 6, h, w)``."""
        cells = self.model.cells(self.model.forward_features(x))
        return self.model.pool(cells), [cells]


def mask_loss(maps: list[Tensor], masks: Tensor) -> Tensor:
    """Return how badly maps tell where it bleeds: binary cross-entropy, mean over known cells.

    Parameters
    ----------
    maps
        Logits ``(N, 6, h, w)`` of each map.
    masks
        float32 ``(N, 6, S, S)`` in [0, 1]; NaN all over a slice of which nobody knows.
    """
    known = ~masks.flatten(1).isnan().any(1)
    if not known.any():
        return cast(Tensor, sum(one.float().sum() * 0 for one in maps))
    losses = []
    for one in maps:
        height, width = one.shape[-2:]
        covered = functional.adaptive_avg_pool2d(masks[known], (height, width))
        losses.append(
            functional.binary_cross_entropy_with_logits(
                one[known].float(),
                (covered / _FULL).clamp(max=1),
                pos_weight=torch.tensor(_POSITIVE_WEIGHT, device=one.device),
            )
        )
    return torch.stack(losses).mean()


def cell_loss(cells: Tensor, masks: Tensor) -> Tensor:
    """Return `mask_loss` of a `CellClassifier`'s cells, and what odds at the wrong place cost.

    A slice is positive by the sum of its cells' odds. Where it is known where a label bleeds, minus
    the logarithm of the share of those odds that lies there is added, mean over slices and labels:
    the slice's logit, and the peak of its map, then come from the hemorrhage or cost something.

    Parameters
    ----------
    cells
        Logits ``(N, 6, h, w)``.
    masks
        As for `mask_loss`.
    """
    height, width = cells.shape[-2:]
    covered = functional.adaptive_avg_pool2d(masks, (height, width)).flatten(2)
    inside = (covered / _FULL).clamp(max=1)
    bleeds = inside.amax(2) > 0  # False of NaN: nobody knows
    loss = mask_loss([cells], masks)
    if not bleeds.any():
        return loss
    odds = cells.flatten(2).float()[bleeds].log_softmax(1)
    return loss - _SHARE * (odds + inside[bleeds].log()).logsumexp(1).mean()


def mask_planes(masks: Tensor) -> Tensor:
    """Spread bit fields over labels.

    Parameters
    ----------
    masks
        uint8 ``(N, S, S)``, bits by `SUBTYPES`, or `UNKNOWN`.

    Returns
    -------
    torch.Tensor
        float32 ``(N, 6, S, S)`` in the order of `LABELS`; NaN where nobody knows.
    """
    bits = [(masks >> k) & 1 for k in range(len(SUBTYPES))]
    planes = torch.stack([(masks > 0).to(masks.dtype), *bits], 1).float()
    return planes.masked_fill((masks == UNKNOWN)[:, None], float("nan"))


def _fine_layer(model: nn.Module) -> tuple[int, nn.Module]:
    info = getattr(model, "feature_info", None)
    for one in info or ():
        if one["reduction"] == _FINE:
            return one["num_chs"], model.get_submodule(one["module"])
    raise UsageError(f"--mask-weight needs a backbone with feature maps at 1/{_FINE}")
