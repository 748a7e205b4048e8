"""Runs with the same folds put together: a bundle that answers with the mean of their logits.

Each slice was answered in each run by a model that did not see its patient, so the mean of those
logits is what the ensemble says of patients it does not know: calibration, thresholds, the rule for
studies and the figures come from it, as a single run's come from its own (`OutOfFold`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ich_cli._version import __version__
from ich_cli.core.bundle import (
    BundleConfig,
    Calibration,
    SequenceConfig,
    read_config,
    save_ensemble,
)
from ich_cli.core.data import PreparedDataset, SlicesOfPatients, read_out_of_fold
from ich_cli.core.errors import BundleError, DataError, OutputError, UsageError
from ich_cli.core.model import SequenceKind
from ich_cli.core.system import git_state, replacing_folder, versions, write_json
from ich_cli.core.train.out_of_fold import OutOfFold

_SEED: Final = 0


def mean_of(runs: Sequence[OutOfFold]) -> OutOfFold:
    """Return the mean of the logits of runs of the same slices in the same folds."""
    logits = np.stack([run.logits for run in runs]).mean(axis=0, dtype=np.float64)
    return OutOfFold(runs[0].data, runs[0].fold_of, logits.astype(np.float32))


def join_runs(
    folders: Sequence[Path],
    data: PreparedDataset,
    out: Path,
    command: str = "",
    sequence: SequenceKind | None = None,
) -> OutOfFold:
    """Write an ensemble of runs' bundles, and its out-of-fold answers, as a run of its own.

    Parameters
    ----------
    folders
        Runs of ``ich train … --refit`` with the same folds; model and size may differ.
    data
        What their folds are of: the first data set of any of them.
    out
        Folder to make: ``bundle/``, ``oof.csv``, ``metrics.json``, ``run.json``.
    command
        To write down.
    sequence
        Of a second stage over the slices of a series, learned from the mean's logits.

    Raises
    ------
    UsageError
        Fewer than two runs, or of other folds.
    BundleError
        A run has no bundle that its folds have calibrated.
    DataError
        A run's table cannot be read, or `data` has other slices.
    OutputError
        `out` exists, or cannot be written.
    """
    if len(folders) < 2:
        raise UsageError("an ensemble takes two runs or more")
    if out.exists():
        raise OutputError(f"{out} exists already; choose another folder, or remove it first")
    splits = {_about(folder).get("split") for folder in folders}
    if len(splits) > 1:
        raise UsageError("these runs have other folds (data, --folds or --seed): what one has "
                         "learned from another is measured on")  # fmt: skip
    configs = [_bundle_of(folder) for folder in folders]
    mean = mean_of([_out_of_fold(folder, data) for folder in folders])
    found = mean.with_sequence(sequence, _SEED) if sequence else mean
    stage = found.stage(sequence, _SEED) if sequence else None
    about = {
        "ich": __version__, "command": command, "split": splits.pop(),
        "runs": [_about(folder).get("command", "") for folder in folders],
        "git": git_state(), "versions": versions(),
    }  # fmt: skip
    with replacing_folder(out) as new:
        members = [folder / "bundle" for folder in folders]
        config = _config(configs, found, about, stage[1] if stage else None)
        save_ensemble(new / "bundle", members, config, sequence=stage[0] if stage else None)
        found.write(new)
        write_json(new / "run.json", about)
    return found


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{folder} is no run of ich train: it has no run.json") from None
    return about if isinstance(about, dict) else {}


def _bundle_of(folder: Path) -> BundleConfig:
    if not (folder / "bundle").is_dir():
        raise BundleError(f"{folder} has no bundle; finish it by `ich train … --refit --resume`")
    config = read_config(folder / "bundle")
    if config.members or config.sequence:
        raise BundleError(f"{folder}: an ensemble takes neither ensembles nor second stages")
    if config.calibration == Calibration():
        raise BundleError(
            f"{folder}: its bundle was not calibrated; `ich train … --refit --resume` does it "
            "when all folds are done"
        )
    return config


def _out_of_fold(folder: Path, data: PreparedDataset) -> OutOfFold:
    """Return a run's answers in the order of the data."""
    table = read_out_of_fold(folder / "oof.csv")
    at = {name: k for k, name in enumerate(table.names)}
    names = [row.name for row in data.rows]
    if table.folds is None or table.logits is None or set(at) != set(names):
        raise DataError(f"{folder}: its slices are not those of {data.name}")
    order = [at[name] for name in names]
    _check_labels(table, order, data, folder)
    return OutOfFold(data, table.folds[order], table.logits[order].astype(np.float32))


def _check_labels(
    table: SlicesOfPatients, order: list[int], data: PreparedDataset, folder: Path
) -> None:
    if not np.array_equal(table.labels[order], data.labels >= 0.5):
        raise DataError(f"{folder}: its labels are not those of {data.name}")


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
        "ensemble", training, calibration=(found.without or found).calibration,
        thresholds=found.thresholds, study=found.study_rule, sequence=sequence,
        metrics=found.for_bundle(),
    )  # fmt: skip
