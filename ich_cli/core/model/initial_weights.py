"""Initial weights of a training from a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.errors import BundleError
from ich_cli.core.model.fast_timm import timm
from ich_cli.core.model.patch_head import PatchClassifier
from ich_cli.core.model.weights import read_weights, summarize_names, torchvision_to_timm


@dataclass(frozen=True)
class InitReport:
    """Report of `load_initial`."""

    layout: str
    """Naming scheme of the file's keys: ``timm`` or ``torchvision``."""
    tensors: int
    """Number of tensors loaded."""
    classifier: str
    """``kept``, or ``dropped`` where its shape does not fit and it starts from random values."""
    stem: str
    """``kept``, or how its input channels were adapted."""
    folded_batch_norms: bool
    """True where all running means are 0 and variances 1: batch norms must stay in eval mode."""


def load_initial(model: nn.Module, path: Path) -> InitReport:
    """Load a safetensors file of a timm or torchvision model into a model.

    The classifier is dropped where its number of outputs differs; the file of a plain backbone
    fits a `PatchClassifier`. Where the input has neighbours besides the slice, their weights in the
    first convolution start at 0. For another number of windows, its weights are repeated and
    scaled.

    Raises
    ------
    IchError
        If the file is not safetensors, or another key is missing, unexpected or has a wrong shape.
    """
    found = read_weights(path)
    if isinstance(model, PatchClassifier) and not any(key.startswith("backbone.") for key in found):
        model = model.backbone
    layout, found = torchvision_to_timm(found)
    wanted = model.state_dict()
    classifier = _fit_classifier(model, found, wanted)
    stem = _fit_stem(model, found, wanted)
    mismatch = compare_keys(
        {key: tuple(value.shape) for key, value in found.items()},
        {key: tuple(value.shape) for key, value in wanted.items()},
        optional=_classifier_keys(model) if classifier == "dropped" else (),
    )
    if mismatch:
        raise BundleError(f"{path}: does not fit the model: {mismatch}")
    model.load_state_dict(found, strict=False)
    return InitReport(layout, len(found), classifier, stem, _is_folded(found))


def compare_keys(
    found: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    optional: Sequence[str] = (),
) -> str:
    """Describe how a file's keys and shapes differ from a model's; empty where they agree.

    ``num_batches_tracked`` may be missing: it does not affect the output.
    """
    missing = [
        key
        for key in wanted
        if key not in found and key not in optional and not key.endswith("num_batches_tracked")
    ]
    unexpected = [key for key in found if key not in wanted]
    shaped = [
        f"{key} is {list(found[key])}, not {list(wanted[key])}"
        for key in wanted
        if key in found and found[key] != wanted[key]
    ]
    parts = [
        f"{kind} {summarize_names(keys)}"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("shape:", shaped))
        if keys
    ]
    return "; ".join(parts)


def _classifier_keys(model: nn.Module) -> tuple[str, ...]:
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    heads = (names,) if isinstance(names, str) else tuple(names)
    return tuple(f"{head}.{part}" for head in heads for part in ("weight", "bias"))


def _fit_classifier(
    model: nn.Module, found: dict[str, Tensor], wanted: Mapping[str, Tensor]
) -> str:
    keys = [key for key in _classifier_keys(model) if key in found or key in wanted]
    if keys and all(k in found and k in wanted and found[k].shape == wanted[k].shape for k in keys):
        return "kept"
    for key in keys:
        found.pop(key, None)
    return "dropped"


def _fit_stem(model: nn.Module, found: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    names = getattr(model, "pretrained_cfg", {}).get("first_conv") or ()
    for name in (names,) if isinstance(names, str) else names:
        key = f"{name}.weight"
        if key in found and key in wanted and found[key].shape[1] == 3:
            channels = wanted[key].shape[1]
            if channels % 3 == 0 and channels // 3 % 2:
                neighbours = (channels - 3) // 2
                found[key] = functional.pad(found[key], (0, 0, 0, 0, neighbours, neighbours))
                return "kept" if not neighbours else "kept for the slice, 0 for its neighbours"
            found[key] = timm.models.adapt_input_conv(channels, found[key])
            return f"3 channels spread over {channels}"
    return "kept"


def _is_folded(found: Mapping[str, Tensor]) -> bool:
    means = [value for key, value in found.items() if key.endswith("running_mean")]
    variances = [value for key, value in found.items() if key.endswith("running_var")]
    return (
        bool(means)
        and not any(bool(mean.any()) for mean in means)
        and all(bool(((var - 1).abs() < 1e-4).all()) for var in variances)  # 1 - eps also
    )
