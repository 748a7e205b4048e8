"""Settings of one training: a frozen dataclass that also defines the options of ``ich train``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.system import require, require_choices, require_intervals, require_keys, setting

PosWeight = Literal["none", "sqrt", "full", "ratio"]
Optimizer = Literal["adamw", "adam"]
Schedule = Literal["cosine", "step"]
Augmentations = Literal["ct", "dlmi"]
Precision = Literal["auto", "no", "bf16", "fp16"]
Head = Literal["linear", "patch"]
FreezeNorms = Literal["auto", "yes", "no"]

OPTIMIZATION: Final = "Optimization"
LOSS: Final = "Loss"
SAMPLING: Final = "Sampling and augmentation"


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training, without the data and the split."""

    model: str = setting("mobilenetv2", "timm model name or alias.")
    head: Head = setting(
        "linear",
        "linear: classify the mean feature; patch: classify patches, then pool them "
        "(multiple-instance learning); best with --mask-weight.",
    )
    init: str = "imagenet"
    """``none``, ``imagenet`` (from the Hub), a safetensors file, or a bundle."""
    epochs: int = setting(10, "Number of epochs.", "[1, inf)")
    batch_size: int = setting(
        32, "Slices per step, over all processes and accumulated parts.", "[1, inf)", OPTIMIZATION
    )
    accumulate: int = setting(
        1, "Parts per step for gradient accumulation; saves memory.", "[1, inf)", OPTIMIZATION
    )
    optimizer: Optimizer = "adamw"
    schedule: Schedule = "cosine"
    """``cosine``, after the warm-up; ``step``: times `step_factor` every `step_epochs`."""
    step_epochs: int = 50
    step_factor: float = 0.412
    lr: float = setting(5e-4, "Peak learning rate, after the warm-up.", "(0, inf)", OPTIMIZATION)
    weight_decay: float = setting(
        0.02, "Weight decay; none for biases and norms.", "[0, inf)", OPTIMIZATION
    )
    warmup: float = setting(
        0.1, "Fraction of all steps with a rising learning rate.", "[0, 1)", OPTIMIZATION
    )
    drop_rate: float = setting(0.2, "Dropout before the classifier.", "[0, 1)", OPTIMIZATION)
    label_weights: tuple[float, ...] = (2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """Weight of each label in the loss; RSNA 2019 counts `any` twice."""
    pos_weight: PosWeight = setting(
        "none",
        "Weight of positives in the loss: negatives / positives (ratio), the same between 1 and "
        "30 (full), or its square root (sqrt).",
        panel=LOSS,
    )
    positive_fraction: float = setting(
        0.4, "Fraction of an epoch's slices with `any`; 0: as in the data.", "[0, 1)", SAMPLING
    )
    ema: float = setting(
        0.99, "Decay of the averaged weights, which are kept; 0: off.", "[0, 1)", OPTIMIZATION
    )
    mask_weight: float = setting(
        0.0, "Weight of the loss on lesion masks; 0: off.", "[0, 100]", LOSS
    )
    copy_paste: float = setting(
        0.0,
        "Copy-paste augmentation: fraction of slices without hemorrhage that get another "
        "slice's lesion, or healthy tissue in its shape; 0: off.",
        "[0, 1]",
        SAMPLING,
    )
    augmentation: float = setting(
        1.0, "Strength of augmentation; 0: flips only.", "[0, 3]", SAMPLING
    )
    augmentations: Augmentations = "ct"
    """Set of augmentations: for CT, or those of the ``dlmi`` recipe, which have no strength."""
    flip_test: bool = setting(
        False,
        "Validate on the mean logit of a slice and its mirror image. `ich predict` does not, so "
        "the calibration then fits the bundle less well.",
        panel=SAMPLING,
    )
    freeze_norms: FreezeNorms = setting(
        "auto",
        "Keep batch norms in eval mode; auto: where the initial weights have them folded.",
        panel=OPTIMIZATION,
    )
    grad_clip: float = setting(
        1.0, "Largest norm of the gradient; 0: no limit.", "[0, inf)", OPTIMIZATION
    )
    precision: Precision = setting(
        "auto",
        "Autocast precision; auto: bf16 on GPUs that support it and on CPUs with AMX.",
        panel=OPTIMIZATION,
    )
    seed: int = 0
    """Seed of folds, order, augmentation and initial weights; not negative."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label_weights", tuple(float(w) for w in self.label_weights))
        require_choices(self)
        require_intervals(self)
        fits = self.accumulate <= self.batch_size
        require(fits, "accumulate must not be larger than batch_size")
        stepped = self.step_epochs >= 1 and self.step_factor > 0
        require(stepped, "step_epochs must be at least 1 and step_factor positive")
        require(self.seed >= 0, "seed must not be negative")
        weights = self.label_weights
        valid = len(weights) == len(LABELS) and min(weights) >= 0 and sum(weights) > 0
        require(valid, f"label_weights must be {len(LABELS)} numbers of at least 0, not all 0")
        maskless = self.augmentations != "dlmi" or not (self.mask_weight or self.copy_paste)
        require(maskless, "the dlmi recipe has no masks: remove --mask-weight and --copy-paste")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "label_weights": list(self.label_weights)}

    @property
    def model_args(self) -> dict[str, Any]:
        """Return the model arguments of the bundle, besides the architecture."""
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


def upgrade_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings saved by an earlier version under today's names, with missing ones default.

    Keys that `TrainConfig` does not have are kept.
    """
    renamed = {_RENAMED.get(key, key): value for key, value in values.items()}
    if renamed.get("head") == "cells":
        renamed["head"] = "patch"
    return {**TrainConfig().to_dict(), **renamed}


_RENAMED: Final = {"positives": "positive_fraction", "transplants": "copy_paste"}


@dataclass(frozen=True)
class CheckpointConfig:
    """Interval between checkpoints, besides those after each epoch and on interruption."""

    minutes: float = 10.0
    """0: none by time."""
    steps: int = 0
    """0: none by steps."""

    def __post_init__(self) -> None:
        valid = self.minutes >= 0 and self.steps >= 0
        require(valid, "the interval between checkpoints must not be negative")


RECIPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "dlmi": {
        "batch_size": 48, "optimizer": "adam", "lr": 5e-5, "weight_decay": 0.0, "warmup": 0.0,
        "schedule": "step", "step_epochs": 50, "step_factor": 0.412, "drop_rate": 0.0,
        "label_weights": (1.0,) * 6, "pos_weight": "ratio", "positive_fraction": 0.0, "ema": 0.0,
        "grad_clip": 0.0, "augmentations": "dlmi",
    },
}  # fmt: skip
"""Named sets of settings. ``dlmi``: the predecessor project."""
