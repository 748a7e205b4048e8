"""A training run's state on disk, at any step: safetensors and JSON, never pickle.

    checkpoints/step-00000123/state.safetensors    model.*, ema.*, optimizer.<parameter>.<name>
    checkpoints/step-00000123/state.json           epoch, steps, losses, history, settings, sha256

A folder gets its name when it is whole and on the disk. The one before it stays, so that damage to
the newest costs the steps since then and not the run.
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
from ich_cli.core.train.config import TrainConfig

TENSORS: Final = "state.safetensors"
STATE: Final = "state.json"


@dataclass
class RunState:
    """What is needed besides tensors to go on. Order, augmentation and dropout follow the step."""

    epoch: int = 0
    """Epochs done, validation too."""
    step: int = 0
    """Steps done."""
    losses: list[float] = field(default_factory=list)
    """Of the steps of the epoch that is going on."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Metrics of each epoch."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """Of fp16's loss scaling."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the run; another run's checkpoint is refused."""


def save_checkpoint(
    folder: Path,
    state: RunState,
    model: nn.Module,
    ema: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the state, and remove all checkpoints but this and the one before.

    Raises
    ------
    OutputError
        If it cannot be written; those before stay.
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
            _to_disk(path)
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)
        _to_disk(folder)
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
    """Put the newest sound state into model, averaged model and optimizer.

    Parameters
    ----------
    folder
        Of the checkpoints.
    settings
        Of the run that wants to go on.
    model, ema, optimizer
        Filled.
    note
        Told of each checkpoint that is damaged, and what is done about it.

    Returns
    -------
    RunState or None
        None where there is no checkpoint.

    Raises
    ------
    DataError
        If the checkpoint is of a run with other settings, or none of them is sound.
    """
    found = _found(folder)
    for left, path in reversed(list(enumerate(found))):
        try:
            state, tensors = _read(path)
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            before = f"going on from {found[left - 1].name}" if left else "there is none before it"
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
        raise DataError(f"{folder}: no checkpoint is sound; start again without --resume")
    return None


def forget_checkpoints(folder: Path) -> None:
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
    before = {**TrainConfig().to_dict(), **before}  # what an earlier version did not know
    keys = now.keys() | before.keys()
    differing = sorted(key for key in keys if now.get(key) != before.get(key))
    if differing:
        raise DataError(
            f"{path} is of a run with other settings ({', '.join(differing)}); "
            "choose another --out, or leave out --resume"
        )


def _to_disk(path: Path) -> None:
    """Make the system write a file, or the names in a folder, before going on."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
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
        if value.shape == like.shape:  # the parameter's own memory format, so that sums are equal
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
