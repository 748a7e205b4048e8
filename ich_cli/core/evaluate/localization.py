"""How well a map agrees with where the hemorrhage is known to be: arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import Mask

_TIE = 1e-6  # of the peak: what is nearer counts as equal


def pointing_game(values: NDArray[np.float32], mask: Mask) -> float:
    """Tell whether a map's peak lies in the mask (Zhang et al., arXiv 1608.00507).

    Without the 15 pixels of tolerance of that paper.

    Parameters
    ----------
    values
        float32 ``(H, W)``, at least 0.
    mask
        bool ``(H, W)``.

    Returns
    -------
    float
        1 or 0; where several pixels share the peak, the share of them inside. 0 of an empty map.
    """
    _check(values, mask)
    peak = float(values.max())
    if peak <= 0:
        return 0.0
    return float(mask[values >= peak * (1 - _TIE)].mean())


def mass_inside(values: NDArray[np.float32], mask: Mask) -> float:
    """Return the share of a map's sum that lies in the mask (the "energy" of arXiv 1910.01279).

    Parameters
    ----------
    values
        float32 ``(H, W)``, at least 0.
    mask
        bool ``(H, W)``.

    Returns
    -------
    float
        In [0, 1]; 0 of an empty map.
    """
    _check(values, mask)
    total = float(values.sum(dtype=np.float64))
    return float(values[mask].sum(dtype=np.float64)) / total if total > 0 else 0.0


def chance(mask: Mask, head: Mask) -> float:
    """Return what a map that knows nothing gets of both: the mask's share of the head."""
    inside = int(head.sum())
    return float((mask & head).sum()) / inside if inside else 0.0


def _check(values: NDArray[np.float32], mask: Mask) -> None:
    if values.shape != mask.shape:
        raise ValueError(f"a map of {values.shape} against a mask of {mask.shape}")
