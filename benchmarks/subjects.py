"""What is measured: bundles, and phantoms to run them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ich_cli.core import series
from ich_cli.core.bundle import BundleConfig, save_bundle, save_ensemble
from ich_cli.core.dicom import DEFAULT_LIMITS
from ich_cli.core.model import build_model
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Predictor, Reader
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.series import Entry

A_STUDY = 32  # slices
DATA = "phantoms (synthetic head CT, 512 x 512, uncompressed DICOM)"
_TRAINING = {"real_ct": False, "data": "nothing: random numbers, for their speed"}


@dataclass(frozen=True)
class Subject:
    """A bundle with the engines that run it."""

    name: str
    weights: Path | None
    """None: the bundle that ships."""
    predictors: dict[str, Predictor] = field(default_factory=dict)
    """By engine and precision; torch is the first."""

    def load(self, engine: str, device: str) -> Predictor:
        """Load it once more, on an engine, and keep it."""
        found = Predictor.load(self.weights, device=device, engine=engine)
        return self.predictors.setdefault(str(found.engine), found)

    @property
    def reference(self) -> Predictor:
        """On torch."""
        return next(iter(self.predictors.values()))

    @property
    def fastest(self) -> Predictor:
        """On what ``auto`` takes for a large job, where that was loaded; else torch."""
        return next(
            (one for one in self.predictors.values() if one.engine.name == "openvino"),
            self.reference,
        )


def phantoms(folder: Path, slices: int) -> list[Entry]:
    """Write phantoms as DICOM and find them."""
    studies = max(1, round(slices / A_STUDY))
    each = max(1, slices // studies)
    write_studies(folder, studies, seed=0, slices=(each, each))
    return [*series.scan(sorted(folder.glob("study-*/*.dcm"))).rows]


def bundles(folder: Path, size: int = 512) -> list[Subject]:
    """Make bundles of random weights: two usual backbones, and both together."""
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


def prepared(predictor: Predictor, entries: list[Entry]) -> list[NDArray[np.uint8]]:
    """Return all entries made ready: one array ``(N, C, S, S)`` for each setting."""
    reader = Reader(predictor.prepare, predictor.preprocess, entries, DEFAULT_LIMITS, kept=4)
    reads = [reader(index).pixels for index in range(len(entries))]
    return [np.stack(column) for column in zip(*(one for one in reads if one), strict=True)]


def run(predictor: Predictor, pixels: list[NDArray[np.uint8]]) -> int:
    """Run a model on prepared slices in batches as `Predictor.stream` makes them."""
    step = predictor.batch_size
    for start in range(0, len(pixels[0]), step):
        predictor.probabilities(*(one[start : start + step] for one in pixels))
    return len(pixels[0])
