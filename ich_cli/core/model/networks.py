"""Backbones from timm, where they start from, and the device they run on."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final

from torch import nn

from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS
from ich_cli.core.model.fast_timm import timm
from ich_cli.core.model.patch_head import CellClassifier

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
