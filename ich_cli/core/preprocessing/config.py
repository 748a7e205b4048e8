"""Preprocessing settings, which are saved in the bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from ich_cli.core.imaging import BONE, BRAIN, SUBDURAL, Window
from ich_cli.core.preprocessing.dlmi import DLMI_WINDOWS
from ich_cli.core.system import is_whole, require, require_choices, require_keys

Preset = Literal["rsna", "dlmi"]
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PreprocessConfig:
    """Settings of `prepare`; raises ValueError where they are invalid."""

    preset: Preset = "rsna"
    """`rsna`: head crop, centred square, exact windows. `dlmi`: see `preprocessing.dlmi`."""
    size: int = 512
    """Side of the input in pixels, 16 … 2048."""
    windows: tuple[Window, ...] = (BRAIN, SUBDURAL, BONE)
    """One input channel each, as (center, width) in HU; 1 … 8."""
    context: int = 0
    """Number of neighbouring slices on each side that are added as channels, 0 … 5."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Subtracted from each window's channel after division by 255."""
    std: tuple[float, ...] = IMAGENET_STD
    """Divides each window's channel after that."""

    def __post_init__(self) -> None:
        require_choices(self, ValueError)
        object.__setattr__(self, "windows", tuple(Window(*map(float, w)) for w in self.windows))
        object.__setattr__(self, "mean", tuple(float(m) for m in self.mean))
        object.__setattr__(self, "std", tuple(float(s) for s in self.std))
        require(is_whole(self.size), "size must be a whole number", ValueError)
        require(is_whole(self.context), "context must be a whole number", ValueError)
        require(16 <= self.size <= 2048, "size must be between 16 and 2048", ValueError)
        require(0 <= self.context <= 5, "context must be between 0 and 5", ValueError)
        require(1 <= len(self.windows) <= 8, "there must be 1 to 8 windows", ValueError)
        widths = [w.width for w in self.windows]
        require(min(widths) > 0, "a window's width must be positive", ValueError)
        numbers = (*(end for w in self.windows for end in w), *self.mean, *self.std)
        finite = all(map(math.isfinite, numbers))
        require(finite, "windows, mean and std must be finite", ValueError)
        matching = len(self.mean) == len(self.std) == len(self.windows)
        require(matching, "mean and std must have one value per window", ValueError)
        require(min(self.std) > 0, "std must be positive", ValueError)
        if self.preset == "dlmi":
            as_defined = self.windows == DLMI_WINDOWS and self.context == 0
            require(as_defined, "the dlmi preset has fixed windows and no context", ValueError)

    @classmethod
    def dlmi(cls, size: int = 512) -> PreprocessConfig:
        """Return the settings of the predecessor project's pipeline."""
        return cls(preset="dlmi", size=size, windows=DLMI_WINDOWS)

    @property
    def channels(self) -> int:
        """Number of input channels: windows times slices."""
        return len(self.windows) * (2 * self.context + 1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "windows": [list(w) for w in self.windows]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocessConfig:
        """Read the result of `to_dict`; raise ValueError on unknown keys and wrong types."""
        require_keys(values, (), [f.name for f in fields(cls)], "ich.preprocess.", ValueError)
        try:
            return cls(**values)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"preprocess settings do not parse: {error}") from None
