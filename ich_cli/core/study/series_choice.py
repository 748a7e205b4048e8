"""Choose the series of a study that its prediction is computed from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from ich_cli.core.series import Series
from ich_cli.core.study.slice_facts import SliceFacts

THICKNESS_MM: Final = (2.0, 6.0)
"""Range of slice thickness that is preferred."""

_SHARP: Final = re.compile(
    r".*(BONE|LUNG|EDGE|SHARP).*"
    r"|[BHJUQT][A-Z]?[5-9]\d.*"  # Siemens: B70f, H60s, Hr68
    r"|FC(3|5|8)\d"  # Toshiba and Canon
    r"|Y[A-E]|L|D",  # Philips
    re.IGNORECASE,
)
_KNOWN: Final = re.compile(
    r"STANDARD|SOFT|DETAIL|BRAIN|HEAD|BONE|BONEPLUS|BONE\+|LUNG|EDGE"
    r"|[A-Z][A-Z]?\d\d[A-Z]?|FC\d\d|U[A-C]|Y[A-E]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Candidate:
    """Properties of a series by which it is preferred to others."""

    uid: str
    kernel: str
    """ConvolutionKernel; empty where unknown."""
    contrast: bool
    thickness: float | None
    """Median SliceThickness in mm, else the median slice distance."""
    extent: tuple[float, float] | None
    """First and last position in mm."""
    slices: int

    @classmethod
    def from_slices(cls, series: Series | None, uid: str, facts: Sequence[SliceFacts]) -> Candidate:
        """Return the properties of a series with these predicted slices."""
        along = sorted(one.along for one in facts if one.along is not None)
        mm = [one.thickness for one in facts if one.thickness] or np.diff(along).tolist()
        return cls(
            uid=uid,
            kernel=series.kernel if series else "",
            contrast=any(one.contrast for one in facts),
            thickness=median(mm) if mm else None,
            extent=(along[0], along[-1]) if along else None,
            slices=len(facts),
        )

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """Contrast, sharp kernel, thickness outside `THICKNESS_MM`: False is preferred."""
        low, high = THICKNESS_MM
        fits = self.thickness is not None and low <= self.thickness <= high
        return self.contrast, is_sharp(self.kernel), not fits

    @property
    def length(self) -> float:
        """Distance from first to last slice in mm; 0 where unknown."""
        return self.extent[1] - self.extent[0] if self.extent else 0.0

    def overlaps(self, other: Candidate) -> bool:
        """Return whether they share much of their range, or might."""
        if self.extent is None or other.extent is None:
            return True
        shared = min(self.extent[1], other.extent[1]) - max(self.extent[0], other.extent[0])
        return shared >= 0.5 * min(self.length, other.length)

    def about(self, before: str) -> str:
        """Return thickness and kernel after `before`; a kernel only if its name is a known one."""
        mm = [f"{self.thickness:.1f} mm"] if self.thickness else []
        kernel = [f"kernel {self.kernel}"] if _KNOWN.fullmatch(self.kernel) else []
        return f"{before}{', '.join([*mm, *kernel])}" if mm or kernel else ""


def is_sharp(kernel: str) -> bool:
    """Return whether a ConvolutionKernel is one for bone or lung."""
    return bool(_SHARP.fullmatch(kernel))


def choose_series(candidates: Sequence[Candidate]) -> list[int]:
    """Return the indices of the series to use: the one that fits, and those that continue it.

    Without contrast agent, with a kernel for brain, of 2 to 6 mm is preferred, in this order; then
    the one nearest to 5 mm, the one with more slices, and the first. Series under half as long as
    the longest come last. A series continues another of its kind where they do not overlap.
    """
    longest = max(one.length for one in candidates)

    def rank(index: int) -> tuple[object, ...]:
        one = candidates[index]
        distance = abs(one.thickness - 5.0) if one.thickness is not None else 1e3
        return one.length < longest / 2, *one.kind, distance, -one.slices

    first, *rest = sorted(range(len(candidates)), key=rank)
    chosen = [first]
    for index in rest:
        one = candidates[index]
        same = one.kind == candidates[first].kind
        if same and not any(one.overlaps(candidates[k]) for k in chosen):
            chosen.append(index)
    return sorted(chosen)


def describe_choice(chosen: Sequence[Candidate], unused: int) -> str:
    """Say which series a study's prediction is from; empty where none was left out."""
    if not unused:
        return ""
    names = "; ".join(f"{one.uid}{one.about(': ')}" for one in chosen)
    return f"answered from series {names}; {unused} other series not used"
