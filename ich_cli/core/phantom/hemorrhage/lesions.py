"""Shapes of the five subtypes, and how they displace the brain."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ich_cli.core.labels import SUBTYPES
from ich_cli.core.phantom.anatomy.head import CENTER
from ich_cli.core.phantom.anatomy.ventricles import Effect, Point
from ich_cli.core.phantom.drawing import Array, ellipsoid, ramp

EPIDURAL, PARENCHYMAL, INTRAVENTRICULAR, SUBARACHNOID, SUBDURAL = range(len(SUBTYPES))


@dataclass
class Shell:
    """An epidural or subdural collection over the convexity."""

    kind: int
    thickness: Array
    """`(T, T)` over directions, mm."""
    hu: float
    swirl: float
    """Standard deviation of its density, HU."""
    layers: float
    """Increase of density from front to back in HU (sedimentation)."""


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
    """An intraparenchymal hematoma: a rough, rotated ellipsoid with a rim of oedema."""

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
    """Blood in the ventricles: in the dependent part behind `level`, or everywhere."""

    center: Point
    radii: Point
    level: float
    """Front end of the blood in mm; -1000 fills the whole ventricle."""
    hu: float


@dataclass
class Lesions:
    """All hemorrhages of one head."""

    shells: list[Shell] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    foci: list[Focus] = field(default_factory=list)
    floods: list[Flood] = field(default_factory=list)
    casts: list[Cast] = field(default_factory=list)
    effect: Effect = field(default_factory=Effect)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Displacement of the brain's center, mm."""
    focus_of_interest: list[float] = field(default_factory=list)
    """Heights of the lesions in mm, of which a short series covers one."""

    @property
    def reach(self) -> float:
        """Largest displacement of brain tissue in mm."""
        shells = max((float(s.thickness.max()) for s in self.shells), default=0.0)
        foci = max((max(f.radii) for f in self.foci), default=0.0)
        return shells + 0.5 * foci + float(np.abs(self.shift).sum()) + 2


def displace(p: Array, thickness: Array, inner: Array, lesions: Lesions) -> Array:
    """Return the positions of points `p (3, H, W)` before the brain was displaced."""
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
    """Return the share of blood in the subarachnoid CSF at each point, `(H, W)` in [0, 1]."""
    out = np.zeros(b.shape[1:], np.float32)
    for flood in floods:
        distance = ellipsoid(b, flood.center, flood.radii) / min(flood.radii)
        weight = ramp(distance + 0.12 * noise[..., 0], 0.05, -0.35) * flood.strength
        np.maximum(out, weight, out=out)
    return out
