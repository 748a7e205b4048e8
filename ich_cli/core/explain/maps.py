"""Heat maps of a slice: one for each label, at the resolution of the slice.

Features are computed once, without gradients. One backward pass through the head, on a copy of the
features for each label, then gives all maps of a batch; Grad-CAM at the last feature map needs no
more. A `PatchClassifier` needs no gradient: its probabilities of patches are the map.

Scale: a map's peak is the label's probability (of an ensemble: each member's, before the mean), so
that a label with a low probability has a faint map. Maps that are each rescaled to full contrast,
as is common, would show it as bright as a confident one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ich_cli.core.bundle import BundleConfig
from ich_cli.core.dicom import CTSlice
from ich_cli.core.engines import model_input
from ich_cli.core.errors import IchError, UsageError
from ich_cli.core.explain.cam import CLASS_AGNOSTIC, CLASSES, outside_inference_mode, raw_maps
from ich_cli.core.labels import LABELS
from ich_cli.core.model import PatchClassifier
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import Neighbours, Placement, prepare, uncrop
from ich_cli.core.study import Probabilities, over_thresholds
from ich_cli.core.viz import METHOD_NAMES

AUTO: Final = "auto"
"""The first of `methods_of`."""
PATCH: Final = "patch"
"""Method that shows the patch probabilities of a `PatchClassifier`."""
METHODS: Final = tuple(METHOD_NAMES)
"""Methods of `explain` besides `AUTO`. ``eigencam`` ignores the label: see `CLASS_AGNOSTIC`."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Probabilities of a slice with heat maps."""

    ct: CTSlice
    probabilities: Probabilities
    """Calibrated probabilities in the order of `LABELS`."""
    positive: tuple[str, ...]
    """Labels that reach their thresholds."""
    maps: dict[str, NDArray[np.float32]]
    """Label → float32 ``(H, W)`` in [0, 1], in pixels of the slice; peak near the probability."""
    method: str
    """One of `METHODS`."""

    def peaks(self) -> dict[str, tuple[int, int]]:
        """Return label → row and column of the peak of its map; empty maps are left out."""
        return {
            label: divmod(int(values.argmax()), values.shape[1])
            for label, values in self.maps.items()
            if values.any()
        }


def methods_of(predictor: Predictor) -> tuple[str, ...]:
    """Return the methods of `METHODS` that a predictor supports, the default first."""
    if all(isinstance(model, PatchClassifier) for model, _ in predictor.bundle.members):
        return METHODS
    return tuple(CLASSES)


def explain(
    predictor: Predictor,
    ct: CTSlice,
    labels: Sequence[str] = (),
    *,
    method: str = AUTO,
    neighbours: Neighbours | None = None,
) -> Explanation:
    """Compute the heat map of each label.

    Parameters
    ----------
    predictor
        Single model or ensemble; an ensemble's map is the mean of its members' maps.
    ct
        The slice.
    labels
        Labels to explain; if empty, those of `choose_labels`.
    method
        `AUTO` or one of `methods_of`.
    neighbours
        Neighbouring slices, as for `Predictor.prepare`.

    Returns
    -------
    Explanation
        With maps in the order of `labels`.

    Raises
    ------
    UsageError
        For an unknown label or method, or a method that the predictor does not support.
    IchError
        If a backbone has no feature map with rows and columns (a plain transformer).
    """
    return explain_batch(predictor, [ct], labels, method=method, neighbours=[neighbours])[0]


def explain_batch(
    predictor: Predictor,
    slices: Sequence[CTSlice],
    labels: Sequence[str] = (),
    *,
    method: str = AUTO,
    neighbours: Sequence[Neighbours | None] = (),
) -> list[Explanation]:
    """Explain several slices as `explain` does, with one backward pass for all of them.

    Memory grows with the batch: a copy of the features for each slice and label. Split a series
    into batches of `Predictor.batch_size`.

    Parameters
    ----------
    predictor, labels, method
        As for `explain`.
    slices
        Slices of any sizes.
    neighbours
        One entry for each slice; empty if no slice has neighbours.
    """
    method = methods_of(predictor)[0] if method == AUTO else method
    _check(predictor, labels, method)
    around = list(neighbours) or [None] * len(slices)
    seen = [
        [
            _run_member(predictor, model, config, ct, other, mirrored=method == PATCH)
            for ct, other in zip(slices, around, strict=True)
        ]
        for model, config in predictor.bundle.members
    ]
    sixes = [_combine(predictor, of_slice) for of_slice in zip(*seen, strict=True)]
    positive = [over_thresholds(six, predictor.thresholds) for six in sixes]
    wanted = [
        tuple(dict.fromkeys(labels)) or choose_labels(six, over)
        for six, over in zip(sixes, positive, strict=True)
    ]
    stacks = [
        _member_maps(model, of_member, slices, wanted, method)
        for of_member, (model, _) in zip(seen, predictor.bundle.members, strict=True)
    ]
    return [
        Explanation(ct, sixes[k], positive[k], _mean_maps([s[k] for s in stacks]), method)
        for k, ct in enumerate(slices)
    ]


