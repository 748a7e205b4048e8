"""Choose an engine by the hardware, the installed packages and the size of the job."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, cast, get_args

from ich_cli.core.engines.base import ENGINES, Choice, EngineName
from ich_cli.core.errors import UsageError

if TYPE_CHECKING:
    from ich_cli.core.bundle import LoadedBundle

FEW_SLICES: Final = 64
_ENOUGH_WORK: Final = 1000.0  # slices x million parameters x (side / 256) squared


def choose(
    wanted: str, device: str, bundle: LoadedBundle | None = None, slices: int | None = None
) -> Choice:
    """Choose the engine.

    The choice depends only on the machine, the installed packages, the bundle and the number of
    slices, never on timings or earlier runs: the same job always gets the same engine.

    Parameters
    ----------
    wanted
        One of `ENGINES`. ``auto`` is torch for small jobs, for an unknown number of slices, and
        on a GPU.
    device
        ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    bundle
        The models to run, whose size ``auto`` takes into account.
    slices
        Number of slices to predict.

    Raises
    ------
    UsageError
        If the engine is unknown, not installed, or does not support the device.
    """
    if wanted not in ENGINES:
        raise UsageError(f"unknown engine {wanted!r}; use one of {', '.join(ENGINES)}")
    if wanted == "auto":
        return _auto(device, bundle, slices)
    if wanted == "torch":
        return Choice("torch", _is_cuda(device))
    if reason := unavailable_reason(wanted, device):
        raise UsageError(f"--engine {wanted}: {reason}")
    return Choice(cast(EngineName, wanted), bool(fast_bf16(device)))


def _auto(device: str, bundle: LoadedBundle | None, slices: int | None) -> Choice:
    if device != "cpu":
        return Choice("torch", _is_cuda(device), "a GPU")
    enough = enough_slices(bundle)
    if slices is None or slices < enough:
        return Choice("torch", why=f"a small job; OpenVINO is used from {enough} slices on")
    if reason := unavailable_reason("openvino", device):
        return Choice("torch", why=f"openvino: {reason}")
    fast = fast_bf16(device)
    return Choice("openvino", bool(fast), f"the processor has {fast}" if fast else "installed")


def enough_slices(bundle: LoadedBundle | None) -> int:
    """Return the number of slices from which ``auto`` takes an engine that needs preparation.

    The time that such an engine saves grows with slices, parameters and pixels.
    """
    work = sum(
        sum(p.numel() for p in model.parameters()) / 1e6 * (config.preprocess.size / 256) ** 2
        for model, config in (bundle.members if bundle else ())
    )
    return max(FEW_SLICES, round(_ENOUGH_WORK / work)) if work else FEW_SLICES


def unavailable_reason(name: str, device: str) -> str:
    """Return why an engine cannot run on a device; empty where it can."""
    if name == "openvino":
        if device != "cpu":
            return f"OpenVINO runs on the CPU, not on {device}"
        return "" if find_spec("openvino") else "not installed: pip install 'ich-cli[openvino]'"
    if name == "compile":
        if device == "mps":
            return "torch.compile is not used on mps"
        if device == "cpu" and not _compiler():
            return "needs a C++ compiler (g++, clang++ or cl), and there is none on the PATH"
    return ""


def _compiler() -> str:
    """Return the C++ compiler that torch.compile would call."""
    usual = ("cl",) if sys.platform == "win32" else ("g++", "clang++")
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), *usual))), "")


def fast_bf16(device: str) -> str:
    """Return the hardware feature that multiplies bfloat16 fast; empty where there is none."""
    from ich_cli.core.engines.torch_engine import bf16_hardware

    return bf16_hardware(device)


def engine_facts(device: str, bundle: LoadedBundle | None = None) -> dict[str, str]:
    """Describe each engine on this machine for users: name → one line."""
    facts = {"bfloat16": fast_bf16(device) or "not fast here"}
    for name in get_args(EngineName):
        reason = unavailable_reason(name, device)
        facts[name] = reason or _precision(choose(name, device), device)
    if not unavailable_reason("openvino", device):
        facts["openvino"] += f" (version {version('openvino')})"
    chosen = choose("auto", device, bundle, sys.maxsize)
    if chosen.name == "torch":
        facts["auto"] = f"{chosen} ({chosen.why})"
    else:
        enough = enough_slices(bundle)
        facts["auto"] = f"{chosen.name} from {enough} slices on ({chosen.why}), torch for fewer"
    return facts


def _precision(choice: Choice, device: str) -> str:
    if choice.bf16 and device == "cpu":
        return "bfloat16 where it barely changes a bundle's predictions, else float32"
    return "bfloat16" if choice.bf16 else "float32"


def _is_cuda(device: str) -> bool:
    return device.startswith("cuda")
