"""Draw scalp, vault, skull base and face into a thin section."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ich_cli.core.phantom.anatomy.head import PhantomHead
from ich_cli.core.phantom.drawing import Array, Canvas, capsule, cover, ellipsoid, ramp

AIR = -1000.0
SIDES = (-1.0, 1.0)


@dataclass
class Radial:
    """Values of the direction maps at each pixel `(H, W)`."""

    r: Array
    """Distance from the head's center."""
    inner: Array
    outer: Array
    muscle: Array
    skin: Array
    direction: Array
    """`(3, H, W)` unit vectors from the center."""
    floor: Array
    """Height above the skull base (negative below)."""
    plate: Array
    """Thickness of the skull base."""


def paint_outside(canvas: Canvas, head: PhantomHead, at: Radial) -> None:
    """Paint skin, fat, muscle and the vault of the skull over the air."""
    soft = canvas.soft
    canvas.paint(at.r - at.skin, 15.0)
    canvas.paint(at.r - at.skin + 1.6, head.fat + 10 * canvas.noise[..., 2])
    canvas.paint(at.r - at.muscle, 48 + 6 * canvas.noise[..., 2])
    if canvas.p[2].min() < 0:
        _paint_face(canvas, head, at)
        _paint_ears(canvas, at)
    shell = _shell(at.direction)
    bone = cover(at.r - at.outer, soft) * shell
    canvas.mix(bone, head.bone)
    depth = (at.r - at.inner) / (at.outer - at.inner)
    thick = ramp(at.outer - at.inner, 3.0, 6.0)
    diploe = ramp(np.abs(depth - 0.5), 0.34, 0.16) * thick * shell
    canvas.mix(diploe, head.bone * 0.5 + 110 * canvas.noise[..., 2])


def _shell(d: Array) -> Array:
    """Return the region of the vault: down to the brows in front, to the nape behind."""
    limit = -0.46 + 0.28 * np.maximum(-d[1], 0) - 0.30 * np.maximum(d[1], 0)
    return ramp(d[2] - limit, -0.05, 0.05)


def paint_base(canvas: Canvas, head: PhantomHead, at: Radial) -> None:
    """Paint the plates of the skull base with the petrous bones, the sinuses and mastoid cells."""
    soft = canvas.soft
    plate = cover(at.floor, 1.6 * soft) * cover(-at.floor - at.plate, 2 * soft)
    plate *= cover(at.r - at.outer, soft)
    canvas.mix(plate, head.bone * 0.72 + 160 * canvas.noise[..., 2])
    for side in SIDES:
        _paint_mastoid(canvas, head, side)
        _paint_cavity(canvas, head, (side * 8, -24, -38), (10, 12, 9), head.sinus)
    _paint_frontal_sinus(canvas, head, at)


def _paint_cavity(
    canvas: Canvas,
    head: PhantomHead,
    center: tuple[float, ...],
    radii: tuple[float, ...],
    scale: float,
) -> None:
    """Paint an air sinus with its bony wall."""
    part = canvas.near(center, max(radii) * scale + 4)
    if part is None:
        return
    size = np.asarray(radii) * np.array([scale, 1 if scale == 1.0 else scale, scale])
    distance = ellipsoid(part.p, center, np.maximum(size, 2)) + 1.2 * part.noise[..., 1]
    part.paint(distance - 1.6, head.bone * 0.8)
    part.paint(distance, AIR)


def _paint_frontal_sinus(canvas: Canvas, head: PhantomHead, at: Radial) -> None:
    """Paint air between the tables of the frontal bone above the nose, in two lobes."""
    d, size = at.direction, head.sinus
    lobe = np.abs(d[0] + 0.03 * canvas.noise[..., 0]) - 0.13 * size
    where = np.sqrt(np.square(lobe / (0.12 * size)) + np.square((d[2] + 0.08) / (0.17 * size)))
    alpha = cover((where - 1) * 10 + 2 * canvas.noise[..., 1], 3.0) * (d[1] < 0)
    alpha *= cover(at.inner + 2.2 - at.r, canvas.soft) * cover(at.r - at.outer + 2.0, canvas.soft)
    canvas.mix(alpha, AIR)


def _paint_ears(canvas: Canvas, at: Radial) -> None:
    out = at.r - at.skin
    shell = np.sqrt(
        np.square((out - 2) / 7)
        + np.square((canvas.p[1] - 18) / 15)
        + np.square((canvas.p[2] + 34) / 26)
    )
    alpha = cover((np.abs(shell - 0.85) - 0.13) * 8, canvas.soft) * cover(-out, canvas.soft)
    alpha *= np.abs(at.direction[0]) > 0.6
    canvas.mix(alpha, 10.0)


def _paint_mastoid(canvas: Canvas, head: PhantomHead, side: float) -> None:
    center = (side * 54, 26, -40)
    part = canvas.near(center, 24)
    if part is None:
        return
    inside = cover(ellipsoid(part.p, center, (12, 17, 20)), 2.0)
    inside *= cover(part.p[2] + 24, 3.0)
    cells = ramp(part.noise[..., 3], 0.1, 0.7)
    part.mix(inside, head.bone * 0.65)
    part.mix(inside * cells, -800.0)
    canal = canvas.near((side * 66, 12, -36), 16)
    if canal is not None:
        tube = capsule(canal.p, (side * 70, 13, -37), (side * 50, 11, -35), 3.5, 2.5)
        canal.paint(tube - 2.0, head.bone * 0.7)
        canal.paint(tube, AIR)


