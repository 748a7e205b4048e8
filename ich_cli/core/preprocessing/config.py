"""Settings that travel with a model or bound its input. Each validates itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from ich_cli.core.errors import BundleError
from ich_cli.core.imaging import BONE, BRAIN, SUBDURAL, Window

Preset = Literal["rsna", "dlmi"]
PRESETS: Final[tuple[Preset, ...]] = ("rsna", "dlmi")
DLMI_WINDOWS: Final = (Window(40, 80), Window(80, 200), Window(40, 380))
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PreprocessConfig:
    """How a slice becomes a model's input. Saved in the bundle, so that both always agree."""

    preset: Preset = "rsna"
    """`rsna`: head crop, centred square, exact windows. `dlmi`: the midterm project's own."""
    size: int = 512
    """Side of the input in pixels."""
    windows: tuple[Window, ...] = (BRAIN, SUBDURAL, BONE)
    """One input channel each, as (center, width) in HU."""
    context: int = 0
    """Neighbours on each side of the series that are added as channels."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Subtracted from each window's channel after division by 255."""
    std: tuple[float, ...] = IMAGENET_STD
    """Divides each window's channel after that."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", tuple(Window(*map(float, w)) for w in self.windows))
        object.__setattr__(self, "mean", tuple(float(m) for m in self.mean))
        object.__setattr__(self, "std", tuple(float(s) for s in self.std))
        _check(self.preset in PRESETS, f"preset must be one of {', '.join(PRESETS)}")
        _check(_is_whole(self.size), "size must be a whole number")
        _check(_is_whole(self.context), "context must be a whole number")
        _check(16 <= self.size <= 2048, "size must lie in 16 … 2048")
        _check(0 <= self.context <= 5, "context must lie in 0 … 5")
        _check(1 <= len(self.windows) <= 8, "there must be 1 … 8 windows")
        _check(all(w.width > 0 for w in self.windows), "a window's width must be positive")
        numbers = (*(end for w in self.windows for end in w), *self.mean, *self.std)
        _check(all(map(math.isfinite, numbers)), "windows, mean and std must be finite")
        _check(
            len(self.mean) == len(self.std) == len(self.windows),
            "mean and std must have one value a window",
        )
        _check(all(s > 0 for s in self.std), "std must be positive")
        _check(
            self.preset != "dlmi" or (self.windows == DLMI_WINDOWS and self.context == 0),
            "the dlmi preset has its own three windows and no context",
        )

    @classmethod
    def dlmi(cls, size: int = 512) -> PreprocessConfig:
        """Return the midterm project's pipeline: 40/80, 80/200, 40/380, top-left padding."""
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
        """Read what `to_dict` wrote; unknown keys and wrong types raise BundleError."""
        unknown = set(values) - {f.name for f in fields(cls)}
        _check(not unknown, f"unknown preprocess settings: {', '.join(sorted(unknown))}")
        try:
            return cls(**values)
        except (TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"preprocess settings do not parse: {error}") from None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise BundleError(message)
