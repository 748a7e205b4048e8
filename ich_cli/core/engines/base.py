"""What runs a network: torch itself, OpenVINO, or torch.compile, behind one small interface.

torch in float32 is the reference. The others give its probabilities to 1e-4 in float32 and to 0.01
in bfloat16, which is taken where the processor multiplies it and the bundle bears it
(`engine_precision`). On a CPU every engine runs slice by slice, so that an answer is the same to
the bit whatever stands beside it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final, Literal, Protocol, cast, get_args

import torch
from torch import Tensor, nn

from ich_cli.core.bundle import BundleConfig
from ich_cli.core.errors import IchError, UsageError

Name = Literal["torch", "openvino", "compile"]
ENGINES: Final[tuple[str, ...]] = ("auto", *get_args(Name))

FEW_SLICES: Final = 64
_ENOUGH_WORK: Final = 1000.0  # slices x million parameters x (side / 256) squared


class Engine(Protocol):
    """One network, ready to run."""

    step: int
    """Slices to hand over at once."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return logits ``(N, 6)`` of float32 inputs ``(N, C, S, S)``, N at most `step`."""
        ...


@dataclass(frozen=True)
class Choice:
    """Which engine, in which precision, and why."""

    name: Name
    bf16: bool = False
    why: str = "as asked"

    def __str__(self) -> str:
        return f"{self.name}, {'bfloat16' if self.bf16 else 'float32'}"

    @property
    def told(self) -> str:
        """Say it to people, with the reason."""
        return f"engine: {self} ({self.why})"


def choose(
    wanted: str,
    device: torch.device,
    configs: Sequence[BundleConfig] = (),
    models: Sequence[nn.Module] = (),
    slices: int | None = None,
) -> Choice:
    """Return the engine that `wanted` stands for.

    The choice depends on the machine, on what is installed, on the bundle and on the number of
    slices alone, never on a clock or on what an earlier run left: the same job gets the same.

    Parameters
    ----------
    wanted
        One of `ENGINES`. ``auto`` is torch for small jobs, for an unknown number of slices, and
        on a GPU.
    device
        Where it runs.
    configs, models
        The bundle's members.
    slices
        How many there are to answer.

    Raises
    ------
    UsageError
        If there is no such engine, it is not installed, or not for this device.
    """
    if wanted not in ENGINES:
        raise UsageError(f"no engine is called {wanted!r}; use one of {', '.join(ENGINES)}")
    if wanted == "auto":
        return _auto(device, configs, models, slices)
    if wanted == "torch":
        return Choice("torch", device.type == "cuda")
    if missing := lacking(cast(Name, wanted), device):
        raise UsageError(f"--engine {wanted}: {missing}")
    return Choice(cast(Name, wanted), bool(fast_bf16(device)))


def _auto(
    device: torch.device,
    configs: Sequence[BundleConfig],
    models: Sequence[nn.Module],
    slices: int | None,
) -> Choice:
    if device.type != "cpu":
        return Choice("torch", device.type == "cuda", "a GPU")
    enough = enough_slices(configs, models)
    if slices is None or slices < enough:
        return Choice("torch", why=f"a small job: OpenVINO pays from {enough} slices on")
    if missing := lacking("openvino", device):
        return Choice("torch", why=f"openvino: {missing}")
    has = fast_bf16(device)
    return Choice("openvino", bool(has), f"the processor has {has}" if has else "it is installed")


def enough_slices(configs: Sequence[BundleConfig], models: Sequence[nn.Module]) -> int:
    """Return from how many slices on ``auto`` takes an engine that must be made ready first.

    The time that it saves grows with slices, parameters and pixels.
    """
    work = sum(
        sum(p.numel() for p in model.parameters()) / 1e6 * (config.preprocess.size / 256) ** 2
        for config, model in zip(configs, models, strict=True)
    )
    return max(FEW_SLICES, round(_ENOUGH_WORK / work)) if work else FEW_SLICES


