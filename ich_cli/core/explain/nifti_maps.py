"""Write the heat maps of a series as NIfTI volumes, a file for each label.

A volume has float32 values in [0, 1], in the voxels of the NIfTI file that was read. That of a
DICOM series has columns, rows and slices as axes, from feet to head; its affine follows from the
positions of the slices.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import DEFAULT_LIMITS, CTSlice, Geometry, Limits
from ich_cli.core.errors import InputError
from ich_cli.core.explain.maps import AUTO, explain_batch
from ich_cli.core.labels import LABELS
from ich_cli.core.nifti import NiftiPlane
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import Neighbours
from ich_cli.core.series import Series
from ich_cli.core.system import replacing

UNEVEN: Final = "slices are not evenly spaced: the affine of the maps has their mean distance"
UNPLACED: Final = "slices without positions: the maps have no affine"
_UNEVEN_MM: Final = 0.1
_ORTHOGONAL: Final = 1e-3

Map = NDArray[np.float32]


@dataclass(frozen=True)
class VolumeGrid:
    """Voxels of the maps of a series."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    """Voxel indices → RAS+ mm, ``(4, 4)``."""
    zooms: tuple[float, float, float]
    """Sides of a voxel in mm."""
    slice_axis: int
    """Axis along which slices follow each other."""
    slices: Mapping[int, int]
    """Voxel index along that axis → index of the slice in its series."""
    placed: bool = True
    """False where the affine is a guess."""
    note: str = ""
    """Remark for the user."""


def write_nifti_maps(
    predictor: Predictor,
    series: Series,
    folder: Path,
    stem: str,
    labels: Sequence[str] = LABELS,
    *,
    method: str = AUTO,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write ``STEM.LABEL.nii.gz`` for each label.

    Parameters
    ----------
    predictor
        Single model or ensemble.
    series
        As `scan` returned it.
    folder
        Folder of the files, which exists. Files of the same names are replaced.
    stem
        Beginning of the names, see `map_stems`.
    labels
        Labels of the maps.
    method
        As for `explain`.
    limits
        Bounds on reading the slices.
    progress
        Called with 1 after each slice.

    Returns
    -------
    list of Path
        In the order of `labels`. Slices that cannot be read are NaN.

    Raises
    ------
    IchError
        If the model has no feature map.
    OutputError
        If a file cannot be written.
    """
    grid = volume_grid(series)
    paths = [folder / f"{stem}.{label}.nii.gz" for label in labels]
    with ExitStack() as stack:
        volumes = [
            _Volume(stack.enter_context(replacing(path)), grid, label)
            for path, label in zip(paths, labels, strict=True)
        ]
        for maps in _maps(predictor, series, grid, labels, method, limits):
            for volume, label in zip(volumes, labels, strict=True):
                volume.add(maps[label])
            if progress:
                progress(1)
        for volume in volumes:
            volume.close()
    return paths


def map_stems(several: Iterable[Series]) -> dict[str, str]:
    """Return key of a series → beginning of the names of its maps, which is unique.

    That of a NIfTI file is its name without ending; that of another series has its key.
    """
    names = {one.key: _stem(one) for one in several}
    uses = Counter(names.values())
    return {key: name if uses[name] == 1 else f"{name}-{key[:8]}" for key, name in names.items()}


def _stem(series: Series) -> str:
    first = series.slices[0]
    if not isinstance(first.format, NiftiPlane):
        return f"series-{series.key[:12]}"
    name = PurePosixPath(first.source.name.replace("\\", "/").replace("!", "/")).name
    return name.removesuffix(".gz").removesuffix(".nii") or "volume"


def volume_grid(series: Series) -> VolumeGrid:
    """Return the voxels of the maps of a series: those of its NIfTI file, or of its slices."""
    formats = [one.format for one in series.slices]
    planes = [one for one in formats if isinstance(one, NiftiPlane)]
    if len(planes) == len(formats):
        volume = planes[0].volume
        where = {plane.index: index for index, plane in enumerate(planes)}
        affine = np.reshape(volume.affine, (4, 4))
        return VolumeGrid(
            volume.shape, affine, volume.sizes, volume.slice_axis, where, volume.placed
        )
    shape = formats[0].columns, formats[0].rows, len(formats)
    return _stacked(shape, [one.geometry for one in series.slices])


