"""Train one model: one loop on accelerate, the same on a laptop's CPU and on many GPUs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ich_cli.core.atomic import replacing
from ich_cli.core.batches import Selection
from ich_cli.core.checkpoints import RunState, forget_checkpoints, load_checkpoint, save_checkpoint
from ich_cli.core.config import PreprocessConfig
from ich_cli.core.evaluation import quick_metrics
from ich_cli.core.inference import Logits
from ich_cli.core.labels import LABELS
from ich_cli.core.training_config import TrainConfig
from ich_cli.core.training_run import TrainingRun, Watch


@dataclass(frozen=True, eq=False)
class FitResult:
    """A trained model."""

    model: nn.Module
    """The averaged weights, in eval mode, on the training's device."""
    logits: Logits
    """float32 ``(n, 6)`` of the validation rows; ``(0, 6)`` without any."""
    frozen_norms: bool = False
    """Batch norms stayed in eval mode."""
    history: list[dict[str, Any]] = field(default_factory=list)


def fit(
    config: TrainConfig,
    train: Sequence[Selection],
    validation: Selection | None,
    preprocess: PreprocessConfig,
    folder: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    watch: Watch | None = None,
) -> FitResult:
    """Train a model, with a checkpoint and a line of ``metrics.jsonl`` after each epoch.

    Parameters
    ----------
    config
        All choices.
    train
        What to learn from; an epoch sees each selection's share.
    validation
        What to measure on after each epoch; None trains without.
    preprocess
        Of the data, with the mean and std that the model shall see.
    folder
        Gets ``checkpoints`` and ``metrics.jsonl``.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    resume
        Go on from the last checkpoint: to the same weights as without the break, bit for bit on a
        CPU with the same number of threads.
    watch
        Who listens.

    Raises
    ------
    DataError
        If data sets differ in preparation, or a checkpoint is of another run.
    """
    run = TrainingRun.start(config, train, preprocess, device, watch or Watch())
    checkpoints = folder / "checkpoints"
    state = RunState(settings=_settings(config, train, preprocess))
    if resume:
        state = load_checkpoint(checkpoints, state.settings, *run.parts) or state
    else:
        forget_checkpoints(checkpoints)
    while state.epoch < config.epochs:
        loss = run.train_epoch(state)
        record: dict[str, Any] = {
            "epoch": state.epoch,
            "step": state.step,
            "loss": loss,
            "lr": run.lr(state.step),
        }
        if validation is not None:
            logits = run.predict(validation)
            record |= quick_metrics(validation.data.labels[validation.rows], logits)
        state.history.append(record)
        if run.accelerator.is_main_process:
            save_checkpoint(checkpoints, state, *run.parts)
            _write_history(folder / "metrics.jsonl", state.history)
        run.watch.epoch(record)
    empty = np.zeros((0, len(LABELS)), np.float32)
    logits = empty if validation is None else run.predict(validation, exact=True)
    return FitResult(run.ema, logits, run.frozen, state.history)


def _settings(
    config: TrainConfig, train: Sequence[Selection], preprocess: PreprocessConfig
) -> dict[str, Any]:
    """Return what must be equal for a run to be resumed, as JSON types."""
    data = [[one.data.sha256, one.share, _digest(one.rows)] for one in train]
    values = {**config.to_dict(), "data": data, "preprocess": preprocess.to_dict()}
    as_read: dict[str, Any] = json.loads(json.dumps(values))  # tuples are lists when read again
    return as_read


def _digest(rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]


def _write_history(path: Path, history: Sequence[dict[str, Any]]) -> None:
    with replacing(path) as file:
        file.write("".join(json.dumps(record) + "\n" for record in history).encode())
