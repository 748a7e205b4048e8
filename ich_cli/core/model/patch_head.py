"""A classifier that says where: each cell of a slice gets its own logits, and the slice theirs.

A backbone's last features (what they are) are laid over earlier ones at 1/16 and 1/8 of the input
(where they are), as a feature pyramid does (Lin et al., CVPR 2017), and one linear layer gives each
cell the six logits. A label's logit for the slice is the log of the sum of its cells' odds, plus a
shift: one cell that bleeds is enough, as one hemorrhage makes a slice positive (multiple-instance
learning with a smooth maximum: Pinheiro & Collobert, CVPR 2015). With the mean over cells that a
usual classifier takes, a small hemorrhage must outshout all the healthy tissue around it, and a
loss that asks the map to say where it bleeds pulls against the loss on the labels.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.errors import UsageError

REDUCTIONS: Final = (8, 16)
"""Of the earlier features. A cell has the first one's side in pixels of the input."""
_WIDTH: Final = 64
_BIAS: Final = -7.0
"""Of a cell's logits in the beginning: few cells bleed, and a slice has hundreds."""


class CellClassifier(nn.Module):
    """A backbone of timm whose classifier reads cells.

    It has timm's ``forward_features``, ``forward_head`` and ``get_classifier``, so that what
    explains a backbone explains it as well, at four times the resolution.

    Parameters
    ----------
    backbone
        Built without a classifier; must have feature maps at 1/8 and 1/16.
    num_classes
        Outputs.
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
        """Return the backbone's, with the names that its parts have here."""
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

    def cells(self, features: Tensor) -> Tensor:
        """Return each cell's logits ``(N, 6, h, w)``, float32."""
        dropped = functional.dropout(features, self.drop_rate, self.training)
        return cast(Tensor, self.classifier(dropped)).float()

    def pool(self, cells: Tensor) -> Tensor:
        """Return a slice's logits ``(N, 6)`` from its cells'."""
        return cells.flatten(2).logsumexp(2) + self.shift

    def map(self, features: Tensor, mirrored: Tensor) -> Tensor:
        """Return each cell's probabilities ``(N, 6, h, w)``: where the model sees what it says.

        Two looks steady them: the mean of a slice's and of its mirror image's.

        Parameters
        ----------
        features, mirrored
            As `forward_features` gives them of an input, and of that input turned left to right.
        """
        turned = self.cells(mirrored).sigmoid().flip(-1)
        return (self.cells(features).sigmoid() + turned) / 2

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits ``(N, 6)``."""
        return self.pool(self.cells(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, 6)``."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the layer that reads the features."""
        return self.classifier


def _stages(backbone: nn.Module) -> tuple[list[int], list[int]]:
    """Return which stages end at `REDUCTIONS` of the input, and their channels."""
    stages = getattr(backbone, "feature_info", None) or ()
    found = {stage["reduction"]: (k, stage["num_chs"]) for k, stage in enumerate(stages)}
    if not hasattr(backbone, "forward_intermediates") or not set(REDUCTIONS) <= set(found):
        raise UsageError("--head cells needs a backbone with feature maps at 1/8 and 1/16")
    wanted = [found[reduction] for reduction in REDUCTIONS]
    return [index for index, _ in wanted], [channels for _, channels in wanted]
