"""Losses on labels and on lesion masks.

With average pooling and a linear classifier, a label's logit is the mean of its class activation
map (Zhou et al., CVPR 2016). `MaskLearner` asks that map, scaled and shifted by two numbers per
label, to match the lesion mask, and a second, finer map from earlier features too. Both serve only
during training; the bundle keeps the plain timm backbone.
"""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.data import NO_SUBTYPE, UNKNOWN
from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS, SUBTYPES
from ich_cli.core.model import PatchClassifier

POS_WEIGHT_LIMIT: Final = 30.0
"""Upper bound of the weight of positives, so that a few of them do not dominate the loss."""

_FINE = 16  # reduction of the finer map
_POSITIVE_WEIGHT = 4.0  # few patches contain hemorrhage
_FULL = 0.25  # a patch counts as hemorrhage from this fraction of its area on
_BIAS = -3.0  # initial bias of the maps: low probability everywhere
_SHARE = 0.1  # weight of odds at the wrong place, relative to the maps' cross-entropy


def positive_weights(labels: NDArray[np.float32], method: str) -> NDArray[np.float32]:
    """Return the weight of positives in the loss, float32 ``(6,)``.

    Parameters
    ----------
    labels
        float32 ``(N, 6)``; NaN, unknown, does not count.
    method
        ``ratio``: negatives / positives; ``full``: the same between 1 and 30; ``sqrt``: its
        square root, between 1 and 30; ``none``: 1. A label that never occurs has weight 1.
    """
    positive, known = np.nansum(labels, axis=0), (~np.isnan(labels)).sum(axis=0)
    ratio = np.where(positive > 0, (known - positive) / np.maximum(positive, 1), 1.0)
    if method == "ratio":
        return ratio.astype(np.float32)
    powered = ratio ** {"none": 0.0, "sqrt": 0.5, "full": 1.0}[method]
    return np.clip(powered, 1.0, POS_WEIGHT_LIMIT).astype(np.float32)


def label_loss(logits: Tensor, labels: Tensor, label_weights: Tensor, pos_weight: Tensor) -> Tensor:
    """Return the binary cross-entropy of logits ``(N, 6)``, weighted by label.

    Labels that are NaN, unknown, add nothing: a label's loss is the mean over its known slices.
    """
    known = ~labels.isnan()
    each = functional.binary_cross_entropy_with_logits(
        logits.float(), labels.nan_to_num(), pos_weight=pos_weight, reduction="none"
    )
    if known.all():
        return (each.mean(0) * label_weights).sum() / label_weights.sum()
    means = (each * known).sum(0) / known.sum(0).clamp(min=1)
    weights = label_weights * known.any(0)
    return (means * weights).sum() / weights.sum().clamp(min=1e-6)


class MaskLearner(nn.Module):
    """Backbone that returns lesion maps besides its logits.

    Parameters
    ----------
    model
        timm model with feature maps, average pooling and a linear classifier.

    Raises
    ------
    UsageError
        If the backbone has another structure.
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


class PatchMaskLearner(nn.Module):
    """`PatchClassifier` that returns its patch logits, which are its map, besides the slice's.

    Parameters
    ----------
    model
        The classifier; gets no additional parameters.
    """

    def __init__(self, model: PatchClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits ``(N, 6)`` and the one map, logits ``(N, 6, h, w)``."""
        patches = self.model.patch_logits(self.model.forward_features(x))
        return self.model.pool(patches), [patches]


def mask_loss(maps: list[Tensor], masks: Tensor) -> Tensor:
    """Return the binary cross-entropy between lesion maps and masks, mean over known patches.

    Parameters
    ----------
    maps
        Logits ``(N, 6, h, w)`` of each map.
    masks
        float32 ``(N, 6, S, S)`` in [0, 1]; NaN where a slice has no mask of a label.
    """
    known = ~masks.flatten(2).isnan().any(2)
    if not known.any():
        return cast(Tensor, sum(one.float().sum() * 0 for one in maps))
    losses = []
    for one in maps:
        height, width = one.shape[-2:]
        covered = functional.adaptive_avg_pool2d(masks, (height, width))[known]
        losses.append(
            functional.binary_cross_entropy_with_logits(
                one[known].float(),
                (covered / _FULL).clamp(max=1),
                pos_weight=torch.tensor(_POSITIVE_WEIGHT, device=one.device),
            )
        )
    return torch.stack(losses).mean()


def patch_mask_loss(patches: Tensor, masks: Tensor) -> Tensor:
    """Return `mask_loss` of a `PatchClassifier`'s patches plus a penalty on misplaced odds.

    A slice is positive by the sum of its patches' odds. Where a label has a mask, the penalty is
    minus the logarithm of the fraction of those odds inside the mask, mean over slices and labels:
    it moves the slice's logit, and the peak of its map, onto the hemorrhage.

    Parameters
    ----------
    patches
        Logits ``(N, 6, h, w)``.
    masks
        As for `mask_loss`.
    """
    height, width = patches.shape[-2:]
    covered = functional.adaptive_avg_pool2d(masks, (height, width)).flatten(2)
    inside = (covered / _FULL).clamp(max=1)
    positive = inside.amax(2) > 0  # False where NaN: no mask
    loss = mask_loss([patches], masks)
    if not positive.any():
        return loss
    odds = patches.flatten(2).float()[positive].log_softmax(1)
    return loss - _SHARE * (odds + inside[positive].log()).logsumexp(1).mean()


def mask_planes(masks: Tensor) -> Tensor:
    """Convert bit-field masks to one plane per label.

    Parameters
    ----------
    masks
        uint8 ``(N, S, S)``, bits by `SUBTYPES`, `NO_SUBTYPE`, or `UNKNOWN`.

    Returns
    -------
    torch.Tensor
        float32 ``(N, 6, S, S)`` in the order of `LABELS`; NaN where unknown: the whole slice, or
        its subtypes where one has `NO_SUBTYPE`.
    """
    bits = [(masks >> k) & 1 for k in range(len(SUBTYPES))]
    planes = torch.stack([(masks > 0).to(masks.dtype), *bits], 1).float()
    planes = planes.masked_fill((masks == UNKNOWN)[:, None], float("nan"))
    unnamed = (masks != UNKNOWN) & (masks & NO_SUBTYPE > 0)
    unnamed = unnamed.flatten(1).any(1)
    planes[unnamed, 1:] = float("nan")
    return planes


def _fine_layer(model: nn.Module) -> tuple[int, nn.Module]:
    info = getattr(model, "feature_info", None)
    for one in info or ():
        if one["reduction"] == _FINE:
            return one["num_chs"], model.get_submodule(one["module"])
    raise UsageError(f"--mask-weight needs a backbone with feature maps at 1/{_FINE}")