def choose_labels(probabilities: Probabilities, positive: Sequence[str]) -> tuple[str, ...]:
    """Return the labels to show: the positive ones, or else the most likely one."""
    return tuple(positive) or (LABELS[int(np.argmax(probabilities))],)


def _check(predictor: Predictor, labels: Sequence[str], method: str) -> None:
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    if method not in methods_of(predictor):
        raise UsageError(f"this model has no patch head, which {PATCH} needs; use gradcam")
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise UsageError(f"unknown label {unknown[0]!r}; use one of {', '.join(LABELS)}")


@dataclass(frozen=True, eq=False)
class _MemberOutput:
    """Output of one ensemble member for one slice."""

    features: Tensor  # (1, K, h, w)
    mirrored: Tensor | None  # features of the mirror image, for `PATCH`
    logits: NDArray[np.float64]  # (1, 6)
    probabilities: NDArray[np.float64]  # (6,), calibrated for this member
    placement: Placement


def _run_member(
    predictor: Predictor,
    model: nn.Module,
    config: BundleConfig,
    ct: CTSlice,
    neighbours: Neighbours | None,
    *,
    mirrored: bool,
) -> _MemberOutput:
    around = (neighbours or {}).get(config.preprocess.context, ())
    prepared = prepare(ct, config.preprocess, around)
    with outside_inference_mode():
        pixels = model_input(prepared.pixels[None], config.preprocess, predictor.device)
        features = cast(Any, model).forward_features(pixels)
        if not isinstance(features, Tensor) or features.ndim != 4 or not _is_nchw(features, model):
            raise IchError(
                f"{config.architecture} has no feature map to explain; use a convolutional backbone"
            )
        logits = cast(Any, model).forward_head(features.clone())
        turned = cast(Any, model).forward_features(pixels.flip(-1)) if mirrored else None
    numbers = logits.float().cpu().numpy().astype(np.float64)
    own = config.calibration.apply(numbers)[0]
    return _MemberOutput(features, turned, numbers, own, prepared.placement)


def _is_nchw(features: Tensor, model: nn.Module) -> bool:
    return features.shape[1] == getattr(model, "num_features", features.shape[1])


def _combine(predictor: Predictor, outputs: Sequence[_MemberOutput]) -> Probabilities:
    (six,) = predictor.combine([one.logits for one in outputs]).astype(np.float32)
    return cast(Probabilities, tuple(map(float, six)))


def _member_maps(
    model: nn.Module,
    seen: Sequence[_MemberOutput],
    slices: Sequence[CTSlice],
    wanted: Sequence[Sequence[str]],
    method: str,
) -> list[dict[str, NDArray[np.float32]]]:
    """Return each slice's maps by one member, scaled to the member's probabilities."""
    pairs = [(k, LABELS.index(label)) for k, labels in enumerate(wanted) for label in labels]
    if method == PATCH:
        of_slices = [_patch_map(model, one) for one in seen]
        raw = [of_slices[k][index] for k, index in pairs]
    elif method in CLASS_AGNOSTIC:  # all labels of a slice share one map
        once = raw_maps(model, torch.cat([one.features for one in seen]), [0] * len(seen), method)
        raw = [once[k] for k, _ in pairs]
    else:
        copies = torch.cat([seen[k].features for k, _ in pairs])
        raw = list(raw_maps(model, copies, [index for _, index in pairs], method))
    out: list[dict[str, NDArray[np.float32]]] = [{} for _ in slices]
    for values, (k, index) in zip(raw, pairs, strict=True):
        scaled = _to_peak(values, float(seen[k].probabilities[index]))
        out[k][LABELS[index]] = uncrop(scaled, seen[k].placement, slices[k].shape)
    return out


def _patch_map(model: nn.Module, output: _MemberOutput) -> NDArray[np.float32]:
    """Return the probability of each label in each patch, float32 ``(6, h, w)``."""
    with outside_inference_mode():
        found = cast(PatchClassifier, model).probability_map(
            output.features, cast(Tensor, output.mirrored)
        )
    return cast(NDArray[np.float32], found[0].cpu().numpy())


def _mean_maps(maps: Sequence[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    return {
        label: np.mean([one[label] for one in maps], axis=0, dtype=np.float32) for label in maps[0]
    }


def _to_peak(raw: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    highest = float(raw.max())
    return raw * np.float32(peak / highest) if highest > 0 else np.zeros_like(raw)
