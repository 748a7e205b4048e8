"""Images for reports: slices without background, and slices with maps.

All reports request maps here, so that they show the same ones.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import CTSlice
from ich_cli.core.errors import IchError
from ich_cli.core.explain import explain
from ich_cli.core.imaging import EdgeLetters, blend, edge_letters, head_box, head_mask, picture
from ich_cli.core.report.study_result import PredictedSlice, StudyResult
from ich_cli.core.viz import METHOD_NAMES

SIDE: Final = 440
"""Longer side of an image in a report, in pixels."""

_MARGIN_MM: Final = 6.0  # margin around the skin, to keep ears and a thin scalp


@dataclass(frozen=True, eq=False)
class MappedSlice:
    """A slice and its maps."""

    ct: CTSlice
    maps: dict[str, NDArray[np.float32]]
    """Label → float32 ``(H, W)`` in [0, 1]; empty if the model has no maps."""
    method: str = ""
    """Display name of the explanation method; empty without maps."""


def explain_slice(result: StudyResult, one: PredictedSlice, labels: Sequence[str]) -> MappedSlice:
    """Read a slice again and compute its maps.

    Parameters
    ----------
    result
        Study.
    one
        Slice of the study.
    labels
        Labels of the maps.

    Raises
    ------
    InputError
        If the file is missing or has changed since the prediction.
    """
    ct, around = result.predictor.read(one.series, one.index, result.limits)
    try:
        found = explain(result.predictor, ct, labels, neighbours=around)
    except IchError:  # the model has no feature map
        return MappedSlice(ct, {})
    return MappedSlice(ct, found.maps, METHOD_NAMES[found.method])


def mask_background(ct: CTSlice) -> NDArray[np.uint8]:
    """Return a slice in the brain window with a black background.

    This removes text burned into the air around the head.

    Returns
    -------
    numpy.ndarray
        Grey image, uint8 ``(H, W, 3)``.
    """
    shown = picture(ct.hu)
    shown[~head_with_margin(ct)] = 0
    return shown


def head_with_margin(ct: CTSlice) -> NDArray[np.bool_]:
    """Return the head mask, bool ``(H, W)``, dilated by `_MARGIN_MM`."""
    head = head_mask(ct.hu, opening=3).view(np.uint8)
    down, across = ct.geometry.spacing or (0.5, 0.5)
    size = (
        2 * max(1, round(_MARGIN_MM / max(across, 0.1))) + 1,
        2 * max(1, round(_MARGIN_MM / max(down, 0.1))) + 1,
    )
    return np.asarray(cv2.dilate(head, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size)) > 0)


def overlay_map(mapped: MappedSlice, label: str) -> NDArray[np.uint8]:
    """Return the slice with the map of a label over it, uint8 RGB ``(H, W, 3)``."""
    inside = mapped.maps[label] * head_with_margin(mapped.ct)
    return blend(mask_background(mapped.ct), inside)


@dataclass(frozen=True)
class Png:
    """A PNG image for an HTML page."""

    width: int
    height: int
    data: str
    """PNG without metadata, base64."""
    letters: EdgeLetters | None


def to_png(shown: NDArray[np.uint8], ct: CTSlice) -> Png:
    """Crop an image to the head and scale it to `SIDE` with square pixels."""
    top, left, bottom, right = head_box(ct.hu)
    cut = shown[top:bottom, left:right]
    down, across = ct.geometry.spacing or (1.0, 1.0)
    high, wide = cut.shape[0] * down, cut.shape[1] * across
    scale = SIDE / max(high, wide)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    resized = cv2.resize(cut, size, interpolation=cv2.INTER_CUBIC)
    done, data = cv2.imencode(".png", resized[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise IchError("an image could not be encoded as PNG")
    return Png(*size, base64.b64encode(data.tobytes()).decode("ascii"), edge_letters(ct.geometry))
