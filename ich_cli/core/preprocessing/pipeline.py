"""Turn a slice into model input; used by train, evaluate, predict, explain and the page.

CTSlice (H, W) HU ── upright ── head_box ── crop ── window ── pad to a black square ── resize ──▶
uint8 (C, S, S)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.imaging import head_box, to_uint8
from ich_cli.core.preprocessing.config import PreprocessConfig
from ich_cli.core.preprocessing.dlmi import prepare_dlmi
from ich_cli.core.preprocessing.orientation import orientation_of, upright
from ich_cli.core.preprocessing.placement import Placement, Prepared, centred, crop, pad, resize

Neighbours = Mapping[int, Sequence[CTSlice | None]]
"""Context n → the n slices before and the n slices after one; None past the ends of the series."""


def prepare(
    ct: CTSlice, config: PreprocessConfig, neighbours: Sequence[CTSlice | None] = ()
) -> Prepared:
    """Turn a slice into model input.

    Parameters
    ----------
    ct
        The slice in HU, as stored; `upright` turns it, except for the `dlmi` preset.
    config
        Preset, size, windows and context, as saved in the bundle.
    neighbours
        With ``context=n``, the n slices before and the n after it in anatomical order, None past
        the ends of the series. The slice itself replaces those that are missing.

    Returns
    -------
    Prepared
        uint8 ``(C, S, S)`` and the placement, with which `uncrop` maps back to the slice.

    Raises
    ------
    ValueError
        If there are neighbours, but not ``2 * context`` of them.
    """
    return prepare_each(ct, (config,), {config.context: neighbours})[0]


def prepare_each(
    ct: CTSlice, configs: Sequence[PreprocessConfig], neighbours: Neighbours | None = None
) -> tuple[Prepared, ...]:
    """Prepare a slice for several networks; it is turned upright and its head found once.

    Parameters
    ----------
    ct
        The slice in HU, as stored.
    configs
        One for each network.
    neighbours
        By context; without them the slice itself replaces its neighbours.
    """
    given = neighbours or {}
    if all(one.preset == "dlmi" for one in configs):
        return tuple(prepare_dlmi(ct.hu, one.size) for one in configs)
    orientation, turned = orientation_of(ct), upright(ct)
    box = head_box(turned.hu)
    return tuple(
        prepare_dlmi(ct.hu, one.size)
        if one.preset == "dlmi"
        else _prepare(turned, one, given.get(one.context, ()), centred(box, one.size, orientation))
        for one in configs
    )


def _prepare(
    turned: CTSlice,
    config: PreprocessConfig,
    neighbours: Sequence[CTSlice | None],
    placement: Placement,
) -> Prepared:
    """Window and resize an upright slice and its neighbours as stored."""
    planes = np.empty((config.channels, config.size, config.size), np.uint8)
    unfilled = iter(planes)
    for one in _stack(turned, neighbours, config.context):
        cropped = crop(one.hu, placement)
        square = np.zeros((placement.side, placement.side), np.uint8)
        for window in config.windows:
            pad(to_uint8(cropped, window), placement, square)
            resize(square, config.size, next(unfilled))
    return Prepared(planes, placement)


def prepare_mask(mask: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """Resample lesion masks of a slice to the model's input.

    Parameters
    ----------
    mask
        uint8 ``(H, W)``, as stored; each bit is a mask of its own.
    placement
        As returned by `prepare`.

    Returns
    -------
    numpy.ndarray
        uint8 ``(S, S)``; a bit is set where its mask covers at least a quarter of the pixel.
    """
    turned = placement.orientation.apply_to_mask(mask)
    square = pad(crop(turned, placement), placement)
    out = np.zeros((placement.size, placement.size), np.uint8)
    for bit in range(8):
        plane = np.where(square & np.uint8(1 << bit), 255, 0).astype(np.uint8)
        if plane.any():
            out |= (resize(plane, placement.size) >= 64).astype(np.uint8) << np.uint8(bit)
    return out


def _stack(turned: CTSlice, neighbours: Sequence[CTSlice | None], context: int) -> list[CTSlice]:
    given = list(neighbours) or [None] * (2 * context)
    if len(given) != 2 * context:
        raise ValueError(f"context {context} takes {2 * context} neighbours, not {len(given)}")
    around = [turned if one is None else upright(one) for one in given]
    return [*around[:context], turned, *around[context:]]
