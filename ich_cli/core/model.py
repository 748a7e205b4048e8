"""Backbones from timm, where they start from, and the device they run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.cells import CellClassifier
from ich_cli.core.errors import BundleError, IchError
from ich_cli.core.labels import LABELS
from ich_cli.core.light_timm import timm
from ich_cli.core.weights import name_some, read_weights, torchvision_to_timm

ALIASES: Final = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x8d",
    "seresnet50": "seresnet50",
    "seresnext50": "seresnext50_32x4d",
    "seresnext101": "seresnext101_32x4d",
    "densenet121": "densenet121",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3": "mobilenetv3_large_100",
    "efficientnet_b0": "efficientnet_b0",
    "convnext_tiny": "convnext_tiny",
}
"""Short names of backbones that are known to do well here; every timm name works besides."""

MODEL_ARGS: Final = frozenset(
    [
        "drop_rate",
        "drop_path_rate",
        "attn_drop_rate",
        "proj_drop_rate",
        "global_pool",
        "img_size",
        "output_stride",
        "head",
    ]
)
"""Settings of a backbone that a bundle may hold. Others could make timm fetch or unpickle files."""


HEADS: Final = ("linear", "cells")
"""What turns features into logits."""


@dataclass(frozen=True)
class InitReport:
    """What `load_initial` took from a file."""

    layout: str
    """``timm`` or ``torchvision``: whose key names the file has."""
    tensors: int
    """Number of tensors taken."""
    classifier: str
    """``kept`` where its shape fits, else ``dropped``: it starts from random values."""
    stem: str
    """``kept``, or how its input channels were spread."""
    folded_batch_norms: bool
    """All running means are 0 and variances 1: batch norms must stay in eval mode in training."""


def resolve_architecture(name: str) -> str:
    """Return timm's name of a backbone, given that or an alias.

    Raises
    ------
    IchError
        If timm has no such model; names the closest ones. Paths and Hub ids are no names.
    """
    resolved = ALIASES.get(name.lower(), name)
    if not any(c in resolved for c in "/\\:") and timm.is_model(resolved):
        return resolved
    known = [*ALIASES, *timm.list_models()]
    close = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"try one of {', '.join(ALIASES)}"
    raise IchError(f"no model is called {name!r}; {hint}")


def build_model(
    architecture: str,
    *,
    in_chans: int = 3,
    num_classes: int = len(LABELS),
    pretrained: bool = False,
    **model_args: Any,
) -> nn.Module:
    """Build a backbone that maps float32 ``(N, in_chans, S, S)`` to logits ``(N, num_classes)``.

    Parameters
    ----------
    architecture
        An alias or a name of timm, with or without its pretrained tag (``resnet18.a1_in1k``).
    in_chans
        Input channels: windows times slices.
    num_classes
        Outputs.
    pretrained
        Start from timm's published weights: needs the network or a filled cache.
    **model_args
        Those in `MODEL_ARGS`; ``head`` is ours, the others are timm's: ``linear`` (timm's own) or
        ``cells`` (see `CellClassifier`).

    Raises
    ------
    IchError
        Unknown model or argument; pretrained weights that cannot be had.
    """
    name = resolve_architecture(architecture)
    unknown = sorted(set(model_args) - MODEL_ARGS)
    if unknown:
        raise IchError(
            f"model settings not allowed: {', '.join(unknown)}; known: "
            f"{', '.join(sorted(MODEL_ARGS))}"
        )
    head = model_args.pop("head", "linear")
    if head not in HEADS:
        raise IchError(f"no head is called {head!r}; use {' or '.join(HEADS)}")
    outputs = num_classes if head == "linear" else 0
    settings = {"in_chans": in_chans, "num_classes": outputs, **model_args}
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, **settings)
    except Exception as error:  # timm raises whatever its models, the network or the disk raise
        if pretrained:
            raise IchError(
                f"the pretrained weights of {name} cannot be had ({type(error).__name__}); check"
                " the network (HF_HUB_OFFLINE, HF_ENDPOINT, proxies), or start from a safetensors"
                " file by --init FILE, or from random weights by --init none"
            ) from error
        raise IchError(f"{name} cannot be built with {settings}: {error}") from error
    if head == "linear":
        return model
    return CellClassifier(model, num_classes, float(model_args.get("drop_rate", 0.0)))


def load_initial(model: nn.Module, path: Path) -> InitReport:
    """Start a model from a safetensors file of a timm or torchvision model.

    The classifier is dropped where its number of outputs differs; under a `CellClassifier`, where
    the file is of the backbone alone. Where the input has neighbours
    besides the slice, its stem begins by looking at the slice alone, and learns of the others.
    With another number of windows, the file's weights are repeated over them and scaled.

    Raises
    ------
    IchError
        If the file is no safetensors, or a key besides these is missing, left over or mis-shaped.
    """
    found = read_weights(path)
    if isinstance(model, CellClassifier) and not any(key.startswith("backbone.") for key in found):
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
    """Say how a file's keys and shapes differ from a model's; empty where they agree.

    ``num_batches_tracked`` may be missing: it counts training steps and changes no output.
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
        f"{kind} {name_some(keys)}"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("shape:", shaped))
        if keys
    ]
    return "; ".join(parts)


def resolve_device(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` stands for.

    Raises
    ------
    IchError
        If the name is none of these, or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in name and not index.isdecimal()):
        raise IchError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and int(index or 0) >= _gpus():
        raise IchError(
            f"device {name} is not here: {_gpus()} CUDA device(s) found; use auto or cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise IchError("device mps is not here; use auto or cpu")
    return torch.device("cpu" if kind == "cpu" else name)


def devices() -> list[str]:
    """Return the devices that are here, by the names `resolve_device` takes, and what they are."""
    found = [f"cpu: {torch.get_num_threads()} threads"]
    found += [f"cuda:{n}: {torch.cuda.get_device_name(n)}" for n in range(_gpus())]
    return found + (["mps: Apple GPU"] if torch.backends.mps.is_available() else [])


def device_name(device: torch.device) -> str:
    """Return what a device is: ``NVIDIA H200``, ``CPU, 2 threads``; no name of the machine."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, {torch.get_num_threads()} threads" if device.type == "cpu" else "Apple GPU"


def normalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn prepared pixels into a model's input: divide by 255, subtract mean, divide by std.

    Parameters
    ----------
    pixels
        uint8 ``(N, C, S, S)``; windows vary fastest along C, slices slowest.
    mean, std
        One value a window; repeated over the slices.

    Returns
    -------
    torch.Tensor
        float32 of the same shape, on the same device.
    """
    slices = pixels.shape[1] // len(mean)
    shape = (1, pixels.shape[1], 1, 1)
    means = torch.tensor([*mean] * slices, device=pixels.device).view(shape)
    stds = torch.tensor([*std] * slices, device=pixels.device).view(shape)
    return (pixels.float() / 255.0 - means) / stds


def _gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


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
