"""Networks built from timm backbones."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final

from torch import nn

from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS
from ich_cli.core.model.fast_timm import timm
from ich_cli.core.model.patch_head import PatchClassifier

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
"""Short names of recommended backbones; every timm name works too."""

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
"""Model arguments that a bundle may have. Others could make timm download or unpickle files."""


HEADS: Final = ("linear", "patch")
"""Heads that map features to logits."""


def resolve_architecture(name: str) -> str:
    """Return the timm name of a backbone, given that name or an alias.

    Raises
    ------
    IchError
        If timm has no such model; the message has the closest names. Paths and Hub ids are refused.
    """
    resolved = ALIASES.get(name.lower(), name)
    if not any(c in resolved for c in "/\\:") and timm.is_model(resolved):
        return resolved
    known = [*ALIASES, *timm.list_models()]
    close = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"try one of {', '.join(ALIASES)}"
    raise IchError(f"there is no model {name!r}; {hint}")


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
        Alias or timm name, with or without its pretrained tag (``resnet18.a1_in1k``).
    in_chans
        Number of input channels: windows times slices.
    num_classes
        Number of outputs.
    pretrained
        Load timm's pretrained weights, from the network or the cache.
    **model_args
        Names in `MODEL_ARGS`. ``head`` is ``linear`` (timm's classifier) or ``patch`` (see
        `PatchClassifier`); the others are timm's.

    Raises
    ------
    IchError
        If the model or an argument is unknown, or pretrained weights cannot be loaded.
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
        raise IchError(f"unknown head {head!r}; use {' or '.join(HEADS)}")
    outputs = num_classes if head == "linear" else 0
    settings = {"in_chans": in_chans, "num_classes": outputs, **model_args}
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, **settings)
    except Exception as error:  # timm passes on any error of models, network or disk
        if pretrained:
            raise IchError(
                f"the pretrained weights of {name} cannot be loaded ({type(error).__name__}); check"
                " the network (HF_HUB_OFFLINE, HF_ENDPOINT, proxies), or start from a safetensors"
                " file with --init FILE, or from random weights with --init none"
            ) from error
        raise IchError(f"{name} cannot be built with {settings}: {error}") from error
    if head == "linear":
        return model
    return PatchClassifier(model, num_classes, float(model_args.get("drop_rate", 0.0)))
