"""The moving parts of one training: model, average, optimizer, batches; and one step of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.augment import AugmentConfig, augment, draw_pose, move
from ich_cli.core.batches import Selection, SliceDataset
from ich_cli.core.cells import CellClassifier
from ich_cli.core.checkpoints import RunState
from ich_cli.core.config import PreprocessConfig
from ich_cli.core.errors import DataError
from ich_cli.core.inference import Logits, make_accelerator, predict_logits, to_input
from ich_cli.core.initial import initialize
from ich_cli.core.labels import LABELS
from ich_cli.core.mask_learner import CellLearner, MaskLearner, mask_loss, mask_planes
from ich_cli.core.training_config import TrainConfig
from ich_cli.core.transplant import transplant

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

    ``full`` is negatives / positives, ``sqrt`` its root, both between 1 and 30; a label that never
    occurs keeps 1.
    """
    positive = labels.sum(axis=0)
    ratio = np.where(positive > 0, (len(labels) - positive) / np.maximum(positive, 1), 1.0)
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
    watch: Watch

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
        torch.manual_seed(config.seed)
        raw, folded = initialize(config, preprocess.channels, watch.note)
        raw = raw.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        ema = copy.deepcopy(raw).eval().requires_grad_(False)
        slices = SliceDataset(train)
        learner = _learner(raw, config, slices).to(accelerator.device)
        groups = param_groups_weight_decay(learner, config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.lr)
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
            frozen=config.freeze_norms == "yes" or (config.freeze_norms == "auto" and folded),
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
        """Return the learning rate of a step: a linear warm-up, then half a cosine."""
        warm = max(1, round(self.config.warmup * self.steps))
        if step < warm:
            return self.config.lr * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def train_epoch(self, state: RunState) -> float:
        """Take an epoch's steps and return their mean loss."""
        torch.manual_seed(self.config.seed * 100_003 + state.epoch)  # dropout, after a resume too
        self.model.train()
        if self.frozen:
            for module in self.raw.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        losses, total = [], self.steps
        for indices in self._batches(state.epoch):
            losses.append(self._step(indices, state.step))
            state.step += 1
            self.watch.step(state.step, total, losses[-1])
        state.epoch += 1
        return float(np.mean(losses))

    def _step(self, indices: NDArray[np.int64], step: int) -> float:
        accelerator = self.accelerator
        mine = indices[accelerator.process_index :: accelerator.num_processes]
        x, labels, masks = self._batch(mine.tolist(), step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(step)
        if masks is None:
            loss = self._loss(self.model(x), labels)
        else:
            logits, maps = self.model(x)
            loss = self._loss(logits, labels) + self.config.mask_weight * mask_loss(maps, masks)
        accelerator.backward(loss)
        if self.config.grad_clip:
            accelerator.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.wrapped.step()
        self.wrapped.zero_grad()
        self._average(step)
        return float(loss.detach())

    def _batch(self, indices: list[int], step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return a step's input, labels and, where they are learned from, masks."""
        config, device = self.config, self.accelerator.device
        pixels, labels = (x.to(device) for x in self.slices.__getitems__(indices))
        generator = torch.Generator(device=device)
        rank = self.accelerator.process_index
        generator.manual_seed((config.seed * 1_000_003 + step) * 1009 + rank)
        how = AugmentConfig.of_strength(config.augmentation)
        widths = [window.width for window in self.preprocess.windows]
        if not _needs_masks(config):
            x = augment(pixels, how, widths, generator)
            return to_input(x, self.preprocess), labels, None
        masks = self.slices.masks(indices).to(device)
        if config.transplants:
            batch = pixels, labels, masks
            windows = self.preprocess.windows
            pixels, labels, masks = transplant(batch, config.transplants, windows, generator)
        pose = draw_pose(len(pixels), how, generator)
        x = to_input(augment(pixels, how, widths, generator, pose), self.preprocess)
        planes = move(mask_planes(masks), pose) if config.mask_weight else None
        return x, labels, planes

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
