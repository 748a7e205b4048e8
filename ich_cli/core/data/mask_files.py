"""Lesion masks in NIfTI files, turned to the slices of the series that they annotate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.lesion_masks import NO_SUBTYPE
from ich_cli.core.dicom import Limits, Seekable, Source, Vector, read_file, sniff
from ich_cli.core.errors import BrokenFileError
from ich_cli.core.labels import SUBTYPES
from ich_cli.core.nifti import GUESSED, NiftiFrame, NiftiPlane, read_planes, read_stored_voxels

if TYPE_CHECKING:
    from ich_cli.core.series import Series, SliceRef

Bits = NDArray[np.uint8]
_AXIAL: Final[tuple[Vector, Vector]] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class MaskFiles:
    """Masks of one volume by one or several raters.

    Parameters
    ----------
    paths
        NIfTI files. Of several, a pixel counts where at least half of the raters marked it.
    classes
        True: values 1 to 5 are `SUBTYPES` in their order (BHSD). False: a value above `above`
        is a hemorrhage of unknown subtype.
    above
        Highest value of the background of a binary mask.
    """

    paths: tuple[Path, ...]
    classes: bool = False
    above: float = 0.0

    def read(self, series: Series, limits: Limits) -> Sequence[Bits]:
        """Return the mask of each slice, a bit field over `SUBTYPES` ``(H, W)``.

        Raises
        ------
        InputError
            If a file cannot be read, or does not fit the series.
        """
        raters = [self._bits(_read_volume(path, limits).on(series)) for path in self.paths]
        return list(raters[0] if len(raters) == 1 else _consensus(np.stack(raters)))

    def _bits(self, values: NDArray[Any]) -> Bits:
        if not self.classes:
            return np.where(values > self.above, NO_SUBTYPE, 0).astype(np.uint8)
        bits = np.zeros(values.shape, np.uint8)
        for k in range(len(SUBTYPES)):
            bits[values == k + 1] = 1 << k
        return bits


def _consensus(raters: Bits) -> Bits:
    """Set each bit that at least half of the raters set; ``(K, N, H, W)`` to ``(N, H, W)``."""
    out = np.zeros(raters.shape[1:], np.uint8)
    for bit in range(8):
        votes = (raters >> bit & 1).sum(0)
        out |= (2 * votes >= len(raters)).astype(np.uint8) << np.uint8(bit)
    return out


class _MaskVolume(NamedTuple):
    """Planes of a mask, in the order of the file, with their place."""

    name: str
    frames: list[NiftiFrame]
    planes: NDArray[Any]
    """``(N, H, W)``."""

    def on(self, series: Series) -> NDArray[Any]:
        """Return the planes in the order and orientation of the slices of a series."""
        first = series.slices[0]
        placed = GUESSED not in self.frames[0].notes
        if isinstance(first.format, NiftiPlane) and not placed:
            turned = self._by_index(series.slices)
        else:
            turned = self._by_place(first)
        wanted = (len(series), first.format.rows, first.format.columns)
        if turned.shape != wanted:
            raise BrokenFileError(
                self.name, f"mask of {_size(turned.shape)} for images of {_size(wanted)}",
                "give each mask the size of its images",
            )  # fmt: skip
        return turned

    def _by_index(self, slices: Sequence[SliceRef]) -> NDArray[Any]:
        """Take the planes by their number, for an image and a mask on one grid."""
        numbers = [ref.format.index for ref in slices if isinstance(ref.format, NiftiPlane)]
        known = [number for number in numbers if number < len(self.planes)]
        return self.planes[known]

    def _by_place(self, first: SliceRef) -> NDArray[Any]:
        """Order the planes from feet to head, and flip or transpose them to the image's axes."""
        heights = [frame.geometry.position or (0, 0, 0) for frame in self.frames]
        turned = self.planes[np.argsort([z for _, _, z in heights])]
        own, image = self.frames[0].geometry, first.geometry
        rows, columns = own.row_direction or _AXIAL[0], own.column_direction or _AXIAL[1]
        across, down = image.row_direction or _AXIAL[0], image.column_direction or _AXIAL[1]
        if abs(np.dot(rows, across)) < abs(np.dot(columns, across)):
            turned, rows, columns = turned.transpose(0, 2, 1), columns, rows
        if np.dot(rows, across) < 0:
            turned = turned[:, :, ::-1]
        if np.dot(columns, down) < 0:
            turned = turned[:, ::-1]
        return turned


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _read_volume(path: Path, limits: Limits) -> _MaskVolume:
    name = path.name

    def read(raw: Seekable, size: int | None) -> _MaskVolume:
        raw.seek(0)
        compressed = sniff(raw.read(132)) == "gzip"
        frames = read_planes(raw, name, limits, compressed=compressed)
        if not frames:
            raise BrokenFileError(name, "not NIfTI", "masks must be .nii or .nii.gz")
        volume = frames[0].plane.volume
        voxels = np.moveaxis(read_stored_voxels(raw, volume, name), volume.slice_axis, 0)
        values = voxels.transpose(0, 2, 1) * np.float32(volume.slope) + volume.intercept
        return _MaskVolume(name, frames, values)

    return read_file(Source(path, name), limits, read)
