"""Notes on slices that the quality gate and tests look up."""

from __future__ import annotations

from enum import StrEnum


class Note(StrEnum):
    """Fixed notes on a slice; the value is the text shown to the user."""

    CONTRAST = "contrast agent given: iodine looks like blood"
    LOSSY = "lossy compression"
    SECONDARY_CAPTURE = "secondary capture"
    NOT_HEAD = "BodyPartExamined is not the head"
    NO_AIR = "no air in the slice: its HU may be off"
    UNIT_ASSUMED = "RescaleType does not say HU: taken as HU, for air and soft tissue fit"
