"""Pose of the head, gantry tilt and positions of the slices, with their DICOM attributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ich_cli.core.phantom.drawing import Plane

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PhantomGeometry:
    """Geometry of a series in the patient's LPS system (PS3.3 C.7.6.2), mm."""

    spacing: tuple[float, float]
    """PixelSpacing: between rows, between columns."""
    thickness: float
    """SliceThickness, equal to the distance between slices along their normal."""
    tilt: float
    """GantryDetectorTilt in degrees."""
    orientation: tuple[float, ...]
    """ImageOrientationPatient."""
    positions: tuple[tuple[float, float, float], ...]
    """ImagePositionPatient of each slice, caudal first."""
    to_head: Vector
    """`(3, 4)` affine from LPS to the standard head."""
    rest_height: float
    """Distance of the headrest below the center of the slice, mm."""

    @property
    def axes(self) -> Vector:
        """Direction along a row, along a column, and the normal, as rows `(3, 3)`."""
        right, down = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        return np.stack([right, down, np.cross(right, down)])

    def plane(self, index: int, size: int, work: int, offset: float) -> Plane:
        """Return slice `index` of `size` pixels as a grid of `work`, moved `offset` mm headward."""
        right, down, normal = self.axes
        ratio = size / work
        corner = np.array(self.positions[index]) + offset * normal
        corner = corner + 0.5 * (ratio - 1) * (self.spacing[1] * right + self.spacing[0] * down)
        matrix = self.to_head[:, :3]
        return Plane(
            matrix @ corner + self.to_head[:, 3],
            matrix @ (right * self.spacing[1] * ratio),
            matrix @ (down * self.spacing[0] * ratio),
            (work, work),
        )


def _rotation(axis: int, degrees: float) -> Vector:
    a, b = [k for k in range(3) if k != axis]
    out = np.eye(3)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    out[a, a] = out[b, b] = cos
    out[a, b], out[b, a] = -sin, sin
    return out


def make_geometry(
    rng: np.random.Generator,
    size: int,
    slices: tuple[int, int],
    thickness: tuple[float, float],
    interest: list[float],
) -> PhantomGeometry:
    """Draw pose, tilt, field of view and the heights of the slices.

    A short series covers one of the heights in `interest` (mm in the head).
    """
    spacing = round(float(rng.uniform(0.40, 0.55)) * 512 / size, 6)
    tilt = round(float(rng.uniform(-25, 25)), 1) if rng.random() < 0.4 else 0.0
    thick = round(float(rng.uniform(*thickness)) * 4) / 4
    right, down = (
        np.array([1.0, 0, 0]),
        np.array([0, np.cos(np.deg2rad(tilt)), -np.sin(np.deg2rad(tilt))]),
    )
    down = np.round(down, 9)
    frame = np.stack([right, down, np.cross(right, down)])
    yaw = rng.normal(0, 6) + (rng.normal(0, 14) if rng.random() < 0.3 else 0)
    pose = _rotation(0, rng.normal(2, 6)) @ _rotation(1, rng.normal(0, 3)) @ _rotation(2, yaw)
    scale = rng.normal(1.0, 0.035) * rng.normal(1, 0.025, 3)
    matrix = np.diag(1 / scale) @ pose @ frame
    shift = np.array([rng.normal(0, 5), rng.normal(8, 6), 0.0])
    heights = _heights(rng, slices, thick, interest, scale[2])
    half = (size - 1) / 2 * spacing * (right + down)
    positions = [np.array([0, 0, h / frame[2, 2]]) - half for h in heights]
    return PhantomGeometry(
        (spacing, spacing), thick, tilt, (*right.tolist(), *down.tolist()),
        tuple(_rounded(p) for p in positions),
        np.concatenate([matrix, -(matrix @ shift)[:, None]], 1),
        float(shift[1] + 101 * scale[1]),
    )  # fmt: skip


def _rounded(p: Vector) -> tuple[float, float, float]:
    return round(float(p[0]), 4), round(float(p[1]), 4), round(float(p[2]), 4)


def _heights(
    rng: np.random.Generator,
    slices: tuple[int, int],
    thick: float,
    interest: list[float],
    scale: float,
) -> Vector:
    """Return the heights of the slices above the head's center along the normal, ascending."""
    bottom, top = rng.uniform(-82, -45) * scale, rng.uniform(84, 100) * scale
    count = int(np.clip(np.ceil((top - bottom) / thick), *slices))
    length = (count - 1) * thick
    if length < top - bottom - thick:
        middle = float(rng.choice(interest)) * scale if interest else rng.uniform(-30, 60)
        start = middle - length * rng.uniform(0.3, 0.7) if count > 1 else middle
        start = float(np.clip(start, bottom, top - length))
    else:
        start = bottom
    return np.asarray(start + thick * np.arange(count), np.float64)
