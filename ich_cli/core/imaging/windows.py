"""CT windows, and the named ones."""

from __future__ import annotations

from typing import Final, NamedTuple


class Window(NamedTuple):
    """HU range ``center ± width / 2`` that is mapped onto [0, 1]."""

    center: float
    width: float


BRAIN: Final = Window(40, 80)
SUBDURAL: Final = Window(80, 200)
BONE: Final = Window(600, 2800)
STROKE: Final = Window(40, 40)

DISPLAY_WINDOWS: Final = {"brain": BRAIN, "subdural": SUBDURAL, "stroke": STROKE, "bone": BONE}
