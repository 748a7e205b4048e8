"""Training of one model on CPU, one GPU or several, with checkpoints and an event log."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ich_cli.core.evaluate import quick_metrics
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import Stop, replacing, stoppable
from ich_cli.core.train.batches import Logits
from ich_cli.core.train.checkpoints import (
    RunState,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from ich_cli.core.train.config import CheckpointConfig, TrainConfig
from ich_cli.core.train.dataset import Selection
from ich_cli.core.train.monitoring import Callbacks, EventLog
from ich_cli.core.train.trainer import TrainingRun


@dataclass(frozen=True, eq=False)
class FitResult:
    """A trained model."""

    model: nn.Module
    """The averaged weights, in eval mode, on the training's device."""
    logits: Logits
    """float32 ``(n, 6)`` of the validation rows; ``(0, 6)`` without validation."""
    frozen_norms: bool = False
    """True where batch norms stayed in eval mode."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Metrics of each epoch."""
    origin: str = "none"
    """Source of the initial weights."""


def fit(
    config: TrainConfig,
    train: Sequence[Selection],
    validation: Selection | None,
    preprocess: PreprocessConfig,
    folder: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    callbacks: Callbacks | None = None,
    checkpoint: CheckpointConfig | None = None,
) -> FitResult:
    """Train a model; write checkpoints and a line of ``metrics.jsonl`` per epoch.

    Parameters
    ----------
    config
        Settings of the training.
    train
        Slices to train on; an epoch samples each selection by its share.
    validation
        Slices to evaluate after each epoch; None trains without validation.
    preprocess
        Preprocessing of the data, with the mean and std of the model input.
    folder
        Output folder of ``checkpoints``, ``metrics.jsonl`` and ``tensorboard``.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    resume
        Continue from the last checkpoint. On a CPU with the same number of threads the weights
        are bit for bit those of an uninterrupted training.
    callbacks
        Functions called after steps and epochs.
    checkpoint
        Interval between checkpoints.

    Raises
    ------
    DataError
        If data sets differ in preparation, or a checkpoint belongs to another run.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, once the step is done and a checkpoint written.
    """
    run = TrainingRun.start(config, train, preprocess, device, callbacks or Callbacks())
    checkpoints = _CheckpointWriter(run, folder, checkpoint or CheckpointConfig())
    state = RunState(settings=_settings(config, train, preprocess))
    if resume:
        state = checkpoints.load(state.settings) or state
    else:
        remove_checkpoints(checkpoints.folder)
    log_folder = folder / "tensorboard" if run.accelerator.is_main_process else None
    with stoppable() as stop, closing(EventLog(log_folder, state.history)) as events:
        while state.epoch < config.epochs:
            run.train_epoch(state, lambda state: checkpoints.after_step(state, stop))
            _finish_epoch(run, state, validation)
            checkpoints.save(state)
            events.add(state.history[-1])
    empty = np.zeros((0, len(LABELS)), np.float32)
    logits = empty if validation is None else run.predict(validation, exact=True)
    return FitResult(run.ema, logits, run.frozen, state.history, run.origin)


def _finish_epoch(run: TrainingRun, state: RunState, validation: Selection | None) -> None:
    """Evaluate, and add the epoch to the history."""
    record: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "step": state.step,
        "loss": float(np.mean(state.losses)),
        "lr": run.lr(state.step),
        **run.timing(),
    }
    if validation is not None:
        logits = run.predict(validation)
        record |= quick_metrics(validation.data.labels[validation.rows], logits)
    state.history.append(record)
    state.epoch, state.losses = state.epoch + 1, []
    run.callbacks.epoch(record)


class _CheckpointWriter:
    """Writer of a run's checkpoints at their interval."""

    def __init__(self, run: TrainingRun, folder: Path, config: CheckpointConfig) -> None:
        self.run, self.config = run, config
        self.folder, self.metrics = folder / "checkpoints", folder / "metrics.jsonl"
        self.saved_at = time.monotonic()

    def load(self, settings: dict[str, Any]) -> RunState | None:
        state = load_checkpoint(self.folder, settings, *self.run.parts, self.run.callbacks.note)
        if state is not None:
            self.run.load_scaler(state.scaler)
        return state

    def save(self, state: RunState) -> None:
        state.scaler = self.run.scaler_state()
        if self.run.accelerator.is_main_process:
            save_checkpoint(self.folder, state, *self.run.parts)
            _write_history(self.metrics, state.history)
        self.saved_at = time.monotonic()

    def after_step(self, state: RunState, stop: Stop) -> None:
        """Write a checkpoint if one is due; raise if a stop was requested."""
        stopping = self.run.any_process(stop.requested)
        elapsed = time.monotonic() - self.saved_at
        due = self.config.minutes and elapsed >= 60 * self.config.minutes
        if stopping or due or (self.config.steps and state.step % self.config.steps == 0):
            self.save(state)
        if stopping:
            raise stop.error(
                f"stopped; {state.step} of {self.run.steps} steps are saved: "
                "continue with the same command and --resume"
            )


def _settings(
    config: TrainConfig, train: Sequence[Selection], preprocess: PreprocessConfig
) -> dict[str, Any]:
    """Return the settings that a resumed run must share, as JSON types."""
    data = [[one.data.sha256, one.share, _digest(one.rows)] for one in train]
    values = {**config.to_dict(), "data": data, "preprocess": preprocess.to_dict()}
    as_read: dict[str, Any] = json.loads(json.dumps(values))  # tuples are lists when read again
    return as_read


def _digest(rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]


def _write_history(path: Path, history: Sequence[dict[str, Any]]) -> None:
    with replacing(path) as file:
        file.write("".join(json.dumps(record) + "\n" for record in history).encode())
