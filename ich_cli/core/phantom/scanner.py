"""Simulate a scanner: beam hardening, scatter, noise, kernel, headrest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from scipy import sparse

from ich_cli.core.phantom.drawing import Array, ramp, smooth_noise

SIDE: Final = 72
"""Side of the coarse grid on which rays are traced."""
ANGLES: Final = 90


@dataclass
class Scanner:
    """Parameters of one scanner and protocol."""

    noise: float
    """Standard deviation in the center of the head for slices of 5 mm, HU."""
    grain: float
    """Correlation length of the noise in pixels."""
    sharp: float
    """Strength of the kernel's edge enhancement."""
    blur: float
    hardening: float
    """Scale of the beam-hardening error; 1 = a poorly corrected scanner."""
    glare: float
    """Increase of HU in the brain next to bone."""
    offset: float
    gain: float
    rest: tuple[float, float, float]
    """Radius of the headrest's arc, its thickness (mm), its density (HU)."""
    rest_gap: float


def make_scanner(rng: np.random.Generator) -> Scanner:
    """Sample a scanner."""
    return Scanner(
        noise=float(np.exp(rng.uniform(np.log(1.6), np.log(6.5)))),
        grain=float(rng.uniform(0.55, 1.15)),
        sharp=float(max(0.0, rng.normal(0.1, 0.25))),
        blur=float(rng.uniform(0.45, 0.95)),
        hardening=float(rng.uniform(0.15, 1.0)),
        glare=float(rng.uniform(1.5, 7.0)),
        offset=float(rng.normal(0, 1.8)),
        gain=float(rng.normal(1, 0.02)),
        rest=(
            float(rng.uniform(100, 190)),
            float(rng.uniform(2, 4.5)),
            float(rng.uniform(-150, 250)),
        ),
        rest_gap=float(rng.uniform(2, 14) + (rng.random() < 0.25) * 60),
    )


@lru_cache(maxsize=1)
def _rays() -> tuple[sparse.csr_array, sparse.csr_array, Array]:
    """Return projector, back projector and ramp filter of the coarse parallel-beam scanner."""
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    x, y = np.meshgrid(axis, axis)
    bins = int(SIDE * 1.5)
    rows, cols, values = [], [], []
    for k, angle in enumerate(np.arange(ANGLES) * np.pi / ANGLES):
        t = (x * np.cos(angle) + y * np.sin(angle)).ravel() + (bins - 1) / 2
        low = np.floor(t).astype(int)
        for shift, weight in ((0, 1 - (t - low)), (1, t - low)):
            rows.append(k * bins + low + shift)
            cols.append(np.arange(SIDE * SIDE))
            values.append(weight)
    parts = (
        np.concatenate(values).astype(np.float32),
        (np.concatenate(rows), np.concatenate(cols)),
    )
    matrix = sparse.csr_array(parts, shape=(ANGLES * bins, SIDE * SIDE))
    frequency = np.abs(np.fft.rfftfreq(2 * bins)).astype(np.float32) * 2
    frequency *= np.cos(frequency * np.float32(np.pi / 2)) ** 2
    return matrix, sparse.csr_array(matrix.T), frequency


def hardening(picture: Array, step: float) -> Array:
    """Return the beam-hardening error of an HU picture `(H, W)`, HU, zero-mean, same shape.

    Attenuation of rays through much bone is underestimated, by a share that grows with the square
    of the path in bone; filtered back projection of that error gives the dark band between the
    petrous bones and the streaks beside dense bone and metal. `step` is the pixel's size in mm.
    """
    project, back, response = _rays()
    coarse = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    bone = np.clip((coarse - 120) / 1000, 0, 9)
    scale = step * picture.shape[0] / SIDE / 10  # cm a coarse pixel
    path = (project @ bone.ravel()).reshape(ANGLES, -1) * np.float32(scale)
    error = -np.square(path) * np.float32(1 / (1 + 0.05 * path.max()))
    spectrum = np.fft.rfft(error, n=2 * error.shape[1], axis=1) * response
    filtered = np.fft.irfft(spectrum, axis=1)[:, : error.shape[1]].astype(np.float32)
    wrong = (back @ filtered.ravel()).reshape(SIDE, SIDE) * np.float32(np.pi / ANGLES / scale)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.resize(wrong.astype(np.float32), size, interpolation=cv2.INTER_CUBIC))


def glare(picture: Array, step: float) -> Array:
    """Return the share of bone near each pixel, in [0, 1]: scatter brightens the brain there."""
    bone = np.clip((picture - 150) / 850, 0, 1).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(bone, (0, 0), 5.0 / step))


def noise_field(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> Array:
    """Return CT-like noise `(H, W)`, variance 1: band-pass, as from ramp filter and kernel."""
    white = rng.standard_normal(shape, dtype=np.float32)
    fine = cv2.GaussianBlur(white, (0, 0), grain)
    fine = fine - 0.75 * cv2.GaussianBlur(fine, (0, 0), 2.2 * grain)
    return np.asarray(fine / np.float32(fine[::3, ::3].std() + 1e-6))


def noise_level(picture: Array) -> Array:
    """Return the relative strength of the noise: 1 in the center, less at the rim and in air."""
    body = np.clip((picture + 1000) / 1000, 0, 2.2).astype(np.float32)
    small = cv2.resize(body, (48, 48), interpolation=cv2.INTER_AREA)
    across = small.sum(1, keepdims=True) + small.sum(0, keepdims=True)
    level = np.exp(0.018 * (cv2.GaussianBlur(across, (0, 0), 2.0) - 75))
    near = cv2.GaussianBlur(small, (0, 0), 6.0)
    level = level * (0.25 + 0.75 * ramp(near, 0.05, 0.8))
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.resize(level.astype(np.float32), size, interpolation=cv2.INTER_LINEAR))


def headrest(scanner: Scanner, x: Array, y: Array, bottom: float) -> tuple[Array, float]:
    """Return opacity and density of the headrest at table coordinates `x`, `y` (mm)."""
    radius, thick, hu = scanner.rest
    top = bottom + scanner.rest_gap
    far = np.hypot(x, y - (top - radius))
    shell = np.clip(0.5 - (np.abs(far - radius - thick) - thick / 2) / 0.9, 0, 1)
    shell *= (y > top - 0.75 * radius) & (np.abs(x) < 0.98 * radius)
    return shell.astype(np.float32), hu


def drift(rng: np.random.Generator, size: int) -> Array:
    """Return a slow, zero-mean drift of the calibration across the picture, variance 1."""
    return cv2.resize(smooth_noise(rng, 64, 14), (size, size), interpolation=cv2.INTER_LINEAR)
