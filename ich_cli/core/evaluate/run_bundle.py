"""Run bundles on prepared data, with the predictor that ``ich predict`` uses."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.bundle import BundleConfig, LoadedBundle, load_bundle
from ich_cli.core.data import PreparedDataset
from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.seen_slices import SeenSlices, find_seen
from ich_cli.core.labels import LABELS
from ich_cli.core.model import resolve_device
from ich_cli.core.predict import Predictor
from ich_cli.core.system import sum_of_sums

Progress = Callable[[int], None]


def predict_prepared(
    predictor: Predictor, data: PreparedDataset, progress: Progress = lambda n: None
) -> NDArray[np.float64]:
    """Return calibrated probabilities ``(N, 6)`` of all slices of a data set.

    Parameters
    ----------
    predictor
        A loaded bundle.
    data
        Slices, prepared with the bundle's preprocessing.
    progress
        Called with the number of slices after each batch.

    Raises
    ------
    DataError
        If the data was prepared in another way than the bundle's input.
    """
    members = len(predictor.preprocess)
    if predictor.bundle.sequence is None:
        return _run(
            predictor, data, progress,
            lambda pixels: predictor.probabilities(*[pixels] * members),
        )  # fmt: skip
    out = _run(
        predictor, data, progress, lambda pixels: predictor.slice_logits(*[pixels] * members)
    )
    for rows in data.series_rows():
        out[rows] = predictor.sequence_probabilities(out[rows])
    return out


def predict_logits(
    predictor: Predictor, data: PreparedDataset, progress: Progress = lambda n: None
) -> NDArray[np.float64]:
    """Return a single model's logits ``(N, 6)`` before calibration; see `predict_prepared`."""
    return _run(predictor, data, progress, predictor.slice_logits)


def _run(
    predictor: Predictor,
    data: PreparedDataset,
    progress: Progress,
    model: Callable[[NDArray[np.uint8]], NDArray[Any]],
) -> NDArray[np.float64]:
    check_prepared(predictor, data)
    out = np.empty((len(data), len(LABELS)))
    for start in range(0, len(data), predictor.batch_size):
        pixels = np.array(data.pixels[start : start + predictor.batch_size])  # out of the map
        out[start : start + len(pixels)] = model(pixels)
        progress(len(pixels))
    return out


def check_prepared(predictor: Predictor, data: PreparedDataset) -> None:
    """Check that data was prepared with the bundle's preprocessing.

    Raises
    ------
    DataError
        If it was not; names the bundle and the setting that differs.
    """
    for wanted in predictor.preprocess:
        for setting in ("preset", "size", "windows", "context"):
            a, b = getattr(wanted, setting), getattr(data.preprocess, setting)
            if a != b:
                raise DataError(
                    f"{predictor.bundle.path.resolve().name} needs {setting} {a}, but {data.name} "
                    f"was prepared with {b}; prepare it again with `ich preprocess`"
                )


def seen_by(predictor: Predictor, data: PreparedDataset) -> SeenSlices:
    """Return the slices of a data set that a bundle was trained on."""
    return find_seen(predictor.bundle.member_configs, data)


def describe_training(predictor: Predictor) -> dict[str, Any]:
    """Return the bundle, its training data and its split, to show with its metrics."""
    config = predictor.bundle.config
    return {
        "bundle": config.sha256[:12] or "without a checksum",
        "trained_on": config.training.get("data", ""),
        "split": config.training.get("split", ""),
    }


def unseen_by_fold(runs: Sequence[Path]) -> list[tuple[tuple[Path, ...], frozenset[str]]]:
    """Return each fold's bundles, one for each run, and the names of the slices it left out.

    Parameters
    ----------
    runs
        Folders of `ich train`, with ``fold-0``, ``fold-1`` …

    Raises
    ------
    DataError
        If no fold is finished, or the folds of the runs differ.
    """
    first, *others = (_folds(run) for run in runs)
    for run, other in zip(runs[1:], others, strict=True):
        if {k: fold[1] for k, fold in first.items()} != {k: fold[1] for k, fold in other.items()}:
            raise DataError(f"{run} has other folds than {runs[0]}, or not as many are finished")
    return [
        (tuple(found[k][0] for found in (first, *others)), names) for k, (_, names) in first.items()
    ]


def _folds(run: Path) -> dict[str, tuple[Path, frozenset[str]]]:
    found = {}
    for path in sorted(run.glob("fold-*/predictions.csv")):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                names = frozenset(row["name"] for row in csv.DictReader(file))
        except (OSError, KeyError, ValueError):
            raise DataError(f"{path}: not the predictions of a fold") from None
        found[path.parent.name] = (path.parent / "bundle", names)
    if not found:
        raise DataError(f"{run}: no finished fold; give the folder that `ich train` wrote")
    return found


def load_ensemble(bundles: Sequence[Path], device: str) -> Predictor:
    """Load single models as one predictor: of several, their mean.

    Raises
    ------
    BundleError
        If one cannot be loaded.
    """
    if len(bundles) == 1:
        return Predictor.load(bundles[0], device=device)
    loaded = [load_bundle(folder) for folder in bundles]
    configs = tuple(one.config for one in loaded)
    config = BundleConfig(
        "ensemble", configs[0].training, configs[0].preprocess,
        sha256=sum_of_sums([one.sha256 for one in configs]), members=tuple(map(str, bundles)),
    )  # fmt: skip
    models = tuple(one.models[0] for one in loaded)
    return Predictor(
        LoadedBundle(config, models, configs, "", bundles[0]), str(resolve_device(device))
    )
