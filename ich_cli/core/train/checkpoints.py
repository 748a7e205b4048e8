"""Checkpoints of a training run: safetensors and JSON, never pickle.

    checkpoints/step-00000123/state.safetensors    model.*, ema.*, optimizer.<parameter>.<name>
    checkpoints/step-00000123/state.json           epoch, steps, losses, history, settings, sha256

A folder is renamed to its final name once it is complete and flushed to disk. The checkpoint before
it is kept, so that damage to the newest one costs only the steps since then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ich_cli.core.errors import DataError
from ich_cli.core.model import write_weights
from ich_cli.core.system import output_error, sha256_of, temporary_sibling
from ich_cli.core.train.config import upgrade_settings

TENSORS: Final = "state.safetensors"
STATE: Final = "state.json"


@dataclass
class RunState:
    """State of a run besides its tensors; all randomness depends on the step only."""

    epoch: int = 0
    """Epochs done, including validation."""
    step: int = 0
    """Steps done."""
    losses: list[float] = field(default_factory=list)
    """Losses of the current epoch's steps."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Metrics of each epoch."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """State of fp16's loss scaling."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the run; a checkpoint with other settings is refused."""


def save_checkpoint(
    folder: Path,
    state: RunState,
    model: nn.Module,
    ema: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write a checkpoint, and remove all but this one and the one before.

    Raises
    ------
    OutputError
        If it cannot be written; earlier checkpoints are kept.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in ema.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    target = folder / f"step-{state.step:08d}"
    new = temporary_sibling(target, "new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        kept = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        write_weights(new / TENSORS, kept)
        values = {**vars(state), "sha256": sha256_of(new / TENSORS)}
        (new / STATE).write_text(json.dumps(values, indent=1), encoding="utf-8")
        for path in (new / TENSORS, new / STATE, new):
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)
        _sync(folder)
    except OSError as error:
        raise output_error(target, error) from error
    for old in [p for p in _found(folder) if p != target][:-1]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: Path,
    settings: dict[str, Any],
    model: nn.Module,
    ema: nn.Module,
    optimizer: torch.optim.Optimizer,
    note: Callable[[str], None] = lambda text: None,
) -> RunState | None:
    """Load the newest valid checkpoint into model, averaged model and optimizer.

    Parameters
    ----------
    folder
        Folder of the checkpoints.
    settings
        Settings of the run to resume.
    model, ema, optimizer
        Objects that receive the state.
    note
        Called with a message for each damaged checkpoint.

    Returns
    -------
    RunState or None
        State of the run; None where there is no checkpoint.

    Raises
    ------
    DataError
        If the checkpoint has other settings, or all checkpoints are damaged.
    """
    found = _found(folder)
    for left, path in reversed(list(enumerate(found))):
        try:
            state, tensors = _read(path)
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            before = f"continuing from {found[left - 1].name}" if left else "none is left"
            note(f"checkpoint {path.name} is damaged ({_reason(error)}); {before}")
            continue
        _check_settings(path, state.settings, settings)
        model.load_state_dict(_part(tensors, "model."))
        ema.load_state_dict(_part(tensors, "ema."))
        _load_optimizer(optimizer, _part(tensors, "optimizer."))
        for damaged in found[left + 1 :]:
            shutil.rmtree(damaged, ignore_errors=True)
        return state
    if found:
        raise DataError(f"{folder}: all checkpoints are damaged; start again without --resume")
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of a run."""
    shutil.rmtree(folder, ignore_errors=True)


def _found(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.is_dir())


def _read(path: Path) -> tuple[RunState, dict[str, Tensor]]:
    values = json.loads((path / STATE).read_text(encoding="utf-8"))
    expected = values.pop("sha256")
    if sha256_of(path / TENSORS) != expected:
        raise ValueError("its checksum is wrong")
    state = RunState(**{one.name: values.pop(one.name) for one in fields(RunState)}, **values)
    return state, load_file(path / TENSORS)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return str(error) if str(error).startswith("its ") else f"its {STATE} does not parse"


def _check_settings(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    before = upgrade_settings(before)
    keys = now.keys() | before.keys()
    differing = sorted(key for key in keys if now.get(key) != before.get(key))
    if differing:
        raise DataError(
            f"{path} belongs to a run with other settings ({', '.join(differing)}); "
            "choose another --output, or remove --resume"
        )


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        like = parameters[int(index)]
        if value.shape == like.shape:  # in the parameter's memory format, so that sums are equal
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
