"""Checks of values that come from outside."""

from __future__ import annotations

import math


def is_number(value: object) -> bool:
    """Whether a parsed JSON value is a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False
