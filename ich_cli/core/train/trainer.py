"""The moving parts of one training: model, average, optimizer, batches; and one step of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import CellClassifier, slow_depthwise_in_float32, to_input
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import prefetch
from ich_cli.core.train.augment import (
    AugmentConfig,
    Draws,
    augment,
    draw_dlmi_pose,
    draw_pose,
    move,
)
from ich_cli.core.train.checkpoints import RunState
from ich_cli.core.train.config import TrainConfig
from ich_cli.core.train.inference import Logits, make_accelerator, predict_logits
from ich_cli.core.train.initial_weights import initialize
from ich_cli.core.train.lesion_paste import transplant
from ich_cli.core.train.mask_loss import CellLearner, MaskLearner, cell_loss, mask_loss, mask_planes
from ich_cli.core.train.sampler import Loaded, Selection, SliceDataset
from ich_cli.core.train.throughput import Pace

POS_WEIGHT_LIMIT: Final = 30.0
"""Beyond this a handful of positives would outshout all the rest."""


@dataclass
class Watch:
    """What a caller wants to hear of a run. The defaults listen to nothing."""

    step: Callable[[int, int, float], None] = lambda step, steps, loss: None
    """After each step: steps done, steps in all, its loss."""
    epoch: Callable[[dict[str, Any]], None] = lambda record: None
    """After each epoch: its line of ``metrics.jsonl``."""
    note: Callable[[str], None] = lambda text: None
    """Something worth telling a person."""


def positive_weights(labels: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """Return the loss's weight of positives, float32 ``(6,)``.

    ``ratio`` is negatives / positives, ``full`` the same between 1 and 30, ``sqrt`` its root,
    between 1 and 30, too; a label that never occurs keeps 1.
    """
    positive = labels.sum(axis=0)
    ratio = np.where(positive > 0, (len(labels) - positive) / np.maximum(positive, 1), 1.0)
    if how == "ratio":
        return ratio.astype(np.float32)
    powered = ratio ** {"none": 0.0, "sqrt": 0.5, "full": 1.0}[how]
    return np.clip(powered, 1.0, POS_WEIGHT_LIMIT).astype(np.float32)


@dataclass
class TrainingRun:
    """The moving parts of one training."""

    config: TrainConfig
    preprocess: PreprocessConfig
    accelerator: Any
    raw: nn.Module
    """The backbone."""
    learner: nn.Module
    """`raw`, or around it what learns from masks as well."""
    model: nn.Module
    """`learner`, wrapped for autocast and several processes."""
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    wrapped: Any
    """`optimizer`, wrapped."""
    slices: SliceDataset
    pos_weight: Tensor
    frozen: bool
    origin: str
    """Where the initial weights come from."""
    watch: Watch
    pace: Pace = field(default_factory=Pace)

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        train: Sequence[Selection],
        preprocess: PreprocessConfig,
        device: str,
        watch: Watch,
    ) -> TrainingRun:
        """Build everything from the seed."""
        accelerator = make_accelerator(device, config.precision)
        _check_split(config, accelerator.num_processes)
        torch.manual_seed(config.seed)
        start = initialize(config, preprocess.channels, watch.note)
        raw = start.model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if accelerator.device.type == "cpu":
            slow_depthwise_in_float32(raw)
        ema = copy.deepcopy(raw).eval().requires_grad_(False)
        slices = SliceDataset(train, with_masks=_needs_masks(config))
        learner = _learner(raw, config, slices).to(accelerator.device)
        optimizer = _optimizer(learner, config)
        model, wrapped = accelerator.prepare(learner, optimizer)
        weight = torch.from_numpy(positive_weights(slices.labels, config.pos_weight))
        return cls(
            config=config,
            preprocess=preprocess,
            accelerator=accelerator,
            raw=raw,
            learner=learner,
            model=model,
            ema=ema,
            optimizer=optimizer,
            wrapped=wrapped,
            slices=slices,
            pos_weight=weight.to(accelerator.device),
            frozen=config.freeze_norms == "yes" or (config.freeze_norms == "auto" and start.folded),
            origin=start.origin,
            watch=watch,
        )

    @property
    def parts(self) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
        """Return what a checkpoint holds."""
        return self.learner, self.ema, self.optimizer

    @cached_property
    def steps(self) -> int:
        """Return the steps of the whole run."""
        return len(self._batches(0)) * self.config.epochs

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        config = self.config
        return self.slices.epoch(config.batch_size, config.seed, epoch, config.positives)

    def lr(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then half a cosine, or steps."""
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
        """Take the steps of an epoch that are not done yet; all they need follows the step."""
        self.model.train()
        if self.frozen:
            for module in self.raw.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        todo = self._batches(state.epoch)[len(state.losses) :]
        mine = [indices[rank::world].tolist() for indices in todo]
        self.pace = Pace()
        # one batch is read while the model works on another; the order is that of the steps
        with closing(prefetch(self.slices.read, mine, workers=1, ahead=2)) as reading:
            for indices, loaded in zip(todo, self.pace.waiting_for(reading), strict=True):
                state.losses.append(self._step(loaded, state.step))
                self.pace.done(len(indices))
                state.step += 1
                self.watch.step(state.step, self.steps, state.losses[-1])
                after_step(state)

    def timing(self) -> dict[str, float]:
        """Return the pace of the epoch's steps that this run took; of the slowest loader."""
        found = self.pace.measured()
        if not found:
            return {}
        device = self.accelerator.device
        share = torch.tensor([found["loading_share"]], dtype=torch.float32, device=device)
        return {**found, "loading_share": round(float(self.accelerator.gather(share).max()), 4)}

    def _step(self, loaded: Loaded, step: int) -> float:
        accelerator = self.accelerator
        torch.manual_seed(self.config.seed * 100_003 + step)  # dropout, after a resume too
        x, labels, masks = self._batch(loaded, step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(step)
        total = torch.zeros((), device=accelerator.device)
        parts = torch.arange(len(x)).chunk(self.config.accumulate)
        for part in parts:
            last = part is parts[-1]  # processes exchange their gradients with the last part only
            with nullcontext() if last else accelerator.no_sync(self.model):
                loss = self._part_loss(
                    x[part], labels[part], None if masks is None else masks[part]
                )
                loss = loss * (len(part) / len(x))
                accelerator.backward(loss)
            total += loss.detach()
        if self.config.grad_clip:
            accelerator.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.wrapped.step()
        self.wrapped.zero_grad()
        self._average(step)
        return float(accelerator.reduce(total, "mean"))

    def _part_loss(self, x: Tensor, labels: Tensor, masks: Tensor | None) -> Tensor:
        if masks is None:
            return self._loss(self.model(x), labels)
        logits, maps = self.model(x)
        cells = isinstance(self.raw, CellClassifier)
        located = cell_loss(maps[0], masks) if cells else mask_loss(maps, masks)
        return self._loss(logits, labels) + self.config.mask_weight * located

    def any_process(self, asked: bool) -> bool:
        """Tell whether any of the processes says so; all must act alike."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def scaler_state(self) -> dict[str, Any]:
        """Return the state of fp16's loss scaling, plain JSON types; empty without."""
        scaler = self.accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def load_scaler(self, state: dict[str, Any]) -> None:
        """Take up what `scaler_state` gave."""
        if state and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state)

    def _batch(self, loaded: Loaded, step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return a step's input, labels and, where they are learned from, masks."""
        config, device = self.config, self.accelerator.device
        pixels, labels = loaded[0].to(device), loaded[1].to(device)
        draws = self._draws(step)
        how = AugmentConfig.of_strength(config.augmentation)
        widths = [window.width for window in self.preprocess.windows]
        if config.augmentations == "dlmi":
            moved = move(pixels.float(), draw_dlmi_pose(len(pixels), draws), "border")
            return self._scale(moved), labels, None
        if loaded[2] is None:
            x = augment(pixels, how, widths, draws)
            return self._scale(x), labels, None
        masks = loaded[2].to(device)
        if config.transplants:
            batch = pixels, labels, masks
            windows = self.preprocess.windows
            pixels, labels, masks = transplant(batch, config.transplants, windows, draws.generator)
        pose = draw_pose(len(pixels), how, draws)
        x = self._scale(augment(pixels, how, widths, draws, pose))
        planes = move(mask_planes(masks), pose) if config.mask_weight else None
        return x, labels, planes

    def _scale(self, pixels: Tensor) -> Tensor:
        return to_input(pixels, self.preprocess.mean, self.preprocess.std)

    def _draws(self, step: int) -> Draws:
        generator = torch.Generator(device=self.accelerator.device)
        generator.manual_seed(self.config.seed * 1_000_003 + step)
        return Draws(generator, self.accelerator.process_index, self.accelerator.num_processes)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = torch.tensor(self.config.label_weights, device=logits.device)
        each = functional.binary_cross_entropy_with_logits(
            logits.float(), labels, pos_weight=self.pos_weight, reduction="none"
        )
        return (each.mean(0) * weights).sum() / weights.sum()

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the averaged weights; young averages move faster, or the start would linger."""
        decay = min(self.config.ema, (1 + step) / (10 + step)) if self.config.ema else 0.0
        for kept, new in zip(
            self.ema.state_dict().values(), self.raw.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)

    def predict(self, selection: Selection, *, exact: bool = False) -> Logits:
        """Return the averaged model's logits; each process does its share.

        `exact` computes in float32, as `ich predict` does: what calibration is learned from.
        """
        from accelerate.utils import gather_object

        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        if world > 1:  # each process has counted its own batches: all take the first one's
            for counted in self.ema.buffers():
                torch.distributed.broadcast(counted, 0)
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


def _check_split(config: TrainConfig, processes: int) -> None:
    if config.batch_size % processes:
        raise UsageError(f"--batch-size {config.batch_size} does not go into {processes} processes")


def _optimizer(learner: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(learner.parameters(), config.lr, weight_decay=config.weight_decay)
    groups = param_groups_weight_decay(learner, config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr)


def _needs_masks(config: TrainConfig) -> bool:
    return config.mask_weight > 0 or config.transplants > 0


def _learner(raw: nn.Module, config: TrainConfig, slices: SliceDataset) -> nn.Module:
    if _needs_masks(config) and all(one.data.masks is None for one in slices.selections):
        raise DataError(
            "nobody knows where these slices bleed; leave out --mask-weight and --transplants, or "
            "prepare phantoms, or CT-ICH with its boxes.csv"
        )
    if not config.mask_weight:
        return raw
    return CellLearner(raw) if isinstance(raw, CellClassifier) else MaskLearner(raw)
