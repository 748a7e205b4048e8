"""Read one NIfTI file to Hounsfield units, with limits on time and memory for hostile files.

NIfTI stores a volume in RAS+ millimetres, DICOM describes slices in LPS+. Each axial plane becomes
a slice with DICOM's geometry, pixels as stored, so that all later steps are the same as for DICOM.
Format: https://nifti.nimh.nih.gov/nifti-1 and nifti-2; headers are parsed by nibabel.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.dicom import (
    AIR_HU,
    HIGHEST_HU,
    LOWEST_HU,
    Geometry,
    Limits,
    Seekable,
    SliceId,
    Vector,
    is_axial,
)
from ich_cli.core.errors import BrokenFileError, LimitError, NotApplicableError

GUESSED: Final = "NIfTI without orientation (qform_code, sform_code 0): left and right are a guess"
UNCHECKED: Final = "NIfTI: contrast agent, body part and gantry tilt cannot be checked"
_HEADER_BYTES: Final = 540  # NIfTI-2; NIfTI-1 has 348
_MAGIC: Final = {b"n+1\0": 348, b"n+2\0": 540}
_PAIR: Final = (b"ni1\0", b"ni2\0")
_KINDS: Final = "iuf"  # NumPy's kinds of integers and floats
_SHEAR: Final = 0.01  # cosine between voxel axes
_NO_AIR: Final = -300.0  # a CT of a head reaches far below this outside the skin
_DAMAGED: Final = (OSError, EOFError, zlib.error, ValueError)


@dataclass(frozen=True, slots=True)
class NiftiPlane:
    """One axial plane of a NIfTI volume, in place of the pixel format of a DICOM file."""

    rows: int
    columns: int
    volume: NiftiVolume
    index: int
    """Voxel index along the slice axis."""

    @property
    def native(self) -> bool:
        """True: no codec is needed."""
        return True


@dataclass(frozen=True, slots=True)
class NiftiVolume:
    """Header fields by which voxels are read."""

    compressed: bool
    shape: tuple[int, int, int]
    dtype: str
    """NumPy's name with byte order, for example ``<i2``."""
    offset: int
    """Byte at which voxels begin, after decompression."""
    slope: float
    intercept: float
    slice_axis: int
    """0, 1 or 2: the voxel axis closest to the body's axis."""
    affine: tuple[float, ...] = ()
    """Voxel indices → RAS+ mm, 4 x 4, row by row."""
    sizes: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Sides of a voxel in mm."""
    placed: bool = True
    """False where the header has no orientation, so that the affine is a guess."""

    @property
    def byte_count(self) -> int:
        """Number of bytes of all voxels."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class NiftiFrame(NamedTuple):
    """A plane with its identity and place."""

    id: SliceId
    geometry: Geometry
    plane: NiftiPlane
    notes: tuple[str, ...]


def _magic(head: bytes) -> bytes:
    for order in "<>":
        size = struct.unpack(order + "i", head[:4].ljust(4, b"\0"))[0]
        if size == 348:
            return head[344:348]
        if size == 540:
            return head[4:8]
    return b""


def read_planes(
    raw: Seekable, name: str, limits: Limits, *, compressed: bool
) -> list[NiftiFrame] | None:
    """Read the header of a NIfTI file and return its axial planes.

    Parameters
    ----------
    raw
        Open file.
    name
        File name for errors and ids.
    limits
        Bounds on size and number of planes.
    compressed
        Whether the file is gzip.

    Returns
    -------
    list of NiftiFrame or None
        In the order of the file; None if the file is not NIfTI. NIfTI has no UIDs: they derive
        from a hash of the file.

    Raises
    ------
    InputError
        If it is not a three-dimensional volume of numbers, too large, or has no axial planes.
    """
    head = _head(raw, compressed=compressed)
    if _magic(head) not in (*_MAGIC, *_PAIR):
        return None
    try:
        header = _header(head, name)
        volume = _volume(header, name, limits, compressed=compressed)
        affine = np.asarray(header.get_best_affine(), float)
    except _DAMAGED as error:
        raise BrokenFileError(
            name, f"NIfTI header is damaged ({type(error).__name__})", "copy it again"
        ) from None
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise BrokenFileError(name, "NIfTI affine is not invertible", "export it again")
    placed = bool(header["qform_code"]) or bool(header["sform_code"])
    notes = (UNCHECKED,) if placed else (GUESSED, UNCHECKED)
    digest = _digest(raw)
    axis = int(np.argmax(np.abs(affine[2, :3]) / np.linalg.norm(affine[:3, :3], axis=0)))
    x, y, z = _sizes(header, affine)
    volume = replace(
        volume, slice_axis=axis, affine=tuple(affine.ravel().tolist()), sizes=(x, y, z),
        placed=placed,
    )  # fmt: skip
    planes = range(volume.shape[axis])
    frames = [_frame(volume, affine, index, name, digest, notes) for index in planes]
    if not is_axial(frames[0].geometry):
        raise NotApplicableError(name, "no axial planes: the volume is oblique to the body")
    return frames