def _stacked(shape: tuple[int, int, int], places: Sequence[Geometry]) -> VolumeGrid:
    """Return the grid of slices by their geometry (PS3.3 C.7.6.2.1.1), turned from LPS to RAS."""
    first, number = places[0], len(places)
    slices = {index: index for index in range(number)}
    down, across = first.spacing or (1.0, 1.0)
    thickness = first.thickness or 1.0
    zooms = (across, down, thickness)
    known = [place.position for place in places if place.position is not None]
    row, column = first.row_direction, first.column_direction
    if len(known) < number or row is None or column is None or first.spacing is None:
        affine = np.diag([*zooms, 1.0])
        return VolumeGrid(shape, affine, zooms, 2, slices, placed=False, note=UNPLACED)
    positions = np.asarray(known)
    step = (
        (positions[-1] - positions[0]) / (number - 1)
        if number > 1
        else np.cross(row, column) * thickness
    )
    off = np.abs(positions - (positions[0] + np.arange(number)[:, None] * step)).max()
    affine = np.eye(4)
    affine[:3] = np.column_stack([np.multiply(row, across), np.multiply(column, down), step,
                                  positions[0]])  # fmt: skip
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    zooms = (across, down, float(np.linalg.norm(step)))
    return VolumeGrid(shape, ras, zooms, 2, slices, note=UNEVEN if off > _UNEVEN_MM else "")


def _maps(
    predictor: Predictor,
    series: Series,
    grid: VolumeGrid,
    labels: Sequence[str],
    method: str,
    limits: Limits,
) -> Iterator[Mapping[str, Map]]:
    """Yield the maps ``(H, W)`` of each plane in the order of voxels; NaN where there are none."""
    first = series.slices[0].format
    missing = np.full((first.rows, first.columns), np.nan, np.float32)
    planes = range(grid.shape[grid.slice_axis])
    size = predictor.batch_size
    for batch in (planes[start : start + size] for start in range(0, len(planes), size)):
        read = {at: _read(predictor, series, grid.slices.get(at), limits) for at in batch}
        there = {at: one for at, one in read.items() if one is not None}
        found = explain_batch(
            predictor, [ct for ct, _ in there.values()], labels,
            method=method, neighbours=[around for _, around in there.values()],
        ) if there else []  # fmt: skip
        explained = dict(zip(there, found, strict=True))
        for at in batch:
            yield explained[at].maps if at in explained else dict.fromkeys(labels, missing)


def _read(
    predictor: Predictor, series: Series, index: int | None, limits: Limits
) -> tuple[CTSlice, Neighbours] | None:
    try:
        return None if index is None else predictor.read(series, index, limits)
    except InputError:  # its row says why
        return None


class _Volume:
    """NIfTI file that is written plane by plane, so that memory does not grow with a series.

    Planes that do not follow each other in the file are kept until it is closed.
    """

    def __init__(self, file: BinaryIO, grid: VolumeGrid, label: str) -> None:
        self._axis = grid.slice_axis
        self._kept: list[Map] = []
        stream = gzip.GzipFile("", "wb", 6, file, mtime=0)
        self._stream = cast("BinaryIO", stream)
        self._stream.write(_header(grid, label).binaryblock + bytes(4))  # no extensions

    def add(self, plane: Map) -> None:
        """Append a plane ``(H, W)``."""
        if self._axis == 2:
            self._stream.write(plane.astype("<f4").tobytes())
        else:
            self._kept.append(plane.T)

    def close(self) -> None:
        """Write the rest."""
        if self._kept:
            volume = np.stack(self._kept, axis=self._axis)
            self._stream.write(volume.astype("<f4").tobytes(order="F"))
        self._stream.close()


def _header(grid: VolumeGrid, label: str) -> Any:
    from nibabel.nifti1 import Nifti1Header

    header = cast(Any, Nifti1Header)(endianness="<")
    header.set_data_dtype(np.float32)
    header.set_data_shape(grid.shape)
    header.set_zooms(grid.zooms)
    header["vox_offset"] = 352
    header["descrip"] = b"heat map of ich; research use only, not a medical device"
    header.set_intent("estimate", name=label)
    header["cal_max"] = 1
    if grid.placed:
        header.set_xyzt_units("mm")
        header.set_sform(grid.affine, "scanner")
        if _is_orthogonal(grid.affine):
            header.set_qform(grid.affine, "scanner")
    return header


def _is_orthogonal(affine: NDArray[np.float64]) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < _ORTHOGONAL)
