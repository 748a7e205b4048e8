"""Selection and description of the device that a network runs on."""

from __future__ import annotations

import torch

from ich_cli.core.errors import IchError


def resolve_device(name: str) -> torch.device:
    """Return the device of a name: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    IchError
        If the name is unknown, or the device is not available.
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
            f"device {name} is not available: {_gpus()} CUDA device(s) found; use auto or cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise IchError("device mps is not available; use auto or cpu")
    return torch.device("cpu" if kind == "cpu" else name)


def devices() -> list[str]:
    """Return the available devices as ``name: description``."""
    found = [f"cpu: {_threads()}"]
    found += [f"cuda:{n}: {torch.cuda.get_device_name(n)}" for n in range(_gpus())]
    return found + (["mps: Apple GPU"] if torch.backends.mps.is_available() else [])


def device_name(device: torch.device) -> str:
    """Return a description such as ``NVIDIA H200`` or ``CPU, 2 threads``, without the host name."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, {_threads()}" if device.type == "cpu" else "Apple GPU"


def _gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _threads() -> str:
    count = torch.get_num_threads()
    return "1 thread" if count == 1 else f"{count} threads"
