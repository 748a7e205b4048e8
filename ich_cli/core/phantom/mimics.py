"""Findings that look like blood and are none, and other things seen on head CT."""

from __future__ import annotations

import numpy as np

from ich_cli.core.phantom.brain import Compartments
from ich_cli.core.phantom.fields import Canvas
from ich_cli.core.phantom.head import Head
from ich_cli.core.phantom.hemorrhage import Lesions
from ich_cli.core.phantom.skull import Radial


def add_mimics(rng: np.random.Generator, head: Head, lesions: Lesions) -> None:
    """Draw old infarcts."""
    if rng.random() < 0.18:
        side = float(rng.choice([-1, 1]))
        center = (
            side * float(rng.uniform(15, 50)),
            float(rng.uniform(-50, 65)),
            float(rng.uniform(-5, 45)),
        )
        size = float(rng.uniform(4, 22))
        radii = (size, size * float(rng.uniform(0.6, 1.5)), size * float(rng.uniform(0.6, 1.2)))
        lesions.effect.infarcts.append((center, radii, float(rng.uniform(5, 22))))


def paint_mimics(
    canvas: Canvas, head: Head, lesions: Lesions, at: Radial, inside: Compartments
) -> None:
    """Paint them."""
