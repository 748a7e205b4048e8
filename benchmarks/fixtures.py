"""Bundles to measure, and phantoms to run them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ich_cli.core.bundle import BundleConfig, save_bundle, save_ensemble
from ich_cli.core.dicom import DEFAULT_LIMITS
from ich_cli.core.model import build_model
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Predictor, SliceReader
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.series import Series, scan

SLICES_PER_STUDY = 32
DATA = "phantoms (synthetic head CT, 512 x 512, uncompressed DICOM)"
_TRAINING = {"real_ct": False, "data": "nothing: random numbers, for their speed"}


@dataclass(frozen=True)
class Subject:
    """A bundle with its predictors, one for each engine."""

    name: str
    weights: Path | None
    """Bundle folder; None for the default bundle."""
    predictors: dict[str, Predictor] = field(default_factory=dict)
    """Engine and precision → predictor; torch first."""

    def load(self, engine: str, device: str) -> Predictor:
        """Load the bundle for one more engine and keep the predictor."""
        found = Predictor.load(self.weights, device=device, engine=engine)
        return self.predictors.setdefault(str(found.engine), found)

    @property
    def reference(self) -> Predictor:
        """Predictor that runs on torch."""
        return next(iter(self.predictors.values()))

    @property
    def fastest(self) -> Predictor:
        """Predictor of the engine that ``auto`` takes for a large job, if loaded; else torch."""
        return next(
            (one for one in self.predictors.values() if one.engine.name == "openvino"),
            self.reference,
        )


def phantoms(folder: Path, slices: int) -> list[Series]:
    """Write phantoms as DICOM and scan them."""
    studies = max(1, round(slices / SLICES_PER_STUDY))
    each = max(1, slices // studies)
    write_studies(folder, studies, seed=0, slices=(each, each))
    return [*scan(sorted(folder.glob("study-*/*.dcm"))).series]


def bundles(folder: Path, size: int = 512) -> list[Subject]:
    """Make bundles with random weights: two common backbones, and both as an ensemble."""
    folders = []
    for name in ("seresnet50", "resnext50"):
        torch.manual_seed(0)
        prep = PreprocessConfig(size=size)
        model = build_model(name)
        save_bundle(folder / name, model, BundleConfig(name, _TRAINING, prep))
        folders.append(folder / name)
    save_ensemble(folder / "ensemble", folders, BundleConfig("ensemble", _TRAINING))
    return [
        Subject("SE-ResNet50", folders[0]),
        Subject("ResNeXt50", folders[1]),
        Subject("both (ensemble)", folder / "ensemble"),
    ]


def prepared(predictor: Predictor, all_series: list[Series]) -> list[NDArray[np.uint8]]:
    """Return prepared slices: one array ``(N, C, S, S)`` for each preprocessing setting."""
    reader = SliceReader(predictor.preprocess, DEFAULT_LIMITS, cached=4)
    reads = [reader((one, index)).pixels for one in all_series for index in range(len(one))]
    return [np.stack(column) for column in zip(*(one for one in reads if one), strict=True)]


def run(predictor: Predictor, pixels: list[NDArray[np.uint8]]) -> int:
    """Run a model on prepared slices in batches as `Predictor.predict_series` makes them."""
    step = predictor.batch_size
    for start in range(0, len(pixels[0]), step):
        predictor.probabilities(*(one[start : start + step] for one in pixels))
    return len(pixels[0])
