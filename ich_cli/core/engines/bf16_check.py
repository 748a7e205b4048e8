"""Check that bfloat16 barely changes a bundle's predictions.

bfloat16 has eight bits of mantissa. Most networks tolerate that; one with steep logits does not.
Each bundle is run once on a few phantom slices, and uses bfloat16 on a CPU only if no probability
could change by more than half of the guaranteed bound of 0.01.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ich_cli._version import __version__
from ich_cli.core.bundle import BundleConfig
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.engines.base import Choice
from ich_cli.core.engines.cache import fetch, keep, path_of
from ich_cli.core.engines.load import start_engine
from ich_cli.core.engines.torch_engine import bf16_hardware, model_input
from ich_cli.core.labels import SUBTYPES
from ich_cli.core.preprocessing import prepare

BOUND: Final = 0.005
"""Largest change of a probability: half of what is guaranteed, since few slices are tried."""
_SLICES: Final = 8

Member = tuple[nn.Module, BundleConfig]


def validate_precision(choice: Choice, members: Sequence[Member], device: str) -> Choice:
    """Return the choice, with float32 where bfloat16 would change the predictions too much.

    Parameters
    ----------
    choice
        As `choose` returned it.
    members
        The bundle's models, on `device`, with their configs.
    device
        Only ``cpu`` is checked: on a GPU bfloat16 stays, as its users expect.
    """
    if not choice.bf16 or device != "cpu":
        return choice
    change = max(_cached_change(choice, member) for member in members)
    if change <= BOUND:
        return replace(choice, why=f"{choice.why}; changes probabilities by at most {change:.4f}")
    why = f"{choice.why}; bfloat16 could change this bundle's probabilities by {change:.3f}"
    return replace(choice, bf16=False, why=why)


def _cached_change(choice: Choice, member: Member) -> float:
    config = member[1]
    if not config.sha256:
        return largest_change(choice, member)
    packages = ["torch", "timm", *(["openvino"] if choice.name == "openvino" else [])]
    path = path_of(
        {
            "question": [choice.name, bf16_hardware("cpu"), _SLICES],
            "weights": [config.sha256, config.architecture, config.model_args],
            "input": config.preprocess.to_dict(),
            "temperature": config.calibration.temperature,
            "versions": [__version__, *map(version, packages)],
        }
    )
    if cached := fetch(path):
        return float(json.loads(cached[0]))
    change = largest_change(choice, member)
    keep(path, json.dumps(change).encode(), b"")
    return change


def largest_change(choice: Choice, member: Member) -> float:
    """Return how much bfloat16 could change a probability: a quarter of its logit's change.

    The slope of a sigmoid is at most 1/4, so the bound holds for other logits as well.
    """
    model, config = member
    pixels = _phantoms(config)
    exact = start_engine(Choice("torch"), model, config, "cpu", 1)(pixels)
    if choice.name == "openvino":
        run: Callable[[NDArray[np.uint8]], NDArray[np.float64]] = start_engine(
            replace(choice, bf16=True), model, config, "cpu", 1
        )
    else:  # compiling takes minutes; torch rounds at the same places
        run = _autocast(model, config)
    change = np.abs(run(pixels) - exact) / np.array(config.calibration.temperature)
    return float(change.max()) / 4


def _autocast(
    model: nn.Module, config: BundleConfig
) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            rows = [
                cast(Any, model)(model_input(one[None], config.preprocess, "cpu")) for one in pixels
            ]
        return cast("NDArray[np.float64]", torch.cat(rows).float().numpy().astype(np.float64))

    return run


def _phantoms(config: BundleConfig) -> NDArray[np.uint8]:
    """Return slices of a phantom with all subtypes as uint8 ``(8, C, S, S)``."""
    from ich_cli.core.phantom import PhantomConfig, generate_phantom

    study = generate_phantom(
        PhantomConfig(seed=0, subtypes=SUBTYPES, size=256, slices=(_SLICES, _SLICES))
    )
    slices = [CTSlice(hu.astype(np.float32), SliceId("phantom")) for hu in study.hu]
    return np.stack([prepare(one, config.preprocess).pixels for one in slices])
