"""A training run's state on disk after each epoch: safetensors and JSON, never pickle.

    checkpoints/epoch-0003/state.safetensors    model.*, ema.*, optimizer.<parameter>.<name>
    checkpoints/epoch-0003/state.json           epoch, steps, history, settings

A folder gets its name when it is whole; then the one before it goes.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ich_cli.core.atomic import aside, output_error
from ich_cli.core.errors import DataError
from ich_cli.core.training_config import TrainConfig

TENSORS: Final = "state.safetensors"
STATE: Final = "state.json"


@dataclass
class RunState:
    """What is needed besides tensors to go on."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Metrics of each epoch."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the run; another run's checkpoint is refused."""


def save_checkpoint(
    folder: Path,
    state: RunState,
    model: nn.Module,
    ema: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the state after an epoch and remove the one before.

    Raises
    ------
    OutputError
        If it cannot be written; the one before stays.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in ema.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    target = folder / f"epoch-{state.epoch:04d}"
    new = aside(target, "new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, new / TENSORS
        )
        (new / STATE).write_text(json.dumps(vars(state), indent=1), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)
    except OSError as error:
        raise output_error(target, error) from error
    for old in _epochs(folder):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: Path,
    settings: dict[str, Any],
    model: nn.Module,
    ema: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> RunState | None:
    """Put the newest state into model, averaged model and optimizer.

    Returns
    -------
    RunState or None
        None where there is no checkpoint.

    Raises
    ------
    DataError
        If the checkpoint is of a run with other settings.
    """
    found = _epochs(folder)
    if not found:
        return None
    values = json.loads((found[-1] / STATE).read_text(encoding="utf-8"))
    state = RunState(**values)
    # what an earlier version did not know had its default then
    before = {**TrainConfig().to_dict(), **state.settings}
    differing = sorted(
        key for key in settings.keys() | before.keys() if settings.get(key) != before.get(key)
    )
    if differing:
        raise DataError(
            f"{found[-1]} is of a run with other settings ({', '.join(differing)}); "
            "choose another --out, or leave out --resume"
        )
    tensors: dict[str, Tensor] = load_file(found[-1] / TENSORS)
    model.load_state_dict(_part(tensors, "model."))
    ema.load_state_dict(_part(tensors, "ema."))
    _load_optimizer(optimizer, _part(tensors, "optimizer."))
    return state


def forget_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of a run."""
    shutil.rmtree(folder, ignore_errors=True)


def _epochs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("epoch-*") if (p / STATE).is_file())


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
