"""Training loop of one epoch: steps, learning rate, weight averaging, prediction."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import PatchClassifier, keep_slow_depthwise_in_float32
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import prefetch
from ich_cli.core.train.augment import Draws
from ich_cli.core.train.batches import Logits, predict_logits, training_batch
from ich_cli.core.train.checkpoints import RunState
from ich_cli.core.train.config import TrainConfig
from ich_cli.core.train.dataset import Loaded, Selection, SliceDataset
from ich_cli.core.train.losses import label_loss, mask_loss, patch_mask_loss, positive_weights
from ich_cli.core.train.monitoring import Callbacks, Throughput
from ich_cli.core.train.setup import (
    add_mask_outputs,
    build_initial_model,
    make_accelerator,
    make_optimizer,
    uses_masks,
)


@dataclass
class TrainingRun:
    """Model, optimizer and data of one training."""

    config: TrainConfig
    preprocess: PreprocessConfig
    accelerator: Any
    network: nn.Module
    """Network that the bundle keeps."""
    supervised: nn.Module
    """`network`, with map outputs where the loss on masks is on."""
    model: nn.Module
    """`supervised`, wrapped for autocast and several processes."""
    ema: nn.Module
    """Copy of `network` with averaged weights."""
    optimizer: torch.optim.Optimizer
    wrapped_optimizer: Any
    """`optimizer`, wrapped for loss scaling."""
    slices: SliceDataset
    pos_weight: Tensor
    frozen: bool
    """True where batch norms stay in eval mode."""
    origin: str
    """Source of the initial weights."""
    callbacks: Callbacks
    throughput: Throughput = field(default_factory=Throughput)

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        train: Sequence[Selection],
        preprocess: PreprocessConfig,
        device: str,
        callbacks: Callbacks,
    ) -> TrainingRun:
        """Build model, optimizer and data set from the seed."""
        accelerator = make_accelerator(device, config.precision)
        if config.batch_size % accelerator.num_processes:
            raise UsageError(
                f"--batch-size {config.batch_size} is not divisible by "
                f"{accelerator.num_processes} processes"
            )
        torch.manual_seed(config.seed)
        start = build_initial_model(config, preprocess.channels, callbacks.note)
        network = start.model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if accelerator.device.type == "cpu":
            keep_slow_depthwise_in_float32(network)
        ema = copy.deepcopy(network).eval().requires_grad_(False)
        slices = SliceDataset(train, with_masks=uses_masks(config))
        supervised = add_mask_outputs(network, config, train).to(accelerator.device)
        optimizer = make_optimizer(supervised, config)
        model, wrapped_optimizer = accelerator.prepare(supervised, optimizer)
        weight = torch.from_numpy(positive_weights(slices.labels, config.pos_weight))
        return cls(
            config=config,
            preprocess=preprocess,
            accelerator=accelerator,
            network=network,
            supervised=supervised,
            model=model,
            ema=ema,
            optimizer=optimizer,
            wrapped_optimizer=wrapped_optimizer,
            slices=slices,
            pos_weight=weight.to(accelerator.device),
            frozen=config.freeze_norms == "yes" or (config.freeze_norms == "auto" and start.folded),
            origin=start.origin,
            callbacks=callbacks,
        )

    @property
    def parts(self) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
        """Model, averaged model and optimizer, as a checkpoint stores them."""
        return self.supervised, self.ema, self.optimizer

    @cached_property
    def steps(self) -> int:
        """Number of steps of the whole run."""
        return len(self._batches(0)) * self.config.epochs

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        config = self.config
        return self.slices.epoch(config.batch_size, config.seed, epoch, config.positive_fraction)

    def lr(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then half a cosine, or steps."""
        config = self.config
        warm = max(1, round(config.warmup * self.steps))
        if step < warm:
            return config.lr * (step + 1) / warm
        if config.schedule == "step":
            epoch = step * config.epochs // self.steps
            return config.lr * config.step_factor ** (epoch // config.step_epochs)
        done = (step - warm) / max(1, self.steps - warm)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def train_epoch(self, state: RunState, after_step: Callable[[RunState], None]) -> None:
        """Run the remaining steps of an epoch; all randomness depends on the step alone."""
        self.model.train()
        if self.frozen:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        todo = self._batches(state.epoch)[len(state.losses) :]
        mine = [indices[rank::world].tolist() for indices in todo]
        self.throughput = Throughput()
        # a thread reads the next batch while the model works on this one, in the order of steps
        with closing(prefetch(self.slices.read, mine, workers=1, ahead=2)) as reading:
            for indices, loaded in zip(todo, self.throughput.waiting_for(reading), strict=True):
                state.losses.append(self._step(loaded, state.step))
                self.throughput.done(len(indices))
                state.step += 1
                self.callbacks.step(state.step, self.steps, state.losses[-1])
                after_step(state)

    def timing(self) -> dict[str, float]:
        """Return the throughput of this run's steps of the epoch, with the slowest loader."""
        found = self.throughput.measured()
        if not found:
            return {}
        device = self.accelerator.device
        share = torch.tensor([found["loading_share"]], dtype=torch.float32, device=device)
        return {**found, "loading_share": round(float(self.accelerator.gather(share).max()), 4)}

    def _step(self, loaded: Loaded, step: int) -> float:
        accelerator = self.accelerator
        torch.manual_seed(self.config.seed * 100_003 + step)  # dropout, also after a resume
        x, labels, masks = training_batch(loaded, self.config, self.preprocess, self._draws(step))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(step)
        total = torch.zeros((), device=accelerator.device)
        parts = torch.arange(len(x)).chunk(self.config.accumulate)
        for part in parts:
            last = part is parts[-1]  # processes exchange gradients with the last part only
            with nullcontext() if last else accelerator.no_sync(self.model):
                loss = self._loss(x[part], labels[part], None if masks is None else masks[part])
                loss = loss * (len(part) / len(x))
                accelerator.backward(loss)
            total += loss.detach()
        if self.config.grad_clip:
            accelerator.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.wrapped_optimizer.step()
        self.wrapped_optimizer.zero_grad()
        self._update_average(step)
        return float(accelerator.reduce(total, "mean"))

    def _draws(self, step: int) -> Draws:
        generator = torch.Generator(device=self.accelerator.device)
        generator.manual_seed(self.config.seed * 1_000_003 + step)
        return Draws(generator, self.accelerator.process_index, self.accelerator.num_processes)

    def _loss(self, x: Tensor, labels: Tensor, masks: Tensor | None) -> Tensor:
        weights = torch.tensor(self.config.label_weights, device=x.device)
        if masks is None:
            return label_loss(self.model(x), labels, weights, self.pos_weight)
        logits, maps = self.model(x)
        patches = isinstance(self.network, PatchClassifier)
        located = patch_mask_loss(maps[0], masks) if patches else mask_loss(maps, masks)
        on_labels = label_loss(logits, labels, weights, self.pos_weight)
        return on_labels + self.config.mask_weight * located

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        """Update the averaged weights; the decay rises from 0.1 so that the start fades."""
        decay = min(self.config.ema, (1 + step) / (10 + step)) if self.config.ema else 0.0
        for kept, new in zip(
            self.ema.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)

    def any_process(self, flag: bool) -> bool:
        """Return True on all processes where the flag is True on any of them."""
        if self.accelerator.num_processes == 1:
            return flag
        value = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(value, "sum") > 0)

    def scaler_state(self) -> dict[str, Any]:
        """Return the state of fp16's loss scaling as plain JSON types; empty without it."""
        scaler = self.accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def load_scaler(self, state: dict[str, Any]) -> None:
        """Restore the state that `scaler_state` returned."""
        if state and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state)

    def predict(self, selection: Selection, *, exact: bool = False) -> Logits:
        """Return the averaged model's logits, float32 ``(n, 6)``; each process computes a part.

        `exact` computes in float32, as `ich predict` does, for the calibration.
        """
        from accelerate.utils import gather_object

        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        if world > 1:  # batch-norm statistics differ between processes: use those of the first
            for buffer in self.ema.buffers():
                torch.distributed.broadcast(buffer, 0)
        mine = predict_logits(
            self.ema,
            replace(selection, rows=selection.rows[rank::world]),
            self.preprocess,
            batch_size=self.config.batch_size,
            flip=self.config.flip_test,
            autocast=None if exact else self.accelerator.autocast,
        )
        out = np.empty((selection.rows.size, len(LABELS)), np.float32)
        for r, part in enumerate(gather_object([mine])):
            out[r::world] = part
        return out
