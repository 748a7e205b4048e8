"""HU of the pictures of CT-ICH 1.0.0, whose DICOM files were not published.

HU are reconstructed with a step of 0.5 HU from -20 to 100 (brain and blood) and of 12.5 HU
elsewhere, plus a few HU of JPEG noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import AIR_HU, CTSlice, SliceId
from ich_cli.core.errors import BrokenFileError
from ich_cli.core.pictures import PictureWindow, linear_hu

_BRAIN: Final = PictureWindow(40, 120)
_BONE: Final = PictureWindow(700, 3200)
_NOISE: Final = 8  # gray levels by which JPEG changes saturated pixels
_DOUBT_HU: Final = 80.0  # larger differences are not noise of the bone image
_DENSE_HU: Final = 1000.0  # assumed for bone where only the brain image exists


def read_images(patient: Path, number: int) -> CTSlice:
    """Reconstruct a slice from its brain and bone images.

    Raises
    ------
    BrokenFileError
        If the brain image is missing or damaged, or the two differ in size.
    """
    name = f"{patient.name}/{number}"
    brain = read_jpeg(patient / "brain" / f"{number}.jpg")
    if brain is None:
        raise BrokenFileError(name, "the brain image is missing or not a JPEG")
    bone = read_jpeg(patient / "bone" / f"{number}.jpg")
    if bone is not None and bone.shape != brain.shape:
        raise BrokenFileError(name, "the brain and bone images differ in size")
    ct = CTSlice(reconstruct_hu(brain, bone), SliceId(name, instance=number))
    if bone is not None:
        return ct
    note = "no bone image: HU below -20 and above 100 are not exact"
    return CTSlice(ct.hu, ct.id, status="repaired", notes=(note,))


def reconstruct_hu(brain: NDArray[np.uint8], bone: NDArray[np.uint8] | None) -> NDArray[np.float32]:
    """Reconstruct HU from an image in window 40/120 and one in window 700/3200.

    Parameters
    ----------
    brain, bone
        uint8 ``(H, W)``. Without a bone image, black becomes air and white becomes bone.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)``: from the brain image where it is not saturated, else from the bone
        image, clipped to the side on which the brain image saturates. Within 8 gray levels of
        saturation the bone image decides which applies.
    """
    soft = linear_hu(brain.astype(np.float32) / np.float32(255), _BRAIN)
    if bone is None:
        below, above = np.float32(AIR_HU), np.float32(_DENSE_HU)
        dark, white = brain <= _NOISE, brain >= 255 - _NOISE
        return np.select([dark, white], [below, above], soft).astype(np.float32)
    wide = linear_hu(bone.astype(np.float32) / np.float32(255), _BONE)
    low, high = _BRAIN.lowest, _BRAIN.lowest + _BRAIN.width
    # JPEG noise changes much of the air from 0 to 1 … 8: use the bone image there
    dark = (brain == 0) | ((brain <= _NOISE) & (wide < low - _DOUBT_HU))
    white = (brain == 255) | ((brain >= 255 - _NOISE) & (wide > high + _DOUBT_HU))
    outside = [np.minimum(wide, low), np.maximum(wide, high)]
    return np.select([dark, white], outside, soft).astype(np.float32)


def read_jpeg(path: Path) -> NDArray[np.uint8] | None:
    """Return a picture in gray, uint8 ``(H, W)``; None where there is none, or it is damaged."""
    if not path.is_file():
        return None
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return None if picture is None else np.asarray(picture, np.uint8)
