"""Where the model looked: one map a label, at the resolution of the slice.

A picture's features are computed once, without gradients. The label's logits are then taken from
copies of the features, one a label, so that one small backward pass through the head gives all
maps: Grad-CAM at the last feature map needs no more than that.

Scale: a map's highest value is the label's probability (of an ensemble: of each member, before
the mean). A label that the model does not believe in so has a weak map; maps stretched to full
contrast one by one, as is the custom, would show it as bright as a sure one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from ich_cli.core.bundle import BundleConfig
from ich_cli.core.ctslice import CTSlice
from ich_cli.core.errors import IchError, UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.prediction import Probabilities, over_thresholds
from ich_cli.core.predictor import Predictor, calibrate
from ich_cli.core.preprocessing import Placement, prepare, uncrop
from ich_cli.core.reading import Around


class _Unscaled:
    """Leaves out the package's stretching of every map to its own minimum and maximum."""

    def compute_cam_per_layer(
        self, input_tensor: Tensor, targets: list[Any], eigen_smooth: bool
    ) -> list[NDArray[np.float32]]:
        tap = cast(Any, self).activations_and_grads
        values, gradients = tap.activations[0].numpy(), tap.gradients[0].numpy()
        layer = cast(Any, self).target_layers[0]
        cam = cast(Any, self).get_cam_image(
            input_tensor, layer, targets, values, gradients, eigen_smooth
        )
        return [np.maximum(cam, 0).astype(np.float32)]

    def aggregate_multi_layers(self, cams: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return cams[0]


class _GradCAM(_Unscaled, GradCAM):  # type: ignore[misc]
    pass


class _HiResCAM(_Unscaled, HiResCAM):  # type: ignore[misc]
    pass


class _GradCAMPlusPlus(_Unscaled, GradCAMPlusPlus):  # type: ignore[misc]
    pass


class _XGradCAM(_Unscaled, XGradCAM):  # type: ignore[misc]
    pass


class _LayerCAM(_Unscaled, LayerCAM):  # type: ignore[misc]
    pass


_CLASSES: Final[dict[str, type]] = {
    "gradcam": _GradCAM,
    "hirescam": _HiResCAM,
    "gradcam++": _GradCAMPlusPlus,
    "xgradcam": _XGradCAM,
    "layercam": _LayerCAM,
}

METHODS: Final = tuple(_CLASSES)
"""Names that `explain` takes."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the model says of a slice, and where it looked for it."""

    ct: CTSlice
    probabilities: Probabilities
    """Calibrated, in the order of `LABELS`."""
    positive: tuple[str, ...]
    """Labels that reach their thresholds."""
    maps: dict[str, NDArray[np.float32]]
    """Label → float32 ``(H, W)`` in [0, 1] over the slice; its peak is near the probability."""
    method: str

    def peaks(self) -> dict[str, tuple[int, int]]:
        """Return label → row and column of its map's highest value; none of an empty map."""
        return {
            label: divmod(int(values.argmax()), values.shape[1])
            for label, values in self.maps.items()
            if values.any()
        }


class _Head(nn.Module):
    """A model from its last feature map on; `tap` is what the package hooks."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tap = nn.Identity()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        # the copy keeps the tapped values whole: heads may go on with an activation in place
        return cast(Tensor, cast(Any, self.model).forward_head(self.tap(features).clone()))


def explain(
    predictor: Predictor,
    ct: CTSlice,
    labels: Sequence[str] = (),
    *,
    method: str = "gradcam",
    neighbours: Around | None = None,
) -> Explanation:
    """Say where the model looked for each label.

    Parameters
    ----------
    predictor
        Single model or ensemble; an ensemble's map is the mean of its members' over the slice.
    ct
        The slice.
    labels
        Those wanted; without any, the ones that `choose_labels` takes.
    method
        One of `METHODS`.
    neighbours
        As for `Predictor.prepare`.

    Returns
    -------
    Explanation
        Its maps are in the order of `labels`.

    Raises
    ------
    UsageError
        For an unknown label or method.
    IchError
        If a backbone has no feature map with rows and columns (a plain transformer).
    """
    if method not in _CLASSES:
        raise UsageError(f"no method is called {method!r}; use one of {', '.join(METHODS)}")
    seen = [_see(predictor, member, config, ct, neighbours) for member, config in predictor.members]
    mean = np.mean([one.probabilities for one in seen], axis=0)
    six = cast(Probabilities, tuple(float(p) for p in mean.astype(np.float32)))
    wanted = tuple(labels) or choose_labels(six, over_thresholds(six, predictor.thresholds))
    unknown = [label for label in wanted if label not in LABELS]
    if unknown:
        raise UsageError(f"no label is called {unknown[0]!r}; use one of {', '.join(LABELS)}")
    stacks = [
        _maps(one, model, wanted, method, ct.shape)
        for one, (model, _) in zip(seen, predictor.members, strict=True)
    ]
    maps = dict(zip(wanted, np.mean(stacks, axis=0).astype(np.float32), strict=True))
    return Explanation(ct, six, over_thresholds(six, predictor.thresholds), maps, method)


def choose_labels(probabilities: Probabilities, positive: Sequence[str]) -> tuple[str, ...]:
    """Return the labels worth a picture: those that are positive, or else the likeliest one."""
    return tuple(positive) or (LABELS[int(np.argmax(probabilities))],)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one member made of the slice."""

    features: Tensor  # (1, K, h, w)
    probabilities: NDArray[np.float64]  # (6,)
    placement: Placement


def _see(
    predictor: Predictor,
    model: nn.Module,
    config: BundleConfig,
    ct: CTSlice,
    neighbours: Around | None,
) -> _Seen:
    around = (neighbours or {}).get(config.preprocess.context, ())
    prepared = prepare(ct, config.preprocess, around)
    pixels = predictor.to_input(prepared.pixels[None], config.preprocess)
    with torch.no_grad():  # what is made in inference mode cannot be used in a backward pass
        features = cast(Any, model).forward_features(pixels)
        if not isinstance(features, Tensor) or features.ndim != 4 or not _is_nchw(features, model):
            raise IchError(
                f"{config.architecture} has no feature map to explain; use a convolutional backbone"
            )
        logits = cast(Any, model).forward_head(features.clone())
    numbers = logits.float().cpu().numpy().astype(np.float64)
    return _Seen(features, calibrate(numbers, config.calibration)[0], prepared.placement)


def _is_nchw(features: Tensor, model: nn.Module) -> bool:
    return features.shape[1] == getattr(model, "num_features", features.shape[1])


def _maps(
    seen: _Seen, model: nn.Module, labels: Sequence[str], method: str, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return ``(L, H, W)``, each map's peak at the member's own probability of its label."""
    indices = [LABELS.index(label) for label in labels]
    head = _Head(model).eval()
    copies = seen.features.float().expand(len(indices), -1, -1, -1).clone().requires_grad_()
    cam = _CLASSES[method](model=head, target_layers=[head.tap])
    try:  # not as a context: that would print and swallow an IndexError
        with torch.enable_grad():  # one target a picture: the package drops what has no partner
            raw = cam(copies, [ClassifierOutputTarget(index) for index in indices])
    finally:
        cam.activations_and_grads.release()
    placed = [uncrop(_to_peak(m, seen.probabilities[i]), seen.placement, shape)
              for m, i in zip(raw, indices, strict=True)]  # fmt: skip
    return np.stack(placed)


def _to_peak(raw: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    highest = float(raw.max())
    return raw * np.float32(peak / highest) if highest > 0 else np.zeros_like(raw)
