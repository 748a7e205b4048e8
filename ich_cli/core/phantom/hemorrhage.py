"""The five subtypes: where they lie, how they push, and how they are painted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ich_cli.core.labels import SUBTYPES
from ich_cli.core.phantom.brain import HORN, Compartments, Effect, Point, _tentorium
from ich_cli.core.phantom.fields import (
    TEXTURE,
    Array,
    Canvas,
    cover,
    ellipsoid,
    lambert_directions,
    ramp,
    smooth_noise,
)
from ich_cli.core.phantom.head import CENTER, Head

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


def acute(rng: np.random.Generator) -> float:
    """Draw the density of blood: mostly acute (50 … 85 HU), sometimes fading to isodense."""
    return float(rng.uniform(52, 82) if rng.random() < 0.82 else rng.uniform(38, 54))


def add_bleed(rng: np.random.Generator, head: Head, kind: int, lesions: Lesions) -> None:
    """Draw one hemorrhage of subtype number `kind` and add it to `lesions`."""
    (_add_epidural, _add_focal, _add_cast, _add_flood, _add_subdural)[kind](rng, head, lesions)


def _direction(
    rng: np.random.Generator, low: float, high: float, side: float, turn: float
) -> Array:
    """Return a unit vector: `turn` rad from straight sideways to the back, height in sines."""
    dz = float(rng.uniform(low, high))
    level = np.sqrt(1 - dz * dz)
    return np.array([side * np.cos(turn) * level, np.sin(turn) * level, dz], np.float32)


def _push(lesions: Lesions, side: float, amount: float, direction: Array) -> None:
    """Shift the midline away from `direction` and close the sulci and ventricle of that side."""
    lesions.shift = tuple(
        s - float(d) * amount for s, d in zip(lesions.shift, direction, strict=True)
    )  # type: ignore[assignment]
    close = float(np.exp(-amount / 4))
    sulci, vents = list(lesions.effect.sulci), list(lesions.effect.ventricles)
    k = 1 if side > 0 else 0
    sulci[k] *= close
    vents[k] *= 0.35 + 0.65 * close
    vents[1 - k] *= 1 + 0.3 * (1 - close)
    lesions.effect.sulci, lesions.effect.ventricles = (sulci[0], sulci[1]), (vents[0], vents[1])


def _add_epidural(rng: np.random.Generator, head: Head, lesions: Lesions) -> None:
    side = float(rng.choice([-1, 1]))
    low, high, turn = [
        (-0.35, 0.25, 0.0),
        (-0.1, 0.7, 0.25),
        (-0.1, 0.6, -0.95),
        (-0.45, 0.0, 1.2),
    ][rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])]
    center = _direction(rng, low, high, side, turn + rng.normal(0, 0.15))
    peak = float(np.exp(rng.uniform(np.log(4), np.log(34))))
    extent = np.clip(0.22 + 0.012 * peak + rng.normal(0, 0.05), 0.16, 0.62)
    d = lambert_directions()
    q = np.arccos(np.clip((d * center[:, None, None]).sum(0), -1, 1)) / extent
    q *= 1 + 0.09 * smooth_noise(rng, TEXTURE, 22)
    lens = peak * np.clip(1 - q * q, 0, None)
    coronal = d[1] + 0.30 - 0.25 * d[2]  # sutures hold the dura: blood stops there
    lambdoid = d[1] - 0.72 + 0.35 * d[2]
    for plane in (coronal, lambdoid):
        mine = np.sign(float(plane.ravel()[np.argmin(q)]))
        lens *= ramp(plane * mine, -0.03, 0.16)
    shell = Shell(EPIDURAL, lens.astype(np.float32), acute(rng), 0.0, 0.0)
    shell.swirl = float(rng.choice([1.0, 4.0, 9.0]))
    lesions.shells.append(shell)
    lesions.focus_of_interest.append(float(center[2] * 66))
    _push(lesions, side, max(0.0, peak - 7) * float(rng.uniform(0.1, 0.4)), center)


def _add_subdural(rng: np.random.Generator, head: Head, lesions: Lesions) -> None:
    side = float(rng.choice([-1, 1]))
    pattern = rng.random()
    if pattern < 0.14:
        _add_sheet(rng, lesions, side, tentorial=False)
    elif pattern < 0.22:
        _add_sheet(rng, lesions, side, tentorial=True)
    else:
        _add_crescent(rng, head, lesions, side)
        if rng.random() < 0.15:
            _add_crescent(rng, head, lesions, -side)


def _add_crescent(rng: np.random.Generator, head: Head, lesions: Lesions, side: float) -> None:
    turn = float(rng.normal(0.0, 0.35))
    center = _direction(rng, 0.0, 0.55, side, turn)
    peak = float(np.exp(rng.uniform(np.log(2.8), np.log(22))))
    d = lambert_directions()
    tangent = np.array([-center[1], center[0], 0]) / np.hypot(center[0], center[1])
    along = (d * tangent[:, None, None]).sum(0) / rng.uniform(0.75, 1.05)
    across = (d * np.cross(center, tangent)[:, None, None]).sum(0) / rng.uniform(0.5, 0.95)
    q = along**2 + across**2 + 0.12 * smooth_noise(rng, TEXTURE, 30)
    front = (d * center[:, None, None]).sum(0) > 0
    crescent = peak * np.clip(1 - q, 0, 1) ** 0.55 * front
    crescent *= ramp(side * d[0], 0.01, 0.10) * (1 + 0.12 * smooth_noise(rng, TEXTURE, 30))
    stage = rng.choice(["acute", "mixed", "subacute", "chronic"], p=[0.6, 0.2, 0.12, 0.08])
    hu = {"acute": acute(rng), "mixed": 50.0, "subacute": 38.0, "chronic": 24.0}[str(stage)]
    shell = Shell(SUBDURAL, np.clip(crescent, 0, None).astype(np.float32), hu, 2.0, 0.0)
    if stage == "mixed":
        shell.swirl, shell.layers = float(rng.uniform(5, 14)), float(rng.uniform(0, 30))
    elif stage == "chronic":
        shell.layers = float(rng.uniform(8, 35))  # fresh blood at its bottom
    lesions.shells.append(shell)
    lesions.focus_of_interest.append(float(center[2] * 66))
    _push(lesions, side, max(0.0, peak - 4) * float(rng.uniform(0.2, 0.7)), center)


def _add_sheet(rng: np.random.Generator, lesions: Lesions, side: float, *, tentorial: bool) -> None:
    center = (side * 30.0, 48.0, -10.0) if tentorial else (0.0, float(rng.choice([-50, 50])), 32.0)
    radii = (40.0, 34.0, 30.0) if tentorial else (20.0, float(rng.uniform(25, 45)), 40.0)
    thick = float(rng.uniform(2, 7))
    lesions.sheets.append(Sheet(tentorial, side, thick, center, radii, acute(rng)))
    lesions.focus_of_interest.append(center[2])


def _add_focal(rng: np.random.Generator, head: Head, lesions: Lesions) -> None:
    place = rng.choice(["deep", "lobar", "contusion", "rear"], p=[0.38, 0.34, 0.2, 0.08])
    side = float(rng.choice([-1, 1]))
    radius = float(np.exp(rng.uniform(np.log(3.2), np.log(27))))
    count = int(rng.integers(2, 6)) if place == "contusion" else 1 + int(rng.random() < 0.12)
    origin = _focus_place(rng, str(place), side)
    if place in ("contusion", "rear"):
        radius = min(radius, 11.0 if place == "contusion" else 16.0)
    hu, halo = acute(rng), float(rng.uniform(1, 5) + 0.25 * radius * rng.random())
    for k in range(count):
        size = radius * (1.0 if k == 0 else float(rng.uniform(0.25, 0.8)))
        center = tuple(float(o + (k > 0) * rng.normal(0, 9)) for o in origin)
        radii = tuple(float(size * rng.uniform(0.65, 1.35)) for _ in range(3))
        focus = Focus(center, radii, float(rng.uniform(0, 3.1)), float(rng.uniform(0.08, 0.3)),
                      hu + float(rng.normal(0, 3)), float(rng.choice([1.0, 3.0, 8.0])), halo,
                      float(rng.uniform(5, 13)))  # fmt: skip
        lesions.foci.append(focus)
    lesions.focus_of_interest.append(float(origin[2]))
    toward = np.array(origin, np.float32) / 70
    _push(lesions, side, max(0.0, radius - 11) * float(rng.uniform(0.1, 0.5)), toward)


def _focus_place(rng: np.random.Generator, place: str, side: float) -> tuple[float, float, float]:
    if place == "deep":
        x, y, z = ((26, -4, 5), (12, 8, 7), (20, -16, 10))[rng.choice(3, p=[0.55, 0.3, 0.15])]
        x, y, z = x * side + rng.normal(0, 2), y + rng.normal(0, 4), z + rng.normal(0, 4)
    elif place == "contusion":
        x, y, z = ((20, -58, -4), (46, -16, -28), (14, -68, 8), (52, 30, -8))[rng.integers(4)]
        x, y, z = x * side, y + rng.normal(0, 5), z + rng.normal(0, 4)
    elif place == "rear":
        x, y, z = (side * rng.uniform(0, 32), rng.uniform(30, 62), rng.uniform(-50, -24))
    else:
        d = _direction(rng, -0.15, 0.85, side, float(rng.uniform(-1.35, 1.35)))
        x, y, z = d * rng.uniform(36, 58) + CENTER
    return float(x), float(y), float(z)


def _add_flood(rng: np.random.Generator, head: Head, lesions: Lesions) -> None:
    pattern = rng.choice(["cisterns", "convexity", "sylvian", "diffuse"], p=[0.3, 0.4, 0.17, 0.13])
    side = float(rng.choice([-1, 1]))
    hu, strength = float(rng.uniform(52, 80)), float(rng.uniform(0.75, 1.0))
    places: list[tuple[Point, Point]] = []
    if pattern in ("cisterns", "diffuse"):
        places += [((0, 4, -20), (40, 48, 28)), ((0, -45, 10), (9, 45, 45))]
    if pattern in ("sylvian", "diffuse", "cisterns"):
        places += [
            ((s * 42, -8, 0), (26, 34, 26)) for s in ((side,) if pattern != "diffuse" else (-1, 1))
        ]
    if pattern == "convexity":
        for _ in range(int(rng.integers(1, 4))):
            d = _direction(rng, -0.1, 0.8, side, float(rng.uniform(-1.3, 1.3)))
            radius = float(rng.uniform(14, 38))
            c = d * 66 + CENTER
            places.append(((float(c[0]), float(c[1]), float(c[2])), (radius, radius, radius)))
    if pattern == "diffuse":
        places.append(((0, 0, 10), (90, 100, 60)))
    lesions.floods += [Flood(c, r, hu, strength) for c, r in places]
    lesions.focus_of_interest.append(float(places[0][0][2]))


def _add_cast(rng: np.random.Generator, head: Head, lesions: Lesions) -> None:
    vents = [max(v, 0.75) for v in lesions.effect.ventricles]
    lesions.effect.ventricles = (vents[0], vents[1])
    head.ventricle = (max(head.ventricle[0], 0.8), max(head.ventricle[1], 0.8))
    hu = float(rng.uniform(50, 80))
    sides = [(-1.0, 1.0), (-1.0,), (1.0,)][rng.choice(3, p=[0.4, 0.3, 0.3])]
    pattern = rng.choice(["level", "cast", "clot"], p=[0.55, 0.25, 0.2])
    for side in sides:
        if pattern == "level":
            level = float(rng.uniform(30, 52))
            lesions.casts.append(Cast((side * 22, 40, 6), (20, 40, 24), level, hu))
        elif pattern == "cast":
            lesions.casts.append(Cast((side * 16, 4, 8), (17, 70, 34), -1000.0, hu))
        else:
            x, y, z, r = HORN[int(rng.integers(1, 6))]
            size = r * float(rng.uniform(1.2, 2.5))
            lesions.casts.append(Cast((side * x, y, z), (size, 1.6 * size, size), -1000.0, hu))
    if pattern == "cast" or rng.random() < 0.2:
        lesions.casts.append(Cast((0, 10, -14), (12, 40, 44), -1000.0, hu))
    lesions.focus_of_interest.append(8.0)


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
    return b


def flood_weight(b: Array, noise: Array, floods: list[Flood]) -> Array:
    """Return how bloody the subarachnoid CSF is at each point, `(H, W)` in [0, 1]."""
    out = np.zeros(b.shape[1:], np.float32)
    for flood in floods:
        distance = ellipsoid(b, flood.center, flood.radii) / min(flood.radii)
        weight = ramp(distance + 0.12 * noise[..., 0], 0.05, -0.35) * flood.strength
        np.maximum(out, weight, out=out)
    return out


def paint_bleeds(
    canvas: Canvas,
    inside: Compartments,
    lesions: Lesions,
    layers: tuple[Array, list[Array], Array],
    flood: Array,
) -> dict[int, Array]:
    """Paint all hemorrhages; return the occupancy `(H, W)` in [0, 1] of each subtype present.

    `layers` = (distance from the center, thickness of each shell here, inner radius of the skull).
    """
    found: dict[int, Array] = {}

    def note(kind: int, alpha: Array) -> None:
        found[kind] = np.maximum(found[kind], alpha) if kind in found else alpha

    if lesions.floods:
        alpha = inside.space * flood
        canvas.mix(alpha, lesions.floods[0].hu)
        note(SUBARACHNOID, alpha)
    for cast in lesions.casts:
        note(INTRAVENTRICULAR, _paint_cast(canvas, inside, cast))
    for focus in lesions.foci:
        alpha = _paint_focus(canvas, inside, focus)
        if alpha is not None:
            note(PARENCHYMAL, alpha)
    for sheet in lesions.sheets:
        note(SUBDURAL, _paint_sheet(canvas, inside, sheet))
    r, thicknesses, inner = layers
    depth = np.zeros_like(r)
    for shell, thickness in sorted(
        zip(lesions.shells, thicknesses, strict=True), key=lambda pair: pair[0].kind
    ):
        alpha = cover(inner - depth - thickness - r, -canvas.soft)
        alpha = cover((inner - depth - thickness) - r, canvas.soft) * cover(
            r - (inner - depth), canvas.soft
        )
        alpha *= inside.cavity * ramp(thickness, 0.2, 1.0)
        sunk = shell.layers * ramp(canvas.p[1], -20, 60) if shell.layers else 0.0
        canvas.mix(alpha, shell.hu + shell.swirl * canvas.noise[..., 1] + sunk)
        note(shell.kind, alpha)
        depth = depth + thickness
    return found


def _paint_cast(canvas: Canvas, inside: Compartments, cast: Cast) -> Array:
    alpha = inside.ventricles * cover(ellipsoid(canvas.b, cast.center, cast.radii), 2.0)
    if cast.level > -500:
        alpha *= ramp(canvas.p[1] - cast.level, -1.0, 1.0)
    canvas.mix(alpha, cast.hu)
    return alpha


def _paint_focus(canvas: Canvas, inside: Compartments, focus: Focus) -> Array | None:
    reach = max(focus.radii) * 1.5 + 2 * focus.halo + 2
    box = canvas.plane.box(focus.center, reach)
    if box is None:
        return None
    part = canvas.near(focus.center, reach)
    assert part is not None
    box = canvas.plane.box(focus.center, reach + canvas.margin)
    assert box is not None
    c, s = np.float32(np.cos(focus.turn)), np.float32(np.sin(focus.turn))
    x, y = part.p[0] - focus.center[0], part.p[1] - focus.center[1]
    turned = np.stack([c * x + s * y, c * y - s * x, part.p[2] - focus.center[2]])
    distance = ellipsoid(turned, (0, 0, 0), focus.radii)
    distance += (part.noise[..., 0] + 0.5 * part.noise[..., 1]) * focus.rough * min(focus.radii)
    room = inside.cavity[box] * inside.brain[box]
    halo = ramp(distance, focus.halo * 1.6, 0.3 * focus.halo) * room
    part.hu -= halo * focus.drop
    alpha = cover(distance, 1.6) * room
    part.mix(alpha, focus.hu + focus.swirl * part.noise[..., 2])
    out = np.zeros_like(canvas.hu)
    out[box] = alpha
    return out


def _paint_sheet(canvas: Canvas, inside: Compartments, sheet: Sheet) -> Array:
    b = canvas.b
    thick = sheet.thickness * ramp(
        ellipsoid(b, sheet.center, sheet.radii), 0, -0.5 * min(sheet.radii)
    )
    if sheet.tentorial:
        over = _tentorium(b)
        alpha = cover(over - thick, canvas.soft) * cover(-over, canvas.soft) * ramp(b[1], 14, 22)
        alpha *= cover(-sheet.side * b[0] + 8, 4.0)
    else:
        x = b[0] * np.float32(sheet.side)
        alpha = cover(x - thick, canvas.soft) * cover(-x, canvas.soft)
        alpha *= cover(-_tentorium(b), 2.0)
    alpha *= inside.cavity * ramp(thick, 0.3, 1.0)
    canvas.mix(alpha, sheet.hu)
    return alpha
