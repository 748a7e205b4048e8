"""Pictures of a slice: orientation marks, and a map laid over it. Pure functions of arrays."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.ctslice import Geometry, Vector

_AXES: Final = (("L", "R"), ("P", "A"), ("H", "F"))  # where +x, +y, +z point, and the other way


class Marks(NamedTuple):
    """Letters at the four sides of a picture; empty where the orientation is not known."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


def orientation_marks(geometry: Geometry) -> Marks:
    """Return which side of the patient each side of the picture shows.

    Letters of PS3.3 C.7.6.1.1.1 (Patient Orientation): R, L, A, P, H, F, the nearest axis.

    Parameters
    ----------
    geometry
        Of the slice; its directions come from ImageOrientationPatient.
    """
    if geometry.row_direction is None or geometry.column_direction is None:
        return Marks()
    right, left = _letters(geometry.row_direction)
    bottom, top = _letters(geometry.column_direction)
    return Marks(left=left, right=right, top=top, bottom=bottom)


def _letters(direction: Vector) -> tuple[str, str]:
    axis = int(np.argmax(np.abs(direction)))
    plus, minus = _AXES[axis]
    return (plus, minus) if direction[axis] > 0 else (minus, plus)


def colour_map(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return colours of a map: matplotlib's `inferno`, which the colour-blind can read too.

    Parameters
    ----------
    values
        ``(H, W)`` in [0, 1].

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W, 3)`` RGB in [0, 1].
    """
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.clip(values, 0, 1))[..., :3], np.float32)


def blend(
    grey: NDArray[np.float32], values: NDArray[np.float32], opacity: float = 0.6
) -> NDArray[np.float32]:
    """Lay a map over a slice; the colour is as strong as the map, so a weak map looks weak.

    Parameters
    ----------
    grey
        ``(H, W)`` in [0, 1], a windowed slice.
    values
        ``(H, W)`` in [0, 1].
    opacity
        Of the colour where the map is 1, in [0, 1].

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W, 3)`` RGB in [0, 1].
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"an opacity lies in 0 … 1, not {opacity}")
    strength = (np.clip(values, 0, 1) * opacity)[..., None]
    mixed = grey[..., None] * (1 - strength) + colour_map(values) * strength
    return np.asarray(mixed, np.float32)
