"""Decide whether a series can be assessed, and give reasons where not.

docs/reports.md explains each rule and its limits. Streaks, blur and contrast that the header does
not mention cannot be measured reliably and are not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from ich_cli.core.study.slice_facts import SliceFacts, has_skull

MAX_HEAD_MM: Final = 300.0
MIN_SLICES: Final = 10
MIN_LENGTH_MM: Final = 90.0
MAX_THICKNESS_MM: Final = 7.5
MAX_TILT_DEGREES: Final = 35.0
MAX_GAP: Final = 2.5
"""In multiples of the usual slice distance; applies to gaps over `MAX_GAP_MM`."""
MAX_GAP_MM: Final = 12.0
METAL_CM2: Final = 0.2
MAX_JUMP_MM: Final = 6.0
"""Sideways shift of the skull's centre between two slices, beyond its usual shift."""
ROUND_SHARE: Final = 0.55
"""Smallest `skull_share` for which the centre is that of the head."""


class GateSlice(NamedTuple):
    """Measurements of a slice, and its InstanceNumber."""

    facts: SliceFacts
    instance: int | None


@dataclass(frozen=True)
class Reason:
    """Reason why a series cannot be assessed reliably."""

    code: str
    """One of `CODES`."""
    text: str
    """Text shown to the user, one clause; no patient data."""


CODES: Final = (
    "not-a-head", "not-axial", "contrast", "missing-slices", "unreadable", "thick-slices", "metal",
    "motion", "few-slices",
)  # fmt: skip


def assess(
    slices: Sequence[GateSlice], *, unreadable: int = 0, not_axial: int = 0
) -> tuple[Reason, ...]:
    """Return the reasons why a series cannot be assessed reliably; empty where it can.

    Parameters
    ----------
    slices
        Slices with a prediction, in anatomical order.
    unreadable
        Number of damaged slices.
    not_axial
        Number of slices left out because they are not axial.

    Returns
    -------
    tuple of Reason
        In the order of `CODES`.
    """
    facts = [one.facts for one in slices]
    found: list[Reason | None] = [
        _not_a_head(facts) if facts else None,
        _not_axial(facts, not_axial),
        _contrast(facts),
        _missing(slices),
        Reason("unreadable", f"{_slices(unreadable)} could not be read") if unreadable else None,
        _thick(facts),
        _metal(facts),
        _motion(facts),
        _few(facts) if facts else None,
    ]
    return tuple(one for one in found if one)


def _not_a_head(facts: Sequence[SliceFacts]) -> Reason | None:
    sizes = [one.body_mm for one in facts if one.body_mm is not None]
    if not any(map(has_skull, facts)):
        return Reason("not-a-head", "not a head: no slice shows brain inside a closed skull")
    if sizes and median(sizes) > MAX_HEAD_MM:
        size = f"{median(sizes) / 10:.0f} cm"
        return Reason("not-a-head", f"not only a head: the body's section measures {size}")
    return None


def _not_axial(facts: Sequence[SliceFacts], left_out: int) -> Reason | None:
    if left_out:
        return Reason("not-axial", f"{_slices(left_out)} not axial and left out")
    tilt = max((abs(one.tilt) for one in facts), default=0.0)
    if tilt > MAX_TILT_DEGREES:
        return Reason("not-axial", f"slices are {tilt:.0f}° off axial")
    return None


def _contrast(facts: Sequence[SliceFacts]) -> Reason | None:
    if any(one.contrast for one in facts):
        return Reason("contrast", "contrast agent named in the header: iodine looks like blood")
    return None


def _missing(slices: Sequence[GateSlice]) -> Reason | None:
    """Find gaps that InstanceNumber confirms, and gaps wider than in any protocol."""
    placed = sorted((one for one in slices if one.facts.along is not None), key=_along)
    gaps = [_along(b) - _along(a) for a, b in pairwise(placed)]
    steps = [gap for gap in gaps if gap > 0.01]
    if len(steps) < 2:
        return None
    usual = median(steps)
    lost = sum(_lost(a, b, usual) for a, b in pairwise(placed)) if steps == gaps else 0
    if lost:
        return Reason("missing-slices", f"{_slices(lost)} missing")
    widest = max(steps)
    if widest > MAX_GAP * usual and widest > MAX_GAP_MM:
        return Reason("missing-slices", f"a gap of {widest:.0f} mm between slices")
    return None


def _along(one: GateSlice) -> float:
    return one.facts.along or 0.0


def _lost(a: GateSlice, b: GateSlice, usual: float) -> int:
    gap = _along(b) - _along(a)
    steps = round(gap / usual)
    if steps < 2 or abs(gap - steps * usual) > max(0.1 * usual, 0.3):
        return 0
    known = a.instance is not None and b.instance is not None
    return steps - 1 if known and abs((b.instance or 0) - (a.instance or 0)) == steps else 0


def _thick(facts: Sequence[SliceFacts]) -> Reason | None:
    known = [one.thickness for one in facts if one.thickness]
    if known and median(known) > MAX_THICKNESS_MM:
        return Reason("thick-slices", f"slices of {median(known):g} mm hide thin bleeds")
    return None


def _metal(facts: Sequence[SliceFacts]) -> Reason | None:
    many = sum(has_skull(one) and (one.metal_cm2 or 0) >= METAL_CM2 for one in facts)
    return Reason("metal", f"metal at the level of the brain in {_slices(many)}") if many else None


def _motion(facts: Sequence[SliceFacts]) -> Reason | None:
    """Find a skull that moves sideways between slices.

    A head is symmetric, so anatomy does not move its centre sideways. Nodding, blur and streaks
    are not checked.
    """
    known = [one.skull_x for one in facts if one.skull_share >= ROUND_SHARE]
    centres = [x for x in known if x is not None]
    if len(centres) < 3 or len(centres) < len(known):
        return None
    steps = np.diff(centres)
    jump = float(np.abs(steps - np.median(steps)).max())
    if jump <= MAX_JUMP_MM:
        return None
    return Reason("motion", f"the head jumps sideways by {jump:.0f} mm between slices")


def _few(facts: Sequence[SliceFacts]) -> Reason | None:
    if len(facts) < MIN_SLICES:
        return Reason("few-slices", f"only {_slices(len(facts))}")
    places = [one.along for one in facts if one.along is not None]
    if len(places) == len(facts) and max(places) - min(places) < MIN_LENGTH_MM:
        return Reason("few-slices", f"only {max(places) - min(places):.0f} mm of the head")
    return None


def _slices(number: int) -> str:
    return f"{number} slice{'' if number == 1 else 's'}"
