"""The methods of the grad-cam package, with its known traps closed.

Each trap and what is done about it:

* a map is stretched to its own minimum and maximum → `Unscaled` leaves the values as they are;
* targets are paired with pictures by zip, which drops what has no partner → `raw_maps` counts;
* tensors of inference mode cannot be used in a backward pass → `outside_inference_mode`;
* frozen parameters leave nothing to differentiate → the features themselves ask for gradients;
* an activation in place overwrites what was hooked → `Head` goes on with a copy;
* parameters keep gradients, and those they had are wiped → `untouched`;
* as a context, the package prints and swallows an IndexError → it is never used as one;
* the sign of a principal component is arbitrary → `_EigenCAM` turns it to the larger side.
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
    """Leaves out the package's stretching of every map to its own minimum and maximum."""

    def compute_cam_per_layer(
        self, input_tensor: Tensor, targets: list[Any], eigen_smooth: bool
    ) -> list[Maps]:
        """Return one array ``(N, h, w)``, not below 0, in place of scaled ones a layer."""
        cam = cast(Any, self)
        tap = cam.activations_and_grads
        values = tap.activations[0].numpy()
        gradients = tap.gradients[0].numpy() if cam.uses_gradients else None
        found = cam.get_cam_image(
            input_tensor, cam.target_layers[0], targets, values, gradients, eigen_smooth
        )
        return [np.maximum(found, 0).astype(np.float32)]

    def aggregate_multi_layers(self, cams: list[Maps]) -> Maps:
        """Return the map of the one layer there is."""
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
        """Return each picture's first principal component.

        The package's own decomposition is full: of 1,280 channels it makes a square matrix, 30
        times the work of the thin one, for the same first component.
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
"""Methods that know no label: the same map for all, only its scale differs."""


class Head(nn.Module):
    """A model from its last feature map on; `tap` is what the package hooks."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tap = nn.Identity()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``(N, 6)`` of features ``(N, K, h, w)``."""
        # the copy keeps the tapped values whole: heads may go on with an activation in place
        return cast(Tensor, cast(Any, self.model).forward_head(self.tap(features).clone()))


@contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Compute without gradients, but so that a later backward pass may use the results."""
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Give a model back as it was: gradients, frozen or not, training or not.

    Inside, its parameters are frozen and it is in eval mode.
    """
    parameters = [(one, one.requires_grad, one.grad) for one in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.requires_grad_(False).eval()
        for one, _, _ in parameters:
            one.grad = None  # held above; the package would drop it
        yield
    finally:
        for one, wanted, gradient in parameters:
            one.requires_grad_(wanted)
            one.grad = gradient
        for module, mode in modes:
            module.training = mode


def raw_maps(model: nn.Module, features: Tensor, targets: Sequence[int], method: str) -> Maps:
    """Return one map a picture, each for its own label, from one backward pass.

    Parameters
    ----------
    model
        Has timm's ``forward_head``.
    features
        ``(N, K, h, w)``, what ``forward_features`` gave; repeat a picture for several labels.
    targets
        N numbers of logits.
    method
        A key of `CLASSES`.

    Returns
    -------
    numpy.ndarray
        float32 ``(N, h, w)``, at least 0, in the method's own unit.
    """
    if len(targets) != len(features):
        raise ValueError(f"{len(features)} pictures, but {len(targets)} targets")
    with torch.inference_mode(False), torch.enable_grad(), untouched(model):
        copies = features.detach().float().clone().requires_grad_()
        head = Head(model).eval()
        cam = CLASSES[method](model=head, target_layers=[head.tap])
        try:  # not as a context: that would print and swallow an IndexError
            return np.asarray(cam(copies, [ClassifierOutputTarget(index) for index in targets]))
        finally:
            cam.activations_and_grads.release()
