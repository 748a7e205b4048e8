"""Patch head: multiple-instance learning over the patches of a slice.

A feature pyramid (Lin et al., CVPR 2017) merges the backbone's last features with those at 1/16 and
1/8 of the input, and one linear layer maps each patch to six logits. The slice's logit of a label
is the logsumexp of its patches' logits plus a shift: one positive patch makes the slice positive
(smooth maximum: Pinheiro & Collobert, CVPR 2015). Under average pooling, a small hemorrhage would
have to outweigh all healthy tissue, and a loss on lesion masks would work against the label loss.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.errors import UsageError

REDUCTIONS: Final = (8, 16)
"""Reductions of the earlier features. A patch covers 8 x 8 pixels of the input."""
_WIDTH: Final = 64
_BIAS: Final = -7.0
"""Initial bias of the patch logits: few of a slice's hundreds of patches are positive."""


class PatchClassifier(nn.Module):
    """timm backbone with a patch head.

    It has timm's ``forward_features``, ``forward_head`` and ``get_classifier``, so that class
    activation maps work as for a plain backbone, at four times the resolution.

    Parameters
    ----------
    backbone
        Backbone without a classifier, with feature maps at 1/8 and 1/16.
    num_classes
        Number of outputs.
    drop_rate
        Dropout before the classifier.

    Raises
    ------
    UsageError
        If the backbone has no such feature maps.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self._stages, channels = _stages(backbone)
        self.num_features = _WIDTH
        self.drop_rate = drop_rate
        self.coarse = nn.Conv2d(cast(int, backbone.num_features), _WIDTH, 1)
        self.laterals = nn.ModuleList(nn.Conv2d(number, _WIDTH, 1) for number in channels)
        self.blend = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.classifier = nn.Conv2d(_WIDTH, num_classes, 1)
        nn.init.constant_(cast(Tensor, self.classifier.bias), _BIAS)
        self.shift = nn.Parameter(torch.zeros(num_classes))

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """Timm's config of the backbone, with the parameter names of this model."""
        theirs = cast(dict[str, Any], self.backbone.pretrained_cfg)
        first = theirs.get("first_conv") or ()
        stems = [f"backbone.{name}" for name in ((first,) if isinstance(first, str) else first)]
        return {**theirs, "classifier": "classifier", "first_conv": tuple(stems)}

    def forward_features(self, x: Tensor) -> Tensor:
        """Return features ``(N, 64, S / 8, S / 8)`` of float input ``(N, C, S, S)``."""
        last, earlier = cast(Any, self.backbone).forward_intermediates(x, indices=self._stages)
        mixed = self.coarse(last)
        for layer, finer in zip(reversed(self.laterals), reversed(earlier), strict=True):
            size = finer.shape[-2:]
            larger = functional.interpolate(mixed, size=size, mode="bilinear", align_corners=False)
            mixed = functional.relu(larger + layer(finer))
        return functional.relu(self.blend(mixed))

    def patch_logits(self, features: Tensor) -> Tensor:
        """Return each patch's logits, float32 ``(N, 6, h, w)``."""
        dropped = functional.dropout(features, self.drop_rate, self.training)
        return cast(Tensor, self.classifier(dropped)).float()

    def pool(self, patches: Tensor) -> Tensor:
        """Return slice logits ``(N, 6)`` from patch logits ``(N, 6, h, w)``."""
        return patches.flatten(2).logsumexp(2) + self.shift

    def probability_map(self, features: Tensor, mirrored: Tensor) -> Tensor:
        """Return each patch's probabilities ``(N, 6, h, w)``.

        They are the mean over the slice and its mirror image, which reduces noise.

        Parameters
        ----------
        features, mirrored
            Results of `forward_features` for an input and for the horizontally flipped input.
        """
        flipped = self.patch_logits(mirrored).sigmoid().flip(-1)
        return (self.patch_logits(features).sigmoid() + flipped) / 2

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits ``(N, 6)``."""
        return self.pool(self.patch_logits(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, 6)``."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer."""
        return self.classifier


def _stages(backbone: nn.Module) -> tuple[list[int], list[int]]:
    """Return the indices and channels of the stages at `REDUCTIONS` of the input."""
    stages = getattr(backbone, "feature_info", None) or ()
    found = {stage["reduction"]: (k, stage["num_chs"]) for k, stage in enumerate(stages)}
    if not hasattr(backbone, "forward_intermediates") or not set(REDUCTIONS) <= set(found):
        raise UsageError("--head patch needs a backbone with feature maps at 1/8 and 1/16")
    wanted = [found[reduction] for reduction in REDUCTIONS]
    return [index for index, _ in wanted], [channels for _, channels in wanted]
