"""All choices of a training run in one frozen object; saved with the run, so that it can resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.system import require, require_choices, require_keys

PosWeight = Literal["none", "sqrt", "full", "ratio"]
Optimizer = Literal["adamw", "adam"]
Schedule = Literal["cosine", "step"]
Augmentations = Literal["ct", "dlmi"]
Precision = Literal["auto", "no", "bf16", "fp16"]
Head = Literal["linear", "cells"]
FreezeNorms = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The data and the split are named apart."""

    model: str = "mobilenetv2"
    """timm's name or an alias."""
    head: Head = "linear"
    """``linear``: the mean of the features, classified; ``cells``: cells classified, then pooled
    (see `CellClassifier`): for slices of which it is known where they bleed."""
    init: str = "imagenet"
    """``none``, ``imagenet`` (from the Hub), a safetensors file, or a bundle."""
    epochs: int = 10
    batch_size: int = 32
    """Slices a step, over all processes and accumulated parts together."""
    accumulate: int = 1
    """Parts, one after the other, into which each process cuts its slices of a step."""
    optimizer: Optimizer = "adamw"
    schedule: Schedule = "cosine"
    """``cosine``, after the warm-up; ``step``: times `step_factor` every `step_epochs`."""
    step_epochs: int = 50
    step_factor: float = 0.412
    lr: float = 5e-4
    """Peak learning rate, after the warm-up."""
    weight_decay: float = 0.02
    """On matrices and kernels; biases and batch norms are left alone."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate rises from 0; then a cosine to 0."""
    drop_rate: float = 0.2
    """Dropout before the classifier."""
    label_weights: tuple[float, ...] = (2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """Weight of each label in the loss; RSNA 2019 counts `any` twice."""
    pos_weight: PosWeight = "none"
    """Weight of positives: none, negatives / positives (``ratio``), that between 1 and 30
    (``full``), or its root (``sqrt``). Calibration undoes it."""
    positives: float = 0.4
    """Share of an epoch's slices that have `any`; 0 takes slices as they come."""
    ema: float = 0.99
    """Decay of the averaged weights, which are the ones kept; 0 keeps the last ones."""
    mask_weight: float = 0.0
    """Weight of the loss on where it bleeds, beside that of the labels (1); 0: off."""
    transplants: float = 0.0
    """Share of the slices without blood that get another's, or healthy tissue in its shape."""
    augmentation: float = 1.0
    """Strength; 0 leaves left and right only."""
    augmentations: Augmentations = "ct"
    """Which: for CT, or those of the ``dlmi`` recipe, which have no strength."""
    flip_test: bool = False
    """Validate on the mean logit of a slice and its mirror image. `ich predict` does not do that,
    so a calibration learned with it does not quite fit the bundle."""
    freeze_norms: FreezeNorms = "auto"
    """Batch norms stay in eval mode; ``auto``: where the initial weights have them folded."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; 0 sets no bound."""
    precision: Precision = "auto"
    """Of autocast; ``auto``: bf16 on GPUs that have it and on CPUs with AMX, else none."""
    seed: int = 0
    """Decides folds, order, augmentation and initial weights."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label_weights", tuple(float(w) for w in self.label_weights))
        require_choices(self)
        require(self.epochs >= 1, "epochs must be at least 1")
        require(self.batch_size >= 1, "the batch size must be at least 1")
        require(
            1 <= self.accumulate <= self.batch_size, "a batch has 1 … its size accumulated parts"
        )
        require(
            self.step_epochs >= 1 and self.step_factor > 0,
            "the learning rate steps every 1 or more epochs, by a positive factor",
        )
        require(self.lr > 0, "the learning rate must be positive")
        require(self.weight_decay >= 0, "weight decay must not be negative")
        require(0 <= self.warmup < 1, "the warm-up is a share of the steps, 0 … 1")
        require(0 <= self.drop_rate < 1, "the dropout rate lies in 0 … 1")
        require(0 <= self.positives < 1, "the share of positives lies in 0 … 1")
        require(0 <= self.mask_weight <= 100, "the weight of masks lies in 0 … 100")
        require(0 <= self.transplants <= 1, "the share of transplants lies in 0 … 1")
        require(0 <= self.ema < 1, "the EMA's decay lies in 0 … 1")
        require(self.grad_clip >= 0, "the gradient's bound must not be negative")
        require(self.seed >= 0, "the seed must not be negative")
        require(
            len(self.label_weights) == len(LABELS)
            and min(self.label_weights) >= 0
            and sum(self.label_weights) > 0,
            f"label weights are {len(LABELS)} numbers of at least 0, one of them above",
        )
        require(
            self.augmentations != "dlmi" or not (self.mask_weight or self.transplants),
            "the recipe dlmi knows no masks: leave out --mask-weight and --transplants",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "label_weights": list(self.label_weights)}

    @property
    def model_args(self) -> dict[str, Any]:
        """Return what a bundle must know besides the backbone's name."""
        return {} if self.head == "linear" else {"head": self.head}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Read what `to_dict` wrote; unknown keys and wrong types raise UsageError."""
        known = [f.name for f in fields(cls)]
        require_keys(values, (), known, "training.", UsageError)
        try:
            return cls(**values)
        except TypeError as error:
            raise UsageError(f"training settings do not parse: {error}") from None


RECIPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "dlmi": {
        "batch_size": 48, "optimizer": "adam", "lr": 5e-5, "weight_decay": 0.0, "warmup": 0.0,
        "schedule": "step", "step_epochs": 50, "step_factor": 0.412, "drop_rate": 0.0,
        "label_weights": (1.0,) * 6, "pos_weight": "ratio", "positives": 0.0, "ema": 0.0,
        "grad_clip": 0.0, "augmentations": "dlmi",
    },
}  # fmt: skip
"""Settings that belong together. ``dlmi``: the midterm project that this one descends from."""