def lacking(name: Name, device: torch.device) -> str:
    """Say what an engine lacks on this device; empty where it can run."""
    if name == "openvino":
        if device.type != "cpu":
            return f"OpenVINO runs on the CPU, not on {device.type}"
        return "" if find_spec("openvino") else "not installed: pip install 'ich-cli[openvino]'"
    if name == "compile":
        if device.type == "mps":
            return "torch.compile is not used on mps"
        if device.type == "cpu" and not _compiler():
            return "needs a C++ compiler (g++, clang++ or cl), and there is none on the PATH"
    return ""


def _compiler() -> str:
    """Return the C++ compiler that torch.compile would call."""
    usual = ("cl",) if sys.platform == "win32" else ("g++", "clang++")
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), *usual))), "")


def fast_bf16(device: torch.device) -> str:
    """Return what multiplies bfloat16 fast on a device; empty where float32 is as good."""
    if device.type == "cuda":
        return "bfloat16 cores" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    if device.type != "cpu":
        return ""
    looks = (("_is_amx_tile_supported", "AMX"), ("_is_avx512_bf16_supported", "AVX-512 BF16"))
    for look, name in looks:  # torch keeps them private; where one is gone, float32 it is
        if getattr(torch.cpu, look, bool)():
            return name
    return ""


def engine_facts(
    device: torch.device, configs: Sequence[BundleConfig], models: Sequence[nn.Module]
) -> dict[str, str]:
    """Return what each engine would be here, for people: name → one line."""
    fast = fast_bf16(device)
    found = {"bfloat16": fast or "not fast here"}
    for name in get_args(Name):
        missing = lacking(name, device)
        found[name] = missing or _told(choose(name, device), device)
    if "openvino" in found and not lacking("openvino", device):
        found["openvino"] += f" (version {version('openvino')})"
    chosen = choose("auto", device, configs, models, sys.maxsize)
    if chosen.name == "torch":
        found["auto"] = f"{chosen} ({chosen.why})"
    else:
        enough = enough_slices(configs, models)
        found["auto"] = f"{chosen.name} from {enough} slices on ({chosen.why}), torch for fewer"
    return found


def _told(choice: Choice, device: torch.device) -> str:
    if choice.bf16 and device.type == "cpu":
        return "bfloat16 where a bundle's answers bear it, else float32"
    return "bfloat16" if choice.bf16 else "float32"


def start(
    choice: Choice, model: nn.Module, config: BundleConfig, device: torch.device, batch_size: int
) -> Engine:
    """Make a network ready to run.

    Parameters
    ----------
    choice
        As `choose` gave it.
    model
        On `device`, in eval mode.
    config
        Its bundle's.
    device
        Where it runs.
    batch_size
        Slices at once, on a GPU.

    Raises
    ------
    IchError
        If the engine cannot run this network.
    """
    if choice.name == "openvino":
        from ich_cli.core.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(model, config, bf16=choice.bf16)
    if choice.name == "compile":
        from ich_cli.core.engines.torch_compile import CompiledEngine

        return CompiledEngine(model, config, device, batch_size, bf16=choice.bf16)
    return TorchEngine(model, device, batch_size)


class TorchEngine:
    """A network as torch runs it: float32 on the CPU, bfloat16 where it is allowed on CUDA.

    On the CPU slices go one by one: matrix products of one row and of several round differently in
    the last bit, and it is no slower. Elsewhere a batch keeps the GPU busy.
    """

    def __init__(self, model: nn.Module, device: torch.device, batch_size: int) -> None:
        self.step = 1 if device.type == "cpu" else batch_size
        self._model, self._is_cuda = model, device.type == "cuda"

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return logits ``(N, 6)``."""
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, self._is_cuda):
            return cast(Tensor, cast(Any, self._model)(inputs))


def or_torch(choice: Choice, error: IchError) -> Choice:
    """Return torch in place of an engine that ``auto`` took and that failed."""
    return Choice("torch", why=f"{choice.name} failed: {error}")
