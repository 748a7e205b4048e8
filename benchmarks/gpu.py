"""Cases of ``make bench`` that need a GPU. Tests run them with the CPU as the device."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import end_to_end
from benchmarks.fixtures import Subject
from benchmarks.timing import Measure, command, rates, ratio
from ich_cli.core.data import PreparedDataset
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Series
from ich_cli.core.train import Callbacks, RunState, Selection, TrainConfig, TrainingRun


def forward(predictor: Predictor, rounds: int, batches: int = 8) -> Measure:
    """Measure the forward pass alone: inputs are on the device, nothing is copied back."""
    (model, *_), (config, *_) = predictor.bundle.models, predictor.bundle.member_configs
    prep, device = config.preprocess, torch.device(predictor.device)
    shape = (predictor.batch_size, prep.channels, prep.size, prep.size)
    x = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)

    def job() -> int:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            for _ in range(batches):
                model(x)
        _wait(device)
        return batches * len(x)

    (found,) = rates({f"forward pass alone, bf16, batch {len(x)}": job}, rounds)
    return found


def training(
    device: str, rounds: int, *, model: str, size: int, batch_size: int, studies: int
) -> list[Measure]:
    """Measure an epoch on prepared phantoms against the bare step on a batch in memory."""
    with tempfile.TemporaryDirectory(prefix="ich-bench-train-") as folder:
        out = Path(folder, "prepared")
        command(
            ["-m", "ich_cli", "preprocess", "--source", "phantom", "--studies", str(studies),
             "--size", str(size), "--output", str(out), "--quiet"]
        )()  # fmt: skip
        data = PreparedDataset.open(out)
        config = TrainConfig(model=model, init="none", epochs=rounds + 1, batch_size=batch_size)
        rows = torch.arange(len(data)).numpy()
        selections = [Selection(data, rows)]
        learning = TrainingRun.start(config, selections, data.preprocess, device, Callbacks())
        state = RunState(settings={})

        def epoch() -> int:
            before = state.step
            learning.train_epoch(state, lambda _: None)
            state.epoch, state.losses = state.epoch + 1, []
            _wait(learning.accelerator.device)
            return (state.step - before) * batch_size

        jobs = {"training, an epoch": epoch, "training, bare step": _bare_step(learning, size)}
        whole, bare = rates(jobs, rounds, "images/s")
    return [whole, bare, ratio(whole, bare, "training, an epoch / bare step")]


def _bare_step(learning: TrainingRun, size: int, steps: int = 4) -> Any:
    model, optimizer = learning.model, learning.wrapped_optimizer
    device, batch = learning.accelerator.device, learning.config.batch_size
    x = torch.zeros(batch, learning.preprocess.channels, size, size, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    target = torch.zeros(batch, 6, device=device)

    def job() -> int:
        for _ in range(steps):
            with learning.accelerator.autocast():
                loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), target)
            learning.accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        _wait(device)
        return steps * batch

    return job


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def on_gpu(
    subjects: list[Subject], all_series: list[Series], rounds: int, device: str
) -> list[Measure]:
    """Run all GPU cases."""
    found: list[Measure] = []
    for subject in subjects:
        bare = forward(subject.reference, rounds)
        found.append(Measure(f"{subject.name}: {bare.name}", bare.unit, bare.values))
        found += end_to_end(subject, all_series, rounds)
    return found + training(device, rounds, model="seresnet50", size=512, batch_size=64, studies=20)
