"""Train one model: one loop on accelerate, the same on a laptop's CPU and on many GPUs."""

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

from ich_cli.core.errors import UsageError
from ich_cli.core.evaluate import quick_metrics
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import Stop, replacing, stoppable
from ich_cli.core.train.checkpoints import (
    RunState,
    forget_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from ich_cli.core.train.config import TrainConfig
from ich_cli.core.train.inference import Logits
from ich_cli.core.train.sampler import Selection
from ich_cli.core.train.trainer import TrainingRun, Watch
from ich_cli.core.train.training_curves import EventLog


@dataclass(frozen=True)
class CheckpointConfig:
    """How often the state is written, besides after each epoch and when asked to stop."""

    minutes: float = 10.0
    """0: not by time."""
    steps: int = 0
    """0: not by steps."""

    def __post_init__(self) -> None:
        if self.minutes < 0 or self.steps < 0:
            raise UsageError("checkpoints are some minutes or steps apart, not less than 0")


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
    origin: str = "none"
    """Where the initial weights came from."""


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
    checkpoint: CheckpointConfig | None = None,
) -> FitResult:
    """Train a model, with checkpoints on the way and a line of ``metrics.jsonl`` an epoch.

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
    checkpoint
        How often the state is written.

    Raises
    ------
    DataError
        If data sets differ in preparation, or a checkpoint is of another run.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when the step is done and the state written.
    """
    run = TrainingRun.start(config, train, preprocess, device, watch or Watch())
    keeper = _Keeper(run, folder, checkpoint or CheckpointConfig())
    state = RunState(settings=_settings(config, train, preprocess))
    if resume:
        state = keeper.load(state.settings) or state
    else:
        forget_checkpoints(keeper.folder)
    with stoppable() as stop, closing(_Events(run, folder, state)) as events:
        while state.epoch < config.epochs:
            run.train_epoch(state, lambda state: keeper.after_step(state, stop))
            _finish_epoch(run, state, validation)
            keeper.save(state)
            events.add(state.history[-1])
    empty = np.zeros((0, len(LABELS)), np.float32)
    logits = empty if validation is None else run.predict(validation, exact=True)
    return FitResult(run.ema, logits, run.frozen, state.history, run.origin)


def _finish_epoch(run: TrainingRun, state: RunState, validation: Selection | None) -> None:
    """Measure, and enter the epoch into the history."""
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
    run.watch.epoch(record)


class _Events:
    """TensorBoard's files, of the process that writes."""

    def __init__(self, run: TrainingRun, folder: Path, state: RunState) -> None:
        main = run.accelerator.is_main_process
        self._log = EventLog(folder / "tensorboard", state.history) if main else None

    def add(self, record: dict[str, Any]) -> None:
        if self._log:
            self._log.add(record)

    def close(self) -> None:
        if self._log:
            self._log.close()


class _Keeper:
    """Writes the state of a run when it is time."""

    def __init__(self, run: TrainingRun, folder: Path, how: CheckpointConfig) -> None:
        self.run, self.how = run, how
        self.folder, self.metrics = folder / "checkpoints", folder / "metrics.jsonl"
        self.saved_at = time.monotonic()

    def load(self, settings: dict[str, Any]) -> RunState | None:
        state = load_checkpoint(self.folder, settings, *self.run.parts, self.run.watch.note)
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
        """Write where it is due; where somebody asked to stop, say what is kept."""
        asked = self.run.any_process(stop.requested)
        elapsed = time.monotonic() - self.saved_at
        due = self.how.minutes and elapsed >= 60 * self.how.minutes
        if asked or due or (self.how.steps and state.step % self.how.steps == 0):
            self.save(state)
        if asked:
            raise stop.error(
                f"stopped; {state.step} of {self.run.steps} steps are kept: "
                "the same command with --resume goes on"
            )


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
