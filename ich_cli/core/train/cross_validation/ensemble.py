"""Ensemble of runs with the same folds: a bundle that predicts the mean of their logits.

In each run a slice is predicted by a model that was not trained on its patient, so the mean of
these logits is an out-of-fold prediction of the ensemble. Calibration, thresholds, study rule and
metrics are learned from it, as for a single run (`OutOfFold`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.bundle import (
    CONFIG,
    BundleConfig,
    Calibration,
    SequenceConfig,
    read_config,
    save_ensemble,
)
from ich_cli.core.data import PreparedDataset, read_out_of_fold
from ich_cli.core.errors import BundleError, DataError, OutputError, UsageError
from ich_cli.core.evaluate import find_seen
from ich_cli.core.model import SequenceKind
from ich_cli.core.system import git_state, replacing_folder, versions, write_json
from ich_cli.core.train.cross_validation.out_of_fold import OutOfFold

_SEED: Final = 0


def average_runs(runs: Sequence[OutOfFold]) -> OutOfFold:
    """Return the mean of the logits of runs of the same slices in the same folds."""
    logits = np.stack([run.logits for run in runs]).mean(axis=0, dtype=np.float64)
    return OutOfFold(runs[0].data, runs[0].fold_of, logits.astype(np.float32))


def ensemble_runs(
    folders: Sequence[Path],
    data: PreparedDataset,
    out: Path,
    command: str = "",
    sequence: SequenceKind | None = None,
) -> OutOfFold:
    """Write an ensemble of runs' bundles and its out-of-fold predictions as a new run.

    Parameters
    ----------
    folders
        Runs of ``ich train --refit`` with the same folds; model and size may differ.
    data
        The first data set of any of the runs.
    out
        New folder for ``bundle/``, ``oof.csv``, ``metrics.json``, ``run.json``.
    command
        Command line to record.
    sequence
        Kind of sequence model over whole series, fitted on the mean logits; None for none.

    Raises
    ------
    UsageError
        If there are fewer than two runs, or their folds differ.
    BundleError
        If a run has no calibrated bundle.
    DataError
        If a run's table cannot be read, or `data` has other slices.
    OutputError
        If `out` exists or cannot be written.
    """
    if len(folders) < 2:
        raise UsageError("an ensemble needs at least two runs")
    if out.exists():
        raise OutputError(f"{out} exists already; choose another folder, or remove it first")
    splits = {_read_run_json(folder).get("split") for folder in folders}
    if len(splits) > 1:
        raise UsageError(
            "these runs have different folds (data, --folds or --seed); one would be trained on "
            "patients that another is evaluated on"
        )
    configs = [_bundle_of(folder) for folder in folders]
    mean = average_runs([_out_of_fold(folder, data) for folder in folders])
    found = mean.with_sequence(sequence, _SEED) if sequence else mean
    final = found.final_sequence(sequence, _SEED) if sequence else None
    about = {
        "ich": __version__, "command": command, "split": splits.pop(),
        "runs": [_read_run_json(folder).get("command", "") for folder in folders],
        "git": git_state(), "versions": versions(),
    }  # fmt: skip
    with replacing_folder(out) as new:
        members = [folder / "bundle" for folder in folders]
        config = _config(configs, found, about, final[1] if final else None)
        save_ensemble(new / "bundle", members, config, sequence=final[0] if final else None)
        found.write(new)
        write_json(new / "run.json", about)
    return found


def _read_run_json(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{folder} is not a run of ich train: it has no run.json") from None
    return about if isinstance(about, dict) else {}


def _bundle_of(folder: Path) -> BundleConfig:
    if not (folder / "bundle").is_dir():
        raise BundleError(f"{folder} has no bundle; finish it with `ich train … --refit --resume`")
    config = read_config(folder / "bundle")
    if config.members or config.sequence:
        raise BundleError(f"{folder}: an ensemble cannot contain ensembles or sequence models")
    if config.calibration == Calibration():
        raise BundleError(
            f"{folder}: its bundle is not calibrated; run `ich train … --refit --resume` once "
            "all folds are done"
        )
    return config


def _out_of_fold(folder: Path, data: PreparedDataset) -> OutOfFold:
    """Return a run's out-of-fold predictions in the order of the data."""
    table = read_out_of_fold(folder / "oof.csv")
    at = {name: k for k, name in enumerate(table.names)}
    names = [row.name for row in data.rows]
    if table.folds is None or table.logits is None or set(at) != set(names):
        raise DataError(f"{folder}: its slices are not those of {data.name}")
    order = [at[name] for name in names]
    _check_held_out(folder, data, table.folds[order])
    if not np.array_equal(table.labels[order], data.labels >= 0.5):
        raise DataError(f"{folder}: its labels are not those of {data.name}")
    return OutOfFold(data, table.folds[order], table.logits[order].astype(np.float32))


def _check_held_out(folder: Path, data: PreparedDataset, fold_of: NDArray[np.int64]) -> None:
    """Raise DataError where a fold's model was trained on the fold's slices."""
    for fold in np.unique(fold_of).tolist():
        bundle = folder / f"fold-{fold}" / "bundle"
        if (bundle / CONFIG).is_file():
            seen = find_seen((read_config(bundle),), data, whole_sets=False)
            seen = seen.take(np.flatnonzero(fold_of == fold))
            if seen.of_patients.any():
                raise DataError(
                    f"{bundle} was trained on {seen.counts()} in its validation fold: its "
                    "predictions are not out of fold; train the run again without overlap"
                )


def _config(
    configs: Sequence[BundleConfig],
    found: OutOfFold,
    about: dict[str, Any],
    sequence: SequenceConfig | None,
) -> BundleConfig:
    split = (
        f"{len(configs)} models, each of all patients; {'second stage, ' if sequence else ''}"
        f"calibration, thresholds and metrics out of {found.fold_of.max() + 1} folds by patient"
    )
    data = dict.fromkeys(str(config.training["data"]) for config in configs)
    training = {
        "real_ct": any(config.training["real_ct"] for config in configs),
        "data": "; ".join(data),
        "split": split,
        "commands": about["runs"],
        "git": about["git"],
        "versions": about["versions"],
    }
    return BundleConfig(
        "ensemble", training, calibration=(found.before_sequence or found).calibration,
        thresholds=found.thresholds, study=found.study_rule, sequence=sequence,
        metrics=found.metrics(),
    )  # fmt: skip
