"""Draw the hemorrhages into a thin section."""

from __future__ import annotations

import numpy as np

from ich_cli.core.phantom.anatomy.brain import Compartments, tentorium
from ich_cli.core.phantom.drawing import Array, Canvas, cover, ellipsoid, ramp
from ich_cli.core.phantom.hemorrhage.lesions import (
    INTRAVENTRICULAR,
    PARENCHYMAL,
    SUBARACHNOID,
    SUBDURAL,
    Cast,
    Focus,
    Lesions,
    Sheet,
)


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
        blood = _paint_focus(canvas, inside, focus)
        if blood is not None:
            note(PARENCHYMAL, blood)
    for sheet in lesions.sheets:
        note(SUBDURAL, _paint_sheet(canvas, inside, sheet))
    r, thicknesses, inner = layers
    depth = np.zeros_like(r)
    for shell, thickness in sorted(
        zip(lesions.shells, thicknesses, strict=True), key=lambda pair: pair[0].kind
    ):
        alpha = cover(inner - depth - thickness - r, canvas.soft)
        alpha *= cover(r - inner + depth, canvas.soft)
        alpha *= inside.cavity * ramp(thickness, 0.2, 1.0)
        sediment = shell.layers * ramp(canvas.p[1], -20, 60) if shell.layers else 0.0
        canvas.mix(alpha, shell.hu + shell.swirl * canvas.noise[..., 1] + sediment)
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
    box = canvas.plane.box(focus.center, reach + canvas.margin)
    part = canvas.near(focus.center, reach)
    if box is None or part is None:
        return None
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
        over = tentorium(b)
        alpha = cover(over - thick, canvas.soft) * cover(-over, canvas.soft) * ramp(b[1], 14, 22)
        alpha *= cover(-sheet.side * b[0] + 8, 4.0)
    else:
        x = b[0] * np.float32(sheet.side)
        alpha = cover(x - thick, canvas.soft) * cover(-x, canvas.soft)
        alpha *= cover(-tentorium(b), 2.0)
    alpha *= inside.cavity * ramp(thick, 0.3, 1.0)
    canvas.mix(alpha, sheet.hu)
    return alpha
