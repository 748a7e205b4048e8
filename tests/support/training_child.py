"""A training in a process of its own, which is killed at a chosen event. Run by test_interruptions.

python -m tests.support.training_child DATA OUT EVENT
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ich_cli.core.data import PreparedDataset
from ich_cli.core.train import (
    Callbacks,
    CheckpointConfig,
    Selection,
    TrainConfig,
    checkpoints,
    trainer as training_run,
)
from ich_cli.core.train.fit import FitResult, fit

CONFIG = TrainConfig(
    model="test_resnet", init="none", epochs=3, batch_size=8, lr=3e-3, ema=0.9, drop_rate=0.3,
    accumulate=2, precision="no",
)  # fmt: skip
STEPS = 6  # an epoch: 48 slices to learn from


def train(data: PreparedDataset, out: Path, calls: Callbacks, *, resume: bool = False) -> FitResult:
    rows = np.arange(len(data), dtype=np.int64)
    half = len(data) // 2
    return fit(
        CONFIG, [Selection(data, rows[:half])], Selection(data, rows[half:]), data.preprocess, out,
        device="cpu", resume=resume, callbacks=calls,
        checkpoint=CheckpointConfig(minutes=0, steps=4),
    )  # fmt: skip


def die_at(event: str) -> Callbacks:
    """Arrange to be killed."""
    kind, _, number = event.partition(":")
    signals = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
    if kind in signals:
        return Callbacks(
            step=lambda step, *_: _send(signals[kind]) if step == int(number) else None
        )
    if kind == "write":  # the n-th file that a checkpoint sends to the disk
        _after(checkpoints, "_sync", int(number))
    if kind == "tensors":
        _after(checkpoints, "write_weights", int(number))
    if kind == "validation":
        _after(training_run, "predict_logits", int(number))
    return Callbacks()


def _after(module: Any, name: str, times: int) -> None:
    real, calls = getattr(module, name), []

    def counted(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == times:
            _send(signal.SIGKILL)
        return result

    setattr(module, name, counted)


def _send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        train(PreparedDataset.open(Path(sys.argv[1])), Path(sys.argv[2]), die_at(sys.argv[3]))
    except KeyboardInterrupt as error:
        sys.exit(f"KeyboardInterrupt: {error}")
