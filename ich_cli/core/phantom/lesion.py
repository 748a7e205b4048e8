"""What the five subtypes are made of, and how they push the brain."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ich_cli.core.labels import SUBTYPES
from ich_cli.core.phantom.anatomy import CENTER
from ich_cli.core.phantom.noise import Array, ellipsoid, ramp
from ich_cli.core.phantom.ventricles import Effect, Point

EPIDURAL, PARENCHYMAL, INTRAVENTRICULAR, SUBARACHNOID, SUBDURAL = range(len(SUBTYPES))


@dataclass
class Shell:
    """An epidural or subdural collection over the convexity."""

    kind: int
    thickness: Array
    """`(T, T)` over directions, mm."""
    hu: float
    swirl: float
    """Standard deviation of its inner density, HU."""
    layers: float
    """HU that sink from its front to its back (sedimentation)."""


@dataclass
class Sheet:
    """A subdural collection along the falx or on the tentorium."""

    tentorial: bool
    side: float
    thickness: float
    center: Point
    radii: Point
    hu: float


@dataclass
class Focus:
    """An intraparenchymal hematoma: a rough, turned ellipsoid with a halo of oedema."""

    center: Point
    radii: Point
    turn: float
    rough: float
    hu: float
    swirl: float
    halo: float
    drop: float


@dataclass
class Flood:
    """Blood in the subarachnoid CSF within an ellipsoid."""

    center: Point
    radii: Point
    hu: float
    strength: float


@dataclass
class Cast:
    """Blood in the ventricles: the dependent part behind `level`, or all of it."""

    center: Point
    radii: Point
    level: float
    """Posterior of this (mm, head frame) the ventricle holds blood; -1000 = cast."""
    hu: float


@dataclass
class Lesions:
    """All that is wrong with one head."""

    shells: list[Shell] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    foci: list[Focus] = field(default_factory=list)
    floods: list[Flood] = field(default_factory=list)
    casts: list[Cast] = field(default_factory=list)
    effect: Effect = field(default_factory=Effect)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How far the anatomy at the brain's center has moved (mm)."""
    focus_of_interest: list[float] = field(default_factory=list)
    """Heights of the lesions, so that a short series can be laid over one of them."""

    @property
    def reach(self) -> float:
        """Largest displacement of brain tissue in mm."""
        shells = max((float(s.thickness.max()) for s in self.shells), default=0.0)
        foci = max((max(f.radii) for f in self.foci), default=0.0)
        return shells + 0.5 * foci + float(np.abs(self.shift).sum()) + 2


def displace(p: Array, thickness: Array, inner: Array, lesions: Lesions) -> Array:
    """Return where each point `p (3, H, W)` lay before the hemorrhages pushed the brain."""
    offset = p - CENTER[:, None, None]
    r = np.sqrt(np.square(offset).sum(0)) + np.float32(1e-3)
    q = np.square(np.clip(r / np.maximum(inner - thickness, 8), 0, 1))
    b = p + offset * (thickness * q / r)
    if any(lesions.shift):
        fade = np.clip(1 - np.square(r / inner), 0, 1)
        b -= np.asarray(lesions.shift, np.float32)[:, None, None] * fade
    for focus in lesions.foci:
        c = np.asarray(focus.center, np.float32)[:, None, None]
        size = 0.8 * float(np.prod(focus.radii)) ** (1 / 3)
        away = p - c
        far = np.sqrt(np.square(away).sum(0)) + np.float32(1e-3)
        pull = size**3 / np.square(np.maximum(far, size)) / 3 * ramp(far, 3.5 * size, 1.2 * size)
        b -= away * (pull / far)
    return np.asarray(b)


def flood_weight(b: Array, noise: Array, floods: list[Flood]) -> Array:
    """Return how bloody the subarachnoid CSF is at each point, `(H, W)` in [0, 1]."""
    out = np.zeros(b.shape[1:], np.float32)
    for flood in floods:
        distance = ellipsoid(b, flood.center, flood.radii) / min(flood.radii)
        weight = ramp(distance + 0.12 * noise[..., 0], 0.05, -0.35) * flood.strength
        np.maximum(out, weight, out=out)
    return out
