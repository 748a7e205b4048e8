"""Sample hemorrhages of the five subtypes at plausible places."""

from __future__ import annotations

import cv2
import numpy as np

from ich_cli.core.phantom.anatomy.head import CENTER, PhantomHead
from ich_cli.core.phantom.anatomy.ventricles import HORN, Point
from ich_cli.core.phantom.drawing import TEXTURE, Array, lambert_directions, ramp, smooth_noise
from ich_cli.core.phantom.hemorrhage.lesions import (
    EPIDURAL,
    SUBDURAL,
    Cast,
    Flood,
    Focus,
    Lesions,
    Sheet,
    Shell,
)


def acute(rng: np.random.Generator) -> float:
    """Sample the density of blood: mostly acute (52 … 82 HU), sometimes nearly isodense."""
    return float(rng.uniform(52, 82) if rng.random() < 0.82 else rng.uniform(38, 54))


def add_bleed(rng: np.random.Generator, head: PhantomHead, kind: int, lesions: Lesions) -> None:
    """Sample one hemorrhage of subtype number `kind` and add it to `lesions`."""
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


def _add_epidural(rng: np.random.Generator, head: PhantomHead, lesions: Lesions) -> None:
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
    lens = peak * np.clip(1 - q * q, 0, None) ** 0.7
    coronal = d[1] + 0.30 - 0.25 * d[2]  # the dura is attached at sutures: blood stops there
    lambdoid = d[1] - 0.72 + 0.35 * d[2]
    for plane in (coronal, lambdoid):
        mine = np.sign(float(plane.ravel()[np.argmin(q)]))
        lens *= ramp(plane * mine, -0.02, 0.10)
    lens = cv2.GaussianBlur(lens.astype(np.float32), (0, 0), 6.0)  # the dura has no corners
    shell = Shell(EPIDURAL, lens, acute(rng), 0.0, 0.0)
    shell.swirl = float(rng.choice([1.0, 4.0, 9.0]))
    lesions.shells.append(shell)
    lesions.focus_of_interest.append(float(center[2] * 66))
    _push(lesions, side, max(0.0, peak - 7) * float(rng.uniform(0.1, 0.4)), center)


def _add_subdural(rng: np.random.Generator, head: PhantomHead, lesions: Lesions) -> None:
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


def _add_crescent(
    rng: np.random.Generator, head: PhantomHead, lesions: Lesions, side: float
) -> None:
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


def _add_focal(rng: np.random.Generator, head: PhantomHead, lesions: Lesions) -> None:
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
        x, y, z = (float(o + (k > 0) * rng.normal(0, 9)) for o in origin)
        rx, ry, rz = (float(size * rng.uniform(0.65, 1.35)) for _ in range(3))
        turn, rough = float(rng.uniform(0, 3.1)), float(rng.uniform(0.08, 0.3))
        focus = Focus((x, y, z), (rx, ry, rz), turn, rough, hu + float(rng.normal(0, 3)),
                      float(rng.choice([1.0, 3.0, 8.0])), halo,
                      float(rng.uniform(5, 13)))  # fmt: skip
        lesions.foci.append(focus)
    lesions.focus_of_interest.append(float(origin[2]))
    toward = np.array(origin, np.float32) / 70
    _push(lesions, side, max(0.0, radius - 11) * float(rng.uniform(0.1, 0.5)), toward)


def _focus_place(rng: np.random.Generator, place: str, side: float) -> tuple[float, float, float]:
    x: float
    y: float
    z: float
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


def _add_flood(rng: np.random.Generator, head: PhantomHead, lesions: Lesions) -> None:
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


def _add_cast(rng: np.random.Generator, head: PhantomHead, lesions: Lesions) -> None:
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
