"""Render a slice: average thin sections through head and lesions, then simulate the scanner."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ich_cli.core.phantom import scanner as physics
from ich_cli.core.phantom.anatomy.brain import paint_brain, paint_dura
from ich_cli.core.phantom.anatomy.head import CENTER, PhantomHead
from ich_cli.core.phantom.anatomy.mimics import Mimics, paint_mimics, swell
from ich_cli.core.phantom.anatomy.skull import AIR, Radial, paint_base, paint_outside
from ich_cli.core.phantom.drawing import TEXTURE, Array, Canvas, Plane, lambert
from ich_cli.core.phantom.geometry import PhantomGeometry
from ich_cli.core.phantom.hemorrhage.lesions import Lesions, displace, flood_weight
from ich_cli.core.phantom.hemorrhage.painting import paint_bleeds
from ich_cli.core.phantom.scanner import Scanner

Blood = dict[int, Array]


@dataclass
class Patient:
    """Head with all its findings."""

    head: PhantomHead
    lesions: Lesions
    mimics: Mimics


def render_slice(
    patient: Patient,
    scanner: Scanner,
    geometry: PhantomGeometry,
    index: int,
    size: int,
    rng: np.random.Generator,
) -> tuple[Array, Blood]:
    """Return the HU picture `(size, size)` and each subtype's occupancy, same shape, [0, 1]."""
    work = size if size <= 256 else max(256, size // 2)
    count = 2 if geometry.thickness <= 3.5 else 3
    total, blood = np.zeros((work, work), np.float32), Blood()
    for k in range(count):
        offset = ((k + 0.5) / count - 0.5) * geometry.thickness
        plane = geometry.plane(index, size, work, offset)
        picture, found = _section(patient, plane)
        total += picture
        for kind, (alpha, box) in found.items():
            blood.setdefault(kind, np.zeros((work, work), np.float32))[box] += alpha / count
    total /= np.float32(count)
    step = geometry.spacing[0] * size / work
    picture = _simulate_scan(total, scanner, geometry, index, step, rng)
    return _finish(picture, scanner, size, geometry, rng), {
        kind: _enlarge(alpha, size) for kind, alpha in blood.items()
    }


def _enlarge(picture: Array, size: int, how: int = cv2.INTER_LINEAR) -> Array:
    if picture.shape[0] == size:
        return picture
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how))


