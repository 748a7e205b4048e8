"""Whether a bundle's answers bear bfloat16.

It has eight bits of mantissa. Most networks do not mind; one whose logits are steep does. So each
bundle is tried once on a few phantom slices, and takes bfloat16 on a CPU only if no logit moves by
so much that a probability could move by half the bound that is promised.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from ich_cli._version import __version__
from ich_cli.core.bundle import BundleConfig
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.engines.base import Choice, fast_bf16, start
from ich_cli.core.engines.cache import fetch, keep, path_of
from ich_cli.core.labels import SUBTYPES
from ich_cli.core.model import normalize
from ich_cli.core.preprocessing import prepare

BOUND: Final = 0.005
"""Of a probability's change, half of what is promised: the slices tried are few."""
_SLICES: Final = 8

Member = tuple[nn.Module, BundleConfig]


def settle(choice: Choice, members: Sequence[Member], device: torch.device) -> Choice:
    """Return the choice with float32 where it has bfloat16 that the bundle does not bear.

    Parameters
    ----------
    choice
        As `engines.choose` gave it.
    members
        The bundle's models, on `device`, with their configs.
    device
        Only a CPU is asked: on a GPU bfloat16 stays, as its users expect.
    """
    if not choice.bf16 or device.type != "cpu":
        return choice
    moved = max(_remembered(choice, member) for member in members)
    if moved <= BOUND:
        return replace(choice, why=f"{choice.why}; moves probabilities by {moved:.4f} at most")
    why = f"{choice.why}; in bfloat16 this bundle's answers could move by {moved:.3f}"
    return replace(choice, bf16=False, why=why)


def _remembered(choice: Choice, member: Member) -> float:
    config = member[1]
    if not config.sha256:
        return largest_move(choice, member)
    packages = ["torch", "timm", *(["openvino"] if choice.name == "openvino" else [])]
    path = path_of(
        {
            "question": [choice.name, fast_bf16(torch.device("cpu")), _SLICES],
            "weights": [config.sha256, config.architecture, config.model_args],
            "input": config.preprocess.to_dict(),
            "temperature": config.calibration.temperature,
            "versions": [__version__, *map(version, packages)],
        }
    )
    if kept := fetch(path):
        return float(json.loads(kept[0]))
    moved = largest_move(choice, member)
    keep(path, json.dumps(moved).encode(), b"")
    return moved


def largest_move(choice: Choice, member: Member) -> float:
    """Return by how much bfloat16 could move a probability: a quarter of its logit's change.

    The slope of a sigmoid is 1/4 at most, so this holds for slices with other logits, too.
    """
    model, config = member
    inputs, cpu = _phantoms(config), torch.device("cpu")
    exact = _run(start(Choice("torch"), model, config, cpu, 1), inputs)
    if choice.name == "openvino":
        engine: Callable[[Tensor], Tensor] = start(
            replace(choice, bf16=True), model, config, cpu, 1
        )
    else:  # compiling takes minutes; torch rounds at the same places
        engine = _autocast(model)
    change = (_run(engine, inputs) - exact).abs().numpy() / np.array(config.calibration.temperature)
    return float(change.max()) / 4


def _autocast(model: nn.Module) -> Callable[[Tensor], Tensor]:
    def call(inputs: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return cast(Tensor, cast(Any, model)(inputs)).float()

    return call


def _run(engine: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return torch.cat([engine(one[None]) for one in inputs])


def _phantoms(config: BundleConfig) -> Tensor:
    """Return a head that bleeds everywhere as a model's input ``(N, C, S, S)``."""
    from ich_cli.core.phantom import PhantomConfig, generate

    study = generate(PhantomConfig(seed=0, subtypes=SUBTYPES, size=256, slices=(_SLICES, _SLICES)))
    slices = [CTSlice(hu.astype(np.float32), SliceId("phantom")) for hu in study.hu]
    prep = config.preprocess
    pixels = np.stack([prepare(one, prep).pixels for one in slices])
    scaled = normalize(torch.from_numpy(pixels), prep.mean, prep.std)
    return scaled.contiguous(memory_format=torch.channels_last)
