"""Sample and draw findings that look like blood, and other findings of head CT."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ich_cli.core.phantom.anatomy.brain import Compartments
from ich_cli.core.phantom.anatomy.head import PhantomHead
from ich_cli.core.phantom.anatomy.skull import Radial
from ich_cli.core.phantom.anatomy.ventricles import Point
from ich_cli.core.phantom.drawing import Array, Canvas, capsule, cover, ellipsoid, ramp

METAL = 6000.0


@dataclass
class Mimics:
    """Findings of one head besides hemorrhages."""

    spots: list[tuple[Point, Point, float]] = field(default_factory=list)
    """Calcifications and small masses: center, radii, HU."""
    infarcts: list[tuple[Point, Point, float]] = field(default_factory=list)
    """Old infarcts: center, radii, HU to subtract."""
    hygroma: tuple[Array, float, float] | None = None
    """CSF over the convexity: direction of its middle, extent (rad), thickness (mm)."""
    swelling: tuple[Array, float, float, float] | None = None
    """Scalp hematoma: direction, extent (rad), thickness (mm), HU."""
    fracture: tuple[Array, Array, float] | None = None
    """A gap in the vault: normal of its plane, direction of its middle, length (rad)."""
    meningioma: tuple[Array, float, float] | None = None
    """An extra-axial mass: direction, radius (mm), HU."""
    clip: Point | None = None
    """A metal clip or coil."""
    shunt: tuple[Point, Point] | None = None
    """A ventricular catheter from the skull to its tip."""
    venous: float = 0.0
    """HU added to falx, tentorium and venous sinuses (high hematocrit)."""


def make_mimics(rng: np.random.Generator, injured: bool) -> Mimics:
    """Sample the findings; scalp hematomas and fractures are more frequent if `injured`."""
    out = Mimics()
    if rng.random() < 0.16:
        out.infarcts = [_infarct(rng) for _ in range(int(rng.integers(1, 3)))]
    if rng.random() < 0.20:
        out.spots = [_spot(rng) for _ in range(int(rng.integers(1, 4)))]
    if rng.random() < 0.06:
        out.hygroma = (
            _on_convexity(rng),
            float(rng.uniform(0.5, 0.9)),
            float(rng.uniform(2, 9)),
        )
    if rng.random() < (0.35 if injured else 0.12):
        thick = float(rng.uniform(3, 14))
        out.swelling = (
            _on_convexity(rng),
            float(rng.uniform(0.25, 0.6)),
            thick,
            rng.uniform(15, 65),
        )
    if rng.random() < (0.22 if injured else 0.05):
        way = _on_convexity(rng)
        normal = np.cross(way, rng.normal(size=3))
        out.fracture = (normal / np.linalg.norm(normal), way, float(rng.uniform(0.2, 0.6)))
    if rng.random() < 0.03:
        out.meningioma = (
            _on_convexity(rng),
            float(rng.uniform(5, 16)),
            float(rng.uniform(40, 75)),
        )
    if rng.random() < 0.03:
        out.clip = (float(rng.normal(0, 18)), float(rng.normal(-12, 8)), float(rng.uniform(-22, 2)))
    if rng.random() < 0.03:
        side = float(rng.choice([-1, 1]))
        out.shunt = ((side * 26.0, -62.0, 60.0), (side * 6.0, -16.0, 14.0))
    if rng.random() < 0.15:
        out.venous = float(rng.uniform(6, 20))
    return out


def _on_convexity(rng: np.random.Generator) -> Array:
    """Return a random unit vector towards the convexity."""
    way = np.array(
        [rng.choice([-1, 1]) * rng.uniform(0.4, 1), rng.normal(0, 0.6), rng.uniform(0, 0.8)]
    )
    return np.asarray(way / np.linalg.norm(way), np.float32)


def _infarct(rng: np.random.Generator) -> tuple[Point, Point, float]:
    x, y, z = rng.choice([-1, 1]) * rng.uniform(12, 52), rng.uniform(-50, 65), rng.uniform(-5, 45)
    size = float(np.exp(rng.uniform(np.log(3), np.log(22))))
    radii = (size, size * float(rng.uniform(0.6, 1.5)), size * float(rng.uniform(0.6, 1.2)))
    return (float(x), float(y), float(z)), radii, float(rng.uniform(5, 24))


def _spot(rng: np.random.Generator) -> tuple[Point, Point, float]:
    x, y, z = rng.normal(0, 24), rng.normal(5, 30), rng.uniform(-20, 50)
    size = float(rng.uniform(0.8, 3.0))
    value = float(np.exp(rng.uniform(np.log(85), np.log(500))))
    return (float(x), float(y), float(z)), (size, size, size), value


def _angle(direction: Array, way: Array) -> Array:
    along = direction[0] * way[0] + direction[1] * way[1] + direction[2] * way[2]
    return np.asarray(np.arccos(np.clip(along, -1, 1)), np.float32)


def swell(mimics: Mimics, direction: Array) -> Array | float:
    """Return the thickness of a scalp hematoma, mm."""
    if mimics.swelling is None:
        return 0.0
    way, extent, thick, _ = mimics.swelling
    return np.asarray(thick * ramp(_angle(direction, way) / extent, 1.0, 0.2))


def paint_mimics(
    canvas: Canvas, mimics: Mimics, head: PhantomHead, at: Radial, inside: Compartments
) -> None:
    """Draw the findings in head and bone, before the hemorrhages."""
    if mimics.hygroma is not None:
        way, extent, thick = mimics.hygroma
        lens = thick * ramp(_angle(at.direction, way) / extent, 1.0, 0.4)
        alpha = cover(at.inner - lens - at.r, canvas.soft) * ramp(lens, 0.2, 1) * inside.cavity
        canvas.mix(alpha, head.csf + 4)
    if mimics.meningioma is not None:
        way, radius, value = mimics.meningioma
        rise = radius * ramp(_angle(at.direction, way) * 66 / radius, 1.3, 0.2)
        alpha = cover(at.inner - rise - at.r, canvas.soft) * ramp(rise, 0.3, 1) * inside.cavity
        canvas.mix(alpha, value + 3 * canvas.noise[..., 2])
    for center, radii, value in mimics.spots:
        part = canvas.near(center, 3 * max(radii))
        box = canvas.plane.box(center, 3 * max(radii) + canvas.margin)
        if part is not None and box is not None:
            part.mix(cover(ellipsoid(part.b, center, radii), 1.2) * inside.cavity[box], value)
    _paint_bone_findings(canvas, mimics, at)


def _paint_bone_findings(canvas: Canvas, mimics: Mimics, at: Radial) -> None:
    if mimics.swelling is not None:
        way, extent, _, value = mimics.swelling
        alpha = ramp(_angle(at.direction, way) / extent, 0.95, 0.5)
        alpha *= cover(at.outer + 1.0 - at.r, canvas.soft) * cover(at.r - at.skin + 2.5, 2.0)
        canvas.mix(alpha, value + 8 * canvas.noise[..., 1])
    if mimics.fracture is not None:
        normal, way, length = mimics.fracture
        d = at.direction
        off = np.abs(
            d[0] * normal[0] + d[1] * normal[1] + d[2] * normal[2] + 0.012 * canvas.noise[..., 1]
        )
        gap = cover(off * at.r - 0.6, canvas.soft) * cover(_angle(d, way) - length, 0.05)
        gap *= cover(at.r - at.outer, 1.0) * cover(at.inner - at.r, 1.0)
        canvas.mix(gap, 30.0)
    if mimics.clip is not None:
        part = canvas.near(mimics.clip, 6)
        if part is not None:
            part.paint(ellipsoid(part.p, mimics.clip, (1.8, 3.5, 1.8)), METAL)
    if mimics.shunt is not None:
        start, tip = mimics.shunt
        middle = (np.array(start) + np.array(tip)) / 2
        part = canvas.near(middle, 45)
        if part is not None:
            tube = capsule(part.p, start, tip, 1.3, 1.3)
            part.paint(tube, 250.0)
            part.paint(tube + 1.0, 40.0)