def _head(raw: Seekable, *, compressed: bool) -> bytes:
    """Return the first bytes, decompressed; empty where they are damaged."""
    raw.seek(0)
    try:
        return _stream(raw, compressed=compressed).read(_HEADER_BYTES)
    except _DAMAGED:
        return b""


def _stream(raw: Seekable, *, compressed: bool) -> BinaryIO:
    stream = gzip.GzipFile(fileobj=cast(BinaryIO, raw)) if compressed else raw
    return cast(BinaryIO, stream)


def _header(head: bytes, name: str) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    magic = _magic(head)
    if magic in _PAIR:
        raise NotApplicableError(name, "NIfTI in two files (.hdr and .img)", "convert it to .nii")
    kind: Any = Nifti2Header if _MAGIC[magic] == 540 else Nifti1Header
    try:
        return kind(head[: _MAGIC[magic]], check=True)
    except HeaderDataError as error:
        raise ValueError(str(error)) from None


def _volume(header: Any, name: str, limits: Limits, *, compressed: bool) -> NiftiVolume:
    shape = [int(side) for side in header.get_data_shape()]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) != 3:
        raise NotApplicableError(name, f"a NIfTI file of {len(shape)} dimensions, not a CT volume")
    dtype = np.dtype(header.get_data_dtype())
    if dtype.kind not in _KINDS or dtype.itemsize > 8:
        raise NotApplicableError(name, "NIfTI voxels are colours or complex, not Hounsfield units")
    if min(shape) < 1 or max(shape) > limits.max_side:
        raise LimitError(name, f"NIfTI volume of {shape[0]} x {shape[1]} x {shape[2]} voxels")
    slope, intercept = _scaling(header)
    offset = float(header.get_data_offset())
    if not 0 <= offset <= limits.max_header_bytes:
        raise BrokenFileError(name, "NIfTI vox_offset is out of range", "export it again")
    volume = NiftiVolume(
        compressed, (shape[0], shape[1], shape[2]), dtype.str, int(offset), slope, intercept, 2
    )
    if volume.byte_count > limits.max_volume_bytes:
        raise LimitError(
            name, f"NIfTI volume of {volume.byte_count / 2**20:.0f} MiB, over the limit of "
            f"{limits.max_volume_bytes / 2**20:.0f}", "raise --limit max_volume_bytes"
        )  # fmt: skip
    return volume


def _scaling(header: Any) -> tuple[float, float]:
    """Return scl_slope and scl_inter; a slope of 0 or NaN means that values are as stored."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    return slope, intercept if math.isfinite(intercept) else 0.0


def _sizes(header: Any, affine: NDArray[np.float64]) -> list[float]:
    """Return the sides of a voxel in mm: pixdim where the affine is sheared, else the affine's.

    dcm2niix writes a tilted gantry as a sheared affine whose columns are too long.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    angles = (affine[:3, :3] / sizes).T @ (affine[:3, :3] / sizes)
    stated = np.asarray(header["pixdim"][1:4], np.float64)
    sheared = np.abs(angles - np.eye(3)).max() > _SHEAR
    usable = bool(np.isfinite(stated).all() and stated.min() > 0)
    return (stated if sheared and usable else sizes).tolist()  # type: ignore[no-any-return]


def _digest(raw: Seekable) -> bytes:
    """Return the SHA-256 of the whole file."""
    raw.seek(0)
    digest = hashlib.sha256()
    while piece := raw.read(1 << 20):
        digest.update(piece)
    return digest.digest()


