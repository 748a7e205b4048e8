"""Remarks on a slice that later steps look for."""

from __future__ import annotations

from typing import Final

NOT_AXIAL: Final = "not axial (ImageOrientationPatient)"
"""Note of a slice that is left out for it."""


CONTRAST: Final = "contrast agent given: iodine looks like blood"
"""Note of a slice whose header names a contrast agent."""