def _paint_face(canvas: Canvas, head: PhantomHead, at: Radial) -> None:
    """Paint the parts below and in front of the skull: flesh, orbits, nose, cheek bones, neck."""
    flesh = cover(at.r - at.skin + 5.0, 3.0) * ramp(canvas.p[2], -4, -22)
    flesh *= 1 - _shell(at.direction)
    canvas.mix(flesh, np.where(canvas.noise[..., 1] > -0.25, 52.0, head.fat).astype(np.float32))
    for side in SIDES:
        _paint_cavity(canvas, head, (side * 27, -62, -66), (15, 18, 17), 1.0)
        _paint_cheek(canvas, head, side)
    _paint_nose(canvas, head)
    for side in SIDES:
        _paint_orbit(canvas, head, side)
    _paint_canal(canvas, head)


def _paint_orbit(canvas: Canvas, head: PhantomHead, side: float) -> None:
    part = canvas.near((side * 31, -68, -31), 34)
    if part is None:
        return
    socket = ellipsoid(part.p, (side * (31 + 0.0), -72, -31), (19, 31, 17))
    socket += 0.30 * np.maximum(part.p[1] + 68, 0) * (1 + side * (part.p[0] - side * 31) / 40)
    bone = cover(socket - 2.2, part.soft) * ramp(part.p[1], -86, -77)
    part.mix(bone, head.bone * 0.75)
    part.mix(cover(socket, part.soft) * ramp(part.p[1], -98, -93), head.fat)
    globe = (side * 32, -84.0, -31.0)
    back = (side * 14, -44, -28)
    part.paint(capsule(part.p, globe, back, 2.6, 2.2), 32.0)
    for offset, lift in ((-13.0, 0.0), (13.0, 0.0), (0.0, 11.0), (0.0, -11.0)):
        start = (side * 32 + offset, -80, -31 + lift)
        part.paint(capsule(part.p, start, back, 1.8, 1.5), 45.0)
    ball = ellipsoid(part.p, globe, (12, 12, 12))
    part.paint(ball, 48.0)
    part.paint(ball + 1.6, 9.0)
    part.paint(ellipsoid(part.p, (side * 32, -92.5, -31), (4.6, 2.2, 4.6)), 90.0)


def _paint_cheek(canvas: Canvas, head: PhantomHead, side: float) -> None:
    """Paint the cheek bone, its arch, the lateral rim of the orbit, jaw and pterygoid."""
    bones = (
        ((50, -68, -52), (62, -42, -50), 4.5, 3.0),
        ((62, -42, -50), (66, 2, -42), 3.0, 2.8),
        ((46, -68, -19), (49, -66, -52), 3.5, 4.5),
        ((52, 0, -48), (49, -8, -95), 6.0, 4.5),
        ((14, -30, -48), (15, -34, -90), 2.2, 1.8),
    )
    for start, end, ra, rb in bones:
        a, b = np.array(start) * (side, 1, 1), np.array(end) * (side, 1, 1)
        part = canvas.near((a + b) / 2, float(np.linalg.norm(b - a)) / 2 + 8)
        if part is not None:
            part.paint(capsule(part.p, a, b, ra, rb), head.bone * 0.85)


def _paint_nose(canvas: Canvas, head: PhantomHead) -> None:
    part = canvas.near((0, -64, -46), 46)
    if part is None:
        return
    x, y, z = part.p
    inside = cover(np.abs(x) - 12 - 3 * ramp(z, -40, -60), 2) * cover(np.abs(y + 66) - 24, 2)
    inside *= cover(z + 19, 3)
    part.mix(cover(np.abs(x) - 14, 2) * cover(np.abs(y + 66) - 26, 2) * cover(z + 17, 3), 500.0)
    part.mix(inside, AIR)
    walls = cover(np.abs(part.noise[..., 2]) - 0.16, 0.25) * ramp(np.abs(x), 1.5, 3.0)
    part.mix(inside * walls, 150.0)
    turbinate = ramp(part.noise[..., 1], 0.3, 0.7) * ramp(z, -38, -46)
    part.mix(inside * turbinate, 40.0)
    septum = cover(np.abs(x - 2.5 * np.sin(y / 14)) - 0.9, part.soft) * inside
    part.mix(septum, 250.0)
    bridge = capsule(part.p, (0, -92, -18), (0, -106, -44), 3.5, 2.5)
    part.paint(bridge, head.bone * 0.7)


def _paint_canal(canvas: Canvas, head: PhantomHead) -> None:
    """Paint the rim of the foramen magnum, the first vertebra's ring, and the cord in it."""
    part = canvas.near((0, 42, -92), 48)
    if part is None:
        return
    x, y, z = part.p
    ring = np.sqrt(np.square(x / 15) + np.square((y - 42) / 19))
    low = ramp(z, -64, -70)
    part.mix(cover((np.abs(ring - 1.22) - 0.22) * 15, part.soft) * low, head.bone * 0.7)
    for side in SIDES:
        part.paint(ellipsoid(part.p, (side * 22, 30, -78), (9, 13, 12)), head.bone * 0.75)
    part.mix(cover((ring - 1) * 15, part.soft) * low, head.csf + 4)
    cord = np.sqrt(np.square(x / 7.5) + np.square((y - 41) / 6.5))
    part.mix(cover((cord - 1) * 7, part.soft) * low, head.white + 2)
