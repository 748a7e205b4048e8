"""Settings that travel with a model or bound its input. Each validates itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, NamedTuple

from ich_cli.core.errors import BundleError


class Window(NamedTuple):
    """A window: the HU range ``center ± width / 2`` that is spread over [0, 1]."""

    center: float
    width: float


BRAIN: Final = Window(40, 80)
SUBDURAL: Final = Window(80, 200)
BONE: Final = Window(600, 2800)
STROKE: Final = Window(40, 40)
DISPLAY_WINDOWS: Final = {"brain": BRAIN, "subdural": SUBDURAL, "stroke": STROKE, "bone": BONE}

METHOD_NAMES: Final = {
    "cells": "Cell map",
    "gradcam": "Grad-CAM",
    "hirescam": "HiResCAM",
    "layercam": "Layer-CAM",
    "gradcam++": "Grad-CAM++",
    "xgradcam": "XGrad-CAM",
    "eigencam": "Eigen-CAM",
}
"""What makes a map of where a model looked, and its name for people."""

Style = Literal["heat", "contour"]
STYLES: Final[tuple[Style, ...]] = ("heat", "contour")
"""``heat`` paints a map over the picture, ``contour`` leaves the pixels between its lines bare."""
OPACITY: Final = 0.75
"""Of the strongest map value: the anatomy stays visible under it."""

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


@dataclass(frozen=True)
class Limits:
    """Bounds on hostile or absurd input. Beyond them a file is refused, not tried."""

    max_side: int = 4096
    """Rows or Columns."""
    max_frames: int = 4096
    """NumberOfFrames of one instance."""
    max_file_bytes: int = 2**31
    """Size of one file, or of one member of a zip when unpacked."""
    max_zip_entries: int = 100_000
    """Members of one zip."""
    max_zip_bytes: int = 2**34
    """All members of one zip when unpacked."""
    max_zip_ratio: float = 200.0
    """Unpacked over packed size of one member over a mebibyte; CT packs by 2 to 20."""
    max_header_bytes: int = 2**24
    """Everything before the pixel data."""
    max_read_seconds: float = 60.0
    """Reading the header of a file, or one frame: beyond that a disk or network has stalled."""


DEFAULT_LIMITS: Final = Limits()