def _sample(maps: Array, place: Array) -> Array:
    """Sample `maps (T, T, C)` at texel coordinates `place (2, H, W)`, periodic."""
    return np.asarray(
        cv2.remap(maps, place[0], place[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    )


def _directions(p: Array) -> tuple[Array, Array]:
    offset = p - CENTER[:, None, None]
    r = np.sqrt(np.square(offset).sum(0)) + np.float32(1e-3)
    return offset / r, r


def _bounds(head: PhantomHead, plane: Plane) -> tuple[slice, slice] | None:
    """Return the pixels that the head may cover, or None if the plane passes above it."""
    stride = 8
    direction, r = _directions(plane.points(stride))
    inside = r < _sample(head.surface, lambert(direction))[..., 3] + 9
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    top, left = max(0, rows[0] * stride - 10), max(0, cols[0] * stride - 10)
    return (
        slice(int(top), int(min(plane.shape[0], rows[-1] * stride + 11))),
        slice(int(left), int(min(plane.shape[1], cols[-1] * stride + 11))),
    )


def _deformed_points(head: PhantomHead, plane: Plane) -> Array:
    """Return the points of a plane in the standard head after a smooth deformation, `(3, H, W)`."""
    stride = 8
    coarse = plane.points(stride)
    bend = np.zeros_like(coarse)
    for axis in range(3):
        for a, kx, ky, kz, phase in head.wobble[axis]:
            bend[axis] += a * np.sin(kx * coarse[0] + ky * coarse[1] + kz * coarse[2] + phase)
    height, width = coarse.shape[1] * stride, coarse.shape[2] * stride
    points = plane.points()
    for axis in range(3):
        fine = cv2.resize(bend[axis], (width, height), interpolation=cv2.INTER_LINEAR)
        points[axis] += fine[: plane.shape[0], : plane.shape[1]]
    return points


def _section(
    patient: Patient, plane: Plane
) -> tuple[Array, dict[int, tuple[Array, tuple[slice, slice]]]]:
    """Return the HU picture of one thin section and the blood in it."""
    head, lesions, mimics = patient.head, patient.lesions, patient.mimics
    picture = np.full(plane.shape, AIR, np.float32)
    box = _bounds(head, plane)
    if box is None:
        return picture, {}
    part = plane.crop(box[0].start, box[1].start, box[0].stop, box[1].stop)
    p = _deformed_points(head, part)
    direction, r = _directions(p)
    texel = lambert(direction)
    surface = _sample(head.surface, texel)
    tile = np.stack([p[0] + 0.61 * p[2], p[1] + 0.79 * p[2]]).astype(np.float32)
    noise = _sample(head.tiles, tile)
    base = _sample(head.base, p[:2] * 2 + TEXTURE / 2)
    inner, outer, muscle, skin = np.moveaxis(surface, -1, 0)
    skin = skin + swell(mimics, direction)
    at = Radial(r, inner, outer, muscle, skin, direction, p[2] - base[..., 0], base[..., 1])
    shells = [_sample(s.thickness, texel) for s in lesions.shells]
    thickness = sum(shells, np.zeros_like(r))
    moved = bool(lesions.shells or lesions.foci or any(lesions.shift))
    b = displace(p, thickness, at.inner, lesions) if moved else p
    soft = float(np.linalg.norm(plane.right)) * 1.15
    canvas = Canvas(part, p, b, noise, picture[box], soft, lesions.reach if moved else 2.0)
    paint_outside(canvas, head, at)
    paint_base(canvas, head, at)
    place = lambert(_directions(b)[0]) if moved else texel
    place = place + np.stack([4 * noise[..., 0], np.float32(2.5) * noise[..., 1]])
    flood = flood_weight(b, noise, lesions.floods)
    inside = paint_brain(canvas, head, at, _sample(head.cortex, place), lesions.effect, flood)
    paint_dura(canvas, head, inside, mimics.venous)
    paint_mimics(canvas, mimics, head, at, inside)
    found = paint_bleeds(canvas, inside, lesions, (r, shells, at.inner), flood)
    return picture, {kind: (alpha, box) for kind, alpha in found.items()}


def _simulate_scan(
    picture: Array,
    scanner: Scanner,
    geometry: PhantomGeometry,
    index: int,
    step: float,
    rng: np.random.Generator,
) -> Array:
    """Add headrest, beam hardening and scatter to the averaged sections."""
    size = picture.shape[0]
    x = (np.arange(size, dtype=np.float32)[None, :] - size / 2) * np.float32(step)
    y = (np.arange(size, dtype=np.float32)[:, None] - size / 2) * np.float32(step)
    rows = np.flatnonzero((picture > -400).any(1))
    bottom = geometry.rest_height
    alpha, hu = physics.headrest(scanner, x, y, bottom)
    picture = picture + alpha * (hu - picture) * (picture < -700)
    if len(rows):
        body = np.clip((picture + 500) / 400, 0, 1)
        picture = picture + body * scanner.hardening * physics.hardening(picture, step)
        picture += scanner.glare * physics.glare(picture, step) * (picture > -20) * (picture < 120)
    return picture


def _finish(
    picture: Array, scanner: Scanner, size: int, geometry: PhantomGeometry, rng: np.random.Generator
) -> Array:
    """Enlarge, apply the kernel, add noise and calibration error."""
    level = physics.noise_level(picture)
    picture = _enlarge(picture, size, how=cv2.INTER_CUBIC)
    smooth: Array = np.asarray(
        cv2.GaussianBlur(picture, (0, 0), scanner.blur * size / 512 + 0.15), np.float32
    )
    if scanner.sharp > 0.02:
        wide = cv2.GaussianBlur(smooth, (0, 0), 2.0 * size / 512 + 0.2)
        smooth = smooth + scanner.sharp * (smooth - wide)
    strength = scanner.noise * np.sqrt(5 / geometry.thickness) * (size / 512) ** 0.5
    noise = physics.noise_field(rng, (size, size), max(0.45, scanner.grain * size / 512))
    smooth = smooth + noise * _enlarge(level, size) * np.float32(strength)
    smooth = smooth * np.float32(scanner.gain) + np.float32(scanner.offset)
    return np.asarray(np.maximum(smooth, -1024), np.float32)