def _uid(digest: bytes, *parts: object) -> str:
    """Return a UID by UUID derivation (PS3.5 section B.2): ``2.25.`` and 128 bits in decimal."""
    text = hashlib.sha256(digest + repr(parts).encode()).digest()
    return f"2.25.{int.from_bytes(text[:16], 'big')}"


def _frame(
    volume: NiftiVolume, affine: NDArray[np.float64], index: int, name: str, digest: bytes,
    notes: tuple[str, ...],
) -> NiftiFrame:  # fmt: skip
    """Describe a plane: column index grows along the first in-plane axis, row index the second."""
    across, down = _in_plane(volume.slice_axis)
    corner = np.zeros(4)
    corner[volume.slice_axis], corner[3] = index, 1
    sizes = volume.sizes
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    geometry = Geometry(
        position=_lps((affine @ corner)[:3]),
        row_direction=_lps(directions[:, across]),
        column_direction=_lps(directions[:, down]),
        spacing=(sizes[down], sizes[across]),
        thickness=sizes[volume.slice_axis],
    )
    plane = NiftiPlane(volume.shape[down], volume.shape[across], volume, index)
    id = SliceId(
        name, index + 1, _uid(digest, "study"), _uid(digest, "series"), _uid(digest, index),
        index + 1,
    )  # fmt: skip
    return NiftiFrame(id, geometry, plane, notes)


def _in_plane(slice_axis: int) -> tuple[int, int]:
    across, down = (axis for axis in range(3) if axis != slice_axis)
    return across, down


def _lps(vector: NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in vector)
    return -x + 0.0, -y + 0.0, z + 0.0


def plane_hu(voxels: NDArray[Any], plane: NiftiPlane, name: str) -> NDArray[np.float32]:
    """Return a plane in HU (scl_slope x stored + scl_inter).

    Parameters
    ----------
    voxels
        As `read_voxels` returned them.
    plane
        As `read_planes` returned it.
    name
        File name for errors.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)``, pixels as stored, -1024 to 32,767.

    Raises
    ------
    BrokenFileError
        If a value is not finite.
    """
    volume = plane.volume
    stored = np.take(voxels, plane.index, axis=volume.slice_axis).T
    hu = stored * np.float64(volume.slope) + volume.intercept
    if not np.isfinite(hu).all():
        raise BrokenFileError(name, f"plane {plane.index + 1} has values that are not finite")
    hu = np.clip(hu, -1e6, HIGHEST_HU).astype(np.float32)
    hu[hu < LOWEST_HU] = AIR_HU
    return np.asarray(hu, np.float32)


def read_voxels(raw: Seekable, volume: NiftiVolume, name: str) -> NDArray[Any]:
    """Read all voxels of a CT volume; see `read_stored_voxels`.

    Raises
    ------
    InputError
        If voxels are missing, or the volume has no air, so that values are not HU.
    """
    voxels = read_stored_voxels(raw, volume, name)
    lowest = float(voxels.min()) * volume.slope + volume.intercept
    if lowest > _NO_AIR:
        raise BrokenFileError(
            name,
            f"no air: the lowest value is {lowest:g}, so that values are not Hounsfield units",
            "export the CT in HU, without window and without removing the skull",
        )
    return voxels


def read_stored_voxels(raw: Seekable, volume: NiftiVolume, name: str) -> NDArray[Any]:
    """Read all voxels of a volume, in the order of the file.

    Parameters
    ----------
    raw
        Open file.
    volume
        As `read_planes` returned it.
    name
        File name for errors.

    Returns
    -------
    numpy.ndarray
        Stored values, of the volume's shape.

    Raises
    ------
    InputError
        If voxels are missing.
    """
    raw.seek(0)
    stream = _stream(raw, compressed=volume.compressed)
    try:
        stream.seek(volume.offset)
        data = stream.read(volume.byte_count)
    except MemoryError:
        raise LimitError(name, "not enough memory to read the volume") from None
    except _DAMAGED as error:
        raise BrokenFileError(
            name, f"NIfTI voxels are damaged ({type(error).__name__})", "copy it again"
        ) from None
    if len(data) < volume.byte_count:
        raise BrokenFileError(name, "the file ends within its voxels", "copy it again")
    return np.frombuffer(data, volume.dtype).reshape(volume.shape, order="F")
