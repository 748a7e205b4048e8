"""CAM methods of the grad-cam package, with workarounds for its pitfalls.

Pitfalls and workarounds:

* maps are rescaled to their own minimum and maximum → `Unscaled` keeps the values;
* targets and images are paired by zip, which drops surplus ones → `raw_maps` checks the counts;
* inference-mode tensors cannot be used in a backward pass → `outside_inference_mode`;
* frozen parameters leave nothing to differentiate → the features require gradients;
* in-place activations overwrite the hooked tensor → `ForwardHead` continues with a copy;
* gradients of parameters are overwritten → `preserve_state` restores them;
* as a context manager, the package swallows IndexError → it is not used as one;
* the sign of a principal component is arbitrary → `_EigenCAM` makes the larger side positive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

Maps = NDArray[np.float32]


class Unscaled:
    """Mixin that skips the package's rescaling of every map to its own minimum and maximum."""

    def compute_cam_per_layer(
        self, input_tensor: Tensor, targets: list[Any], eigen_smooth: bool
    ) -> list[Maps]:
        """Return one array ``(N, h, w)`` of values at least 0, not rescaled, of the one layer."""
        cam = cast(Any, self)
        tap = cam.activations_and_grads
        values = tap.activations[0].numpy()
        gradients = tap.gradients[0].numpy() if cam.uses_gradients else None
        found = cam.get_cam_image(
            input_tensor, cam.target_layers[0], targets, values, gradients, eigen_smooth
        )
        return [np.maximum(found, 0).astype(np.float32)]

    def aggregate_multi_layers(self, cams: list[Maps]) -> Maps:
        """Return the maps of the only layer."""
        return cams[0]


class _GradCAM(Unscaled, GradCAM):  # type: ignore[misc]
    pass


class _HiResCAM(Unscaled, HiResCAM):  # type: ignore[misc]
    pass


class _GradCAMPlusPlus(Unscaled, GradCAMPlusPlus):  # type: ignore[misc]
    pass


class _XGradCAM(Unscaled, XGradCAM):  # type: ignore[misc]
    pass


class _LayerCAM(Unscaled, LayerCAM):  # type: ignore[misc]
    pass


class _EigenCAM(Unscaled, EigenCAM):  # type: ignore[misc]
    def get_cam_image(
        self, input_tensor: Tensor, layer: nn.Module, targets: list[Any], values: Maps, *_: object
    ) -> Maps:
        """Return each image's first principal component.

        The package computes a full decomposition, with a square matrix for 1,280 channels: 30
        times the work of the reduced one, for the same first component.
        """
        return np.stack([_first_component(one) for one in values])


def _first_component(features: Maps) -> Maps:
    """Return ``(h, w)`` of ``(K, h, w)``: centred, projected, its larger side positive."""
    flat = np.nan_to_num(features).reshape(len(features), -1).T
    flat = flat - flat.mean(axis=0)
    _, _, directions = np.linalg.svd(flat, full_matrices=False)
    found = flat @ directions[0]
    signed = found if found.max() >= -found.min() else -found  # Seg-Eigen-CAM, equation 13
    return np.asarray(signed.reshape(features.shape[1:]), np.float32)


CLASSES: Final[dict[str, type]] = {
    "gradcam": _GradCAM,
    "hirescam": _HiResCAM,
    "layercam": _LayerCAM,
    "gradcam++": _GradCAMPlusPlus,
    "xgradcam": _XGradCAM,
    "eigencam": _EigenCAM,
}

CLASS_AGNOSTIC: Final = frozenset({"eigencam"})
"""Methods that ignore the label: maps of all labels differ in scale only."""


class ForwardHead(nn.Module):
    """Model from its last feature map to logits; the package hooks `tap`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tap = nn.Identity()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``(N, 6)`` of features ``(N, K, h, w)``."""
        # heads may apply an in-place activation; the copy keeps the hooked values
        return cast(Tensor, cast(Any, self.model).forward_head(self.tap(features).clone()))


@contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Compute without gradients, on tensors that a later backward pass may use."""
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def preserve_state(model: nn.Module) -> Iterator[None]:
    """Freeze a model in eval mode, and restore gradients, frozen parameters and modes on exit."""
    parameters = [(one, one.requires_grad, one.grad) for one in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.requires_grad_(False).eval()
        for one, _, _ in parameters:
            one.grad = None  # kept above; the package would overwrite it
        yield
    finally:
        for one, required, gradient in parameters:
            one.requires_grad_(required)
            one.grad = gradient
        for module, mode in modes:
            module.training = mode


def raw_maps(model: nn.Module, features: Tensor, targets: Sequence[int], method: str) -> Maps:
    """Return one map for each image, each for its own label, from one backward pass.

    Parameters
    ----------
    model
        Model with timm's ``forward_head``.
    features
        Result ``(N, K, h, w)`` of ``forward_features``; repeat an image for several labels.
    targets
        Indices of logits, one for each image.
    method
        A key of `CLASSES`.

    Returns
    -------
    numpy.ndarray
        float32 ``(N, h, w)``, at least 0, in the unit of the method.
    """
    if len(targets) != len(features):
        raise ValueError(f"{len(features)} images, but {len(targets)} targets")
    with torch.inference_mode(False), torch.enable_grad(), preserve_state(model):
        copies = features.detach().float().clone().requires_grad_()
        head = ForwardHead(model).eval()
        cam = CLASSES[method](model=head, target_layers=[head.tap])
        try:  # as a context manager it would swallow IndexError
            return np.asarray(cam(copies, [ClassifierOutputTarget(index) for index in targets]))
        finally:
            cam.activations_and_grads.release()
