"""Draw brain, cisterns, falx and tentorium into a thin section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ich_cli.core.phantom.anatomy.head import CENTER, PhantomHead
from ich_cli.core.phantom.anatomy.skull import SIDES, Radial
from ich_cli.core.phantom.anatomy.ventricles import Effect, Point, fill_ventricles
from ich_cli.core.phantom.drawing import Array, Canvas, capsule, cover, ellipsoid, ramp

# Grey nuclei: center, radii, difference to grey matter in HU.
NUCLEI: Final = (
    ((13.5, -22.0, 9.0), (5.5, 9.0, 9.0), 1.0),
    ((15.5, 0.0, 22.0), (3.5, 16.0, 4.5), 0.5),
    ((24.5, -5.0, 4.0), (7.0, 14.5, 11.0), 0.5),
    ((11.0, 9.0, 6.0), (8.0, 13.0, 9.5), -1.0),
)
# Cisterns: center, radii, at x and at -x.
CISTERNS: Final = (
    ((0.0, -14.0, -19.0), (11.0, 8.0, 5.5)),
    ((9.0, -17.0, -19.0), (13.0, 3.5, 4.0)),
    ((0.0, 3.0, -19.0), (6.0, 4.5, 6.0)),
    ((13.0, 16.0, -14.0), (4.0, 14.0, 7.0)),
    ((0.0, 31.0, -8.0), (10.0, 5.5, 8.0)),
    ((0.0, -1.0, -38.0), (14.0, 5.0, 14.0)),
    ((0.0, 62.0, -62.0), (10.0, 10.0, 9.0)),
    ((20.0, 9.0, -36.0), (9.0, 4.0, 5.0)),
)
STEM: Final = (
    ((0.0, 15.0, -13.0), (12.5, 10.5, 9.0)),
    ((0.0, 13.0, -33.0), (14.5, 12.0, 14.0)),
    ((0.0, 22.0, -56.0), (8.5, 8.0, 22.0)),
)


@dataclass
class Compartments:
    """CSF spaces of one thin section, into which hemorrhages spread; all `(H, W)` in [0, 1]."""

    cavity: Array
    brain: Array
    space: Array
    """Subarachnoid CSF."""
    ventricles: Array


def paint_brain(
    canvas: Canvas, head: PhantomHead, at: Radial, maps: Array, effect: Effect, flood: Array
) -> Compartments:
    """Paint everything inside the dura; return its CSF spaces.

    `maps` is `head.cortex` at the brain's coordinates; `flood` `(H, W)` is the share of blood in
    sulci, in [0, 1].
    """
    soft = canvas.soft
    cavity = cover(at.r - at.inner, soft) * cover(-at.floor, 1.5 * soft)
    canvas.mix(cavity, head.csf)
    rb = np.sqrt(np.square(canvas.b - CENTER[:, None, None]).sum(0))
    side = ramp(canvas.b[0], -6, 6)
    squeeze = effect.sulci[0] + (effect.sulci[1] - effect.sulci[0]) * side
    gap = maps[..., 0] * squeeze
    under_vault = at.inner - gap - rb
    depth = np.minimum(under_vault, at.floor - 0.6 * gap)
    tent = tentorium(canvas.b)
    below = cover(tent, 3.0)
    space, ribbon = _folds(canvas, head, under_vault, maps, squeeze, flood)
    space *= 1 - below
    ribbon = np.maximum(ribbon, cover(np.minimum(tent, at.floor) - 3.6, 1.8)) * (1 - below)
    brain = cover(-depth, soft)
    tissue = head.white + (head.grey - head.white) * ribbon + 0.8 * canvas.noise[..., 0]
    _cerebellum(canvas, head, tissue, below, depth)
    for center, radii, drop in effect.infarcts:
        _infarct(canvas, tissue, center, radii, drop)
    canvas.mix(brain, tissue)
    _nuclei(canvas, head)
    space = np.maximum(space, 1 - brain)
    _cisterns(canvas, head, space)
    canvas.mix(space * brain, head.csf)
    _brainstem(canvas, head, space)
    ventricles = fill_ventricles(canvas, head, effect)
    canvas.mix(ventricles, head.csf - 1)
    return Compartments(cavity, brain, space * cavity * (1 - ventricles), ventricles)


def _folds(
    canvas: Canvas, head: PhantomHead, depth: Array, maps: Array, squeeze: Array, flood: Array
) -> tuple[Array, Array]:
    """Return the opacity of CSF in sulci and fissures, and of cortex, both `(H, W)`."""
    soft = canvas.soft
    width = head.sulcus * squeeze + 0.7 * flood
    deep, shallow, reach = maps[..., 1], maps[..., 2], maps[..., 3]
    into = cover(depth - reach, 4.0)
    taper = np.clip(1.25 - depth / (reach + 6), 0.25, 1.25)
    slit = cover(deep - width * taper, soft) * into
    slit = np.maximum(slit, cover(shallow - 0.6 * width, soft) * cover(depth - 0.45 * reach, 3.0))
    ribbon = np.maximum(
        cover(depth - 3.4, 1.6), cover(deep - 3.2, 1.6) * cover(depth - reach - 3, 3)
    )
    ribbon = np.maximum(ribbon, cover(shallow - 2.6, 1.6) * cover(depth - 0.45 * reach - 3, 3))
    fissure = np.minimum(_midline(canvas, head), _sylvian(canvas.b, canvas.noise, head))
    fissure = fissure - 0.5 * (squeeze - 1) * head.sulcus
    slit = np.maximum(slit, cover(fissure - 0.5 * flood, soft))
    ribbon = np.maximum(ribbon, cover(fissure - 3.0 - 1.6 * canvas.noise[..., 1], 2.0))
    return slit, ribbon * (0.9 + 0.1 * canvas.noise[..., 1])


def _callosum(b: Array) -> Array:
    """Return the distance to the midline block of corpus callosum and diencephalon."""
    out: Array = (
        np.sqrt(np.square((b[1] - 3) / 44) + np.square((b[2] - 2) / 26)) - 1
    ) * np.float32(26)
    return out


def middle(canvas: Canvas) -> Array:
    """Return the distance to the left of the falx, which is not quite straight."""
    out: Array = canvas.b[0] + 0.7 * canvas.noise[..., 0]
    return out


def _midline(canvas: Canvas, head: PhantomHead) -> Array:
    b = canvas.b
    half = 0.35 + 0.9 * head.sulcus * (0.4 + 0.6 * ramp(-b[1], 30, 75))
    return np.maximum(np.abs(middle(canvas)) - half, -_callosum(b))


def _sylvian(b: Array, noise: Array, head: PhantomHead) -> Array:
    """Return the distance to the Sylvian fissures: insula, stem, and the cleft to the surface."""
    out = np.full(b.shape[1:], 50, np.float32)
    low, high = b[2].min(), b[2].max()
    if high < -20 or low > 26:
        return out
    x = np.abs(b[0]) + 2.2 * noise[..., 0]
    y, z = b[1] + 0.25 * b[2] + 2.6 * noise[..., 1], b[2]
    flat = np.stack([x, y, np.zeros_like(x)])
    half = 0.25 + 0.9 * head.sulcus
    insula = ((31, -24), (37, -12), (39, 2), (35, 16))
    lines = [(*insula[k], *insula[k + 1], half, half) for k in range(3)]
    lines += [(37, -10, 47, -14, half, half * 0.9), (47, -14, 64, -9, half * 0.9, half * 0.8)]
    lines += [(38, 8, 52, 13, half * 0.8, half * 0.7), (52, 13, 66, 22, half * 0.7, half * 0.4)]
    lines += [(31, -24, 46, -40, half, half), (46, -40, 56, -44, half, half * 1.2)]
    for x0, y0, x1, y1, ra, rb in lines:
        out = np.minimum(out, capsule(flat, (x0, y0, 0), (x1, y1, 0), ra, rb))
    return np.asarray(np.maximum(out, np.maximum(z - 20, -17 - z) * np.float32(0.5)))


def tentorium(b: Array) -> Array:
    """Return the height above the tentorium in mm; large where there is none."""
    x = np.abs(b[0])
    top = 0 - 0.40 * np.maximum(x - 6, 0) - 0.30 * np.maximum(b[1] - 46, 0)
    edge = 17 + 0.30 * x
    out: Array = np.maximum(b[2] - top, (edge - b[1]) * np.float32(0.9))
    return out


def _cerebellum(
    canvas: Canvas, head: PhantomHead, tissue: Array, below: Array, depth: Array
) -> None:
    if not below.any():
        return
    b = canvas.b
    near = np.sqrt(np.square(np.abs(b[0]) - 17) + np.square(b[1] - 42) + np.square(b[2] + 36))
    core = ramp(near, 22, 10)
    folia = np.sin(near * np.float32(1.5) + canvas.noise[..., 1]) * ramp(depth, 14, 2)
    value = head.grey - 2.2 - (head.grey - head.white) * 0.7 * core + 1.6 * folia * (0.3 + head.age)
    tissue += below * (value - tissue)


def _infarct(canvas: Canvas, tissue: Array, center: Point, radii: Point, drop: float) -> None:
    distance = ellipsoid(canvas.b, center, radii) + 0.2 * min(radii) * canvas.noise[..., 0]
    tissue -= cover(distance, 4.0) * drop


def _nuclei(canvas: Canvas, head: PhantomHead) -> None:
    for side in SIDES:
        for (x, y, z), radii, offset in NUCLEI:
            part = canvas.near((side * x, y, z), max(radii) + 2)
            if part is None:
                continue
            distance = ellipsoid(part.b, (side * x, y, z), radii) + part.noise[..., 1]
            part.mix(cover(distance, 3.6) * 0.85, head.grey + offset)


def _cisterns(canvas: Canvas, head: PhantomHead, space: Array) -> None:
    grow = 0.78 + 0.26 * head.sulcus
    for (x, y, z), radii in CISTERNS:
        for side in SIDES if x else (1.0,):
            box = canvas.plane.box((side * x, y, z), max(radii) * 1.4 + canvas.margin + 2)
            if box is None:
                continue
            b = canvas.b[(slice(None), *box)]
            distance = ellipsoid(b, (side * x, y, z), np.array(radii) * min(grow, 1.3))
            distance += 1.2 * canvas.noise[(*box, 1)]
            np.maximum(space[box], cover(distance, canvas.soft * 1.4), out=space[box])


def _brainstem(canvas: Canvas, head: PhantomHead, space: Array) -> None:
    for center, radii in STEM:
        box = canvas.plane.box(center, max(radii) + canvas.margin + 2)
        if box is None:
            continue
        alpha = cover(ellipsoid(canvas.b[(slice(None), *box)], center, radii), canvas.soft)
        canvas.hu[box] += alpha * (head.white + 2.5 - canvas.hu[box])
        space[box] *= 1 - alpha


def paint_dura(
    canvas: Canvas, head: PhantomHead, inside: Compartments, bright: float = 0.0
) -> None:
    """Paint falx, tentorium, venous sinuses and the calcifications everybody has."""
    b = canvas.b
    sheet = cover(np.abs(middle(canvas)) - 0.5, canvas.soft) * ramp(_callosum(b), 4, 9)
    sheet *= cover(-tentorium(b) + 0, 2.0) * inside.cavity
    canvas.mix(sheet * 0.85, head.falx_hu + bright)
    tent = tentorium(b)
    leaf = cover(np.abs(tent) - 0.7, canvas.soft * 1.3) * ramp(b[1], 20, 28) * inside.cavity
    canvas.mix(leaf * 0.75, head.falx_hu + bright)
    edge = cover(np.abs(np.abs(b[0]) - 0) - 4, 2) * inside.cavity * ramp(b[1], 40, 70)
    canvas.mix(edge * (1 - inside.brain), 52.0 + bright)
    _calcifications(canvas, head)


def _calcifications(canvas: Canvas, head: PhantomHead) -> None:
    spots: list[tuple[Point, float, float]] = []
    if head.calcified["plexus"]:
        spots += [((s * 20, 34, 8), 2.6, head.calcified["plexus"]) for s in SIDES]
    if head.calcified["pineal"]:
        spots.append(((0, 26, -1), 2.2, head.calcified["pineal"]))
    if head.calcified["basal"]:
        spots += [((s * 20, -6, 3), 4.0, head.calcified["basal"]) for s in SIDES]
    if head.calcified["falx"]:
        spots.append(((0.5, -58, 26), 2.5, head.calcified["falx"]))
    for center, radius, value in spots:
        part = canvas.near(center, 3 * radius)
        if part is not None:
            distance = ellipsoid(part.b, center, (radius, 1.6 * radius, 1.5 * radius))
            part.paint(distance + 0.5 * radius * part.noise[..., 2], value)
