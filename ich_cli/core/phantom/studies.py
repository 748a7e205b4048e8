"""Synthesise a series of head CT with exact labels and masks from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS, SUBTYPES
from ich_cli.core.phantom.anatomy.head import PhantomHead, make_head
from ich_cli.core.phantom.anatomy.mimics import Mimics, make_mimics
from ich_cli.core.phantom.geometry import PhantomGeometry, make_geometry
from ich_cli.core.phantom.hemorrhage.lesions import Lesions
from ich_cli.core.phantom.hemorrhage.sampling import add_bleed
from ich_cli.core.phantom.render import Patient, render_slice
from ich_cli.core.phantom.scanner import Scanner, make_scanner
from ich_cli.core.system import require

VISIBLE_SHARE = 0.35
"""A pixel is in a mask when the hemorrhage fills at least this share of its voxel."""
VISIBLE_AREA_MM2 = 12.0
"""A slice has a label when the subtype's mask on it covers at least this area."""
_ODDS = (0.28, 0.24, 0.14, 0.18, 0.28)  # of each subtype in a random mixture, by SUBTYPES


@dataclass(frozen=True)
class PhantomConfig:
    """Settings of a phantom; equal settings and library versions give equal bytes."""

    seed: int
    """Non-negative; the only source of randomness."""
    subtypes: tuple[str, ...] | None = None
    """Subtypes to include; `()` for none; None for a random mixture with 45 % normal heads."""
    size: int = 512
    """Rows and columns; the field of view is the same for all sizes."""
    slices: tuple[int, int] = (16, 40)
    """Smallest and largest number of slices; a short series covers a hemorrhage, if any."""
    thickness: tuple[float, float] = (2.5, 8.0)
    """Range of the slice thickness in mm; there are no gaps between slices."""
    mimics: bool = True
    """Add findings that look like blood."""

    def __post_init__(self) -> None:
        if self.subtypes is not None:
            object.__setattr__(self, "subtypes", tuple(self.subtypes))
        unknown = set(self.subtypes or ()) - set(SUBTYPES)
        require(not unknown, f"unknown subtype {', '.join(sorted(unknown))}: {', '.join(SUBTYPES)}")
        require(self.seed >= 0, "seed must not be negative")
        require(64 <= self.size <= 1024, "size must be between 64 and 1024")
        require(
            1 <= self.slices[0] <= self.slices[1] <= 400,
            "slices must be an ascending range within 1 to 400",
        )
        low, high = self.thickness
        require(
            0.5 <= low <= high <= 10, "thickness must be an ascending range within 0.5 to 10 mm"
        )


@dataclass(frozen=True)
class PhantomStudy:
    """One synthetic series, caudal slice first."""

    hu: npt.NDArray[np.int16]
    """`(N, H, W)` in HU, -1024 … 3071."""
    masks: npt.NDArray[np.uint8]
    """`(N, H, W)` bit field: bit k is set where there is blood of `SUBTYPES[k]`."""
    labels: npt.NDArray[np.uint8]
    """`(N, 6)` in the order of `LABELS`, 0 or 1."""
    geometry: PhantomGeometry
    """Spacing, positions and orientation, as in DICOM."""
    config: PhantomConfig

    def mask(self, subtype: str) -> npt.NDArray[np.bool_]:
        """Return the mask `(N, H, W)` of one subtype, or of `any`."""
        if subtype not in LABELS:
            raise UsageError(f"unknown label {subtype}: one of {', '.join(LABELS)}")
        bits = 255 if subtype == "any" else 1 << SUBTYPES.index(subtype)
        return (self.masks & np.uint8(bits)) > 0


def generate_phantom(config: PhantomConfig) -> PhantomStudy:
    """Synthesise one study.

    Parameters
    ----------
    config
        Settings; `seed` is the only source of randomness.

    Returns
    -------
    PhantomStudy
        HU, masks and labels that agree: a label is 1 when the subtype fills at least 35 % of the
        voxel over at least 12 mm² of the slice; smaller traces are in neither mask nor label.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(config.seed).spawn(6)]
    head = make_head(streams[0])
    lesions = _make_lesions(streams[1], head, config)
    scanner = make_scanner(streams[2])
    geometry = make_geometry(
        streams[3], config.size, config.slices, config.thickness, lesions.focus_of_interest
    )
    mimics = Mimics()
    if config.mimics:
        mimics = make_mimics(streams[5], injured=bool(lesions.shells or lesions.floods))
        lesions.effect.infarcts += mimics.infarcts
    return _scan(config, Patient(head, lesions, mimics), scanner, geometry, streams[4])


def _make_lesions(rng: np.random.Generator, head: PhantomHead, config: PhantomConfig) -> Lesions:
    lesions = Lesions()
    wanted = config.subtypes if config.subtypes is not None else _mixture(rng)
    for kind, name in enumerate(SUBTYPES):
        if name in wanted:
            add_bleed(rng, head, kind, lesions)
    return lesions


def _mixture(rng: np.random.Generator) -> tuple[str, ...]:
    if rng.random() < 0.45:
        return ()
    count = int(rng.choice([1, 2, 3], p=[0.66, 0.25, 0.09]))
    odds = np.array(_ODDS) / sum(_ODDS)
    return tuple(str(s) for s in rng.choice(SUBTYPES, count, replace=False, p=odds))


def _scan(
    config: PhantomConfig,
    patient: Patient,
    scanner: Scanner,
    geometry: PhantomGeometry,
    rng: np.random.Generator,
) -> PhantomStudy:
    count, size = len(geometry.positions), config.size
    hu = np.empty((count, size, size), np.int16)
    masks = np.zeros((count, size, size), np.uint8)
    labels = np.zeros((count, len(LABELS)), np.uint8)
    area = float(np.prod(geometry.spacing))
    for k in range(count):
        picture, blood = render_slice(patient, scanner, geometry, k, size, rng)
        np.clip(np.rint(picture), -1024, 3071, out=hu[k], casting="unsafe")
        for kind, occupancy in blood.items():
            visible = occupancy >= VISIBLE_SHARE
            if cv2.countNonZero(visible.view(np.uint8)) * area >= VISIBLE_AREA_MM2:
                masks[k] |= visible.view(np.uint8) << np.uint8(kind)
                labels[k, kind + 1] = labels[k, 0] = 1
    return PhantomStudy(hu, masks, labels, geometry, config)
