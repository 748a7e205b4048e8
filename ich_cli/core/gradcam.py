"""Where a model looked: class activation maps of chosen labels, for models and ensembles.

All labels of a slice come from one pass through the backbone: its last feature map goes as a batch,
once a label, through the head alone, with one target a copy. So nothing has to be hooked inside the
backbone (an in-place activation behind a hook would overwrite what was seen), the frozen weights
stay frozen, and no gradient is left on them.

A map is scaled to the probability of its label: its hottest point is as bright as the model is
sure. Stretched to its own maximum, the map of a label with p = 0.001 would glow like that of a
certain one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ich_cli.core.ctslice import CTSlice
from ich_cli.core.errors import IchError, UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.predictor import Predictor
from ich_cli.core.preprocessing import Placement, uncrop

Method = Literal["gradcam", "hirescam", "gradcam++", "layercam", "eigencam"]
METHODS: Final[tuple[Method, ...]] = ("gradcam", "hirescam", "gradcam++", "layercam", "eigencam")
_CLASSES: Final = {
    "gradcam": "GradCAM",
    "hirescam": "HiResCAM",
    "gradcam++": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
}


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of one slice."""

    maps: dict[str, NDArray[np.float32]]
    """Label → float32 ``(H, W)`` over the slice's own pixels, 0 to the label's probability."""
    probabilities: dict[str, float]
    """Label → calibrated probability, all six."""
    method: Method


def explain(
    predictor: Predictor,
    ct: CTSlice,
    labels: Sequence[str],
    *,
    method: Method = "gradcam",
    neighbours: Mapping[int, Sequence[CTSlice | None]] | None = None,
) -> Explanation:
    """Map what in a slice speaks for each of some labels.

    Parameters
    ----------
    predictor
        A single model or an ensemble (then the mean of the members' maps, in slice pixels).
    ct
        The slice.
    labels
        Which labels, of `LABELS`.
    method
        Of the grad-cam package. `eigencam` shows the strongest pattern, whatever the label.
    neighbours
        As `Predictor.prepare` takes them.

    Raises
    ------
    UsageError
        For an unknown label or method.
    IchError
        If the model has no feature map (a vision transformer).
    """
    wanted = _columns(labels, method)
    prepared = predictor.prepare(ct, neighbours)
    six = predictor.probabilities(*(one.pixels[None] for one in prepared))[0]
    by_config = dict(zip(predictor.preprocess, prepared, strict=True))
    sums = {label: np.zeros(ct.shape, np.float32) for label in labels}
    for model, config in predictor.members:
        pixels, placement = by_config[config.preprocess]
        features = _features(model, predictor.to_input(pixels[None], config.preprocess))
        for label, values in zip(labels, _maps(model, features, wanted, method), strict=True):
            sums[label] += _on_slice(values, placement, ct.shape)
    probabilities = dict(zip(LABELS, map(float, six), strict=True))
    count = len(predictor.members)
    maps = {label: total / count * probabilities[label] for label, total in sums.items()}
    return Explanation(maps, probabilities, method)


def _columns(labels: Sequence[str], method: str) -> list[int]:
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise UsageError(f"{unknown[0]}: a label is one of {', '.join(LABELS)}")
    if method not in METHODS:
        raise UsageError(f"{method}: a method is one of {', '.join(METHODS)}")
    return [LABELS.index(label) for label in labels]


def _on_slice(
    values: NDArray[np.float32], placement: Placement, shape: tuple[int, int]
) -> NDArray[np.float32]:
    return np.clip(uncrop(values, placement, shape), 0, 1)


def _features(model: nn.Module, x: Tensor) -> Tensor:
    """Return the backbone's last feature map, float32 ``(1, K, h, w)``."""
    with torch.no_grad():  # not inference mode: its tensors can take no part in a gradient
        features = cast("Any", model).forward_features(x)
    if features.ndim != 4:
        raise IchError(
            f"{type(model).__name__} has no feature map of rows and columns; "
            "maps need a convolutional model"
        )
    return cast("Tensor", features.detach().float())


class _Head(nn.Module):
    """From the last feature map to logits, with a place where grad-cam can listen."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.listen = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        # the clone: an in-place activation in the head would overwrite what was heard
        heard = self.listen(features)
        return cast("Tensor", cast("Any", self.model).forward_head(heard.clone()))


def _maps(
    model: nn.Module, features: Tensor, columns: Sequence[int], method: Method
) -> NDArray[np.float32]:
    """Return float32 ``(len(columns), h, w)`` in [0, 1], each with its maximum at 1 (or all 0)."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    head = _Head(model).eval()
    # one copy and one target a label: grad-cam zips the two and drops what is left over
    copies = features.repeat(len(columns), 1, 1, 1).requires_grad_(True)
    targets = [ClassifierOutputTarget(column) for column in columns]
    cam = getattr(pytorch_grad_cam, _CLASSES[method])(model=head, target_layers=[head.listen])
    try:  # never `with cam:`, which prints an IndexError and swallows it
        with torch.enable_grad():
            found = cam(input_tensor=copies, targets=targets)
    finally:
        cam.activations_and_grads.release()
    return np.nan_to_num(np.asarray(found, np.float32))
