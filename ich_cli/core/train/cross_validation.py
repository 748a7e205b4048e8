"""A whole run: folds one after the other, what they say of slices they never saw, and a bundle.

run.json                settings, data with hashes, split, versions, command
fold-0/ …               checkpoints, metrics.jsonl, predictions.csv, bundle
oof.csv, metrics.json   out-of-fold predictions of all slices, and what they are worth
all/                    the refit on all patients: checkpoints, metrics.jsonl
ensemble/               the folds' models as one bundle, calibrated out of fold
bundle/                 the refit with calibration and thresholds learned out of fold
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.bundle import (
    BundleConfig,
    Calibration,
    SequenceConfig,
    default_thresholds,
    save_bundle,
    save_ensemble,
)
from ich_cli.core.data import PreparedDataset
from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import SequenceModel, device_name, resolve_architecture
from ich_cli.core.study import StudyRule
from ich_cli.core.system import barrier, exclusive_lock, git_state, is_main, versions, write_csv
from ich_cli.core.train.fit import FitResult, fit
from ich_cli.core.train.inference import Logits
from ich_cli.core.train.out_of_fold import OutOfFold
from ich_cli.core.train.plan import Plan, begin, pseudo_labels_of
from ich_cli.core.train.sampler import Selection
from ich_cli.core.train.throughput import TIMING
from ich_cli.core.train.trainer import Watch
from ich_cli.core.train.training_curves import draw_curves

__all__ = ["Plan", "begin", "gather", "refit", "train_fold"]

PREDICTIONS = "predictions.csv"


def train_fold(plan: Plan, fold: int, watch: Watch | None = None) -> Path:
    """Train one fold, and write what it says of its validation slices and its bundle.

    A fold that is done is left as it is when the run is resumed.
    """
    folder = plan.out / f"fold-{fold}"
    done = folder / PREDICTIONS
    if plan.resume and done.is_file():
        return done
    fold_of = plan.fold_of()
    if not 0 <= fold < plan.folds:
        raise UsageError(f"fold {fold} of {plan.folds}: they count from 0")
    rows = np.arange(len(plan.data[0]), dtype=np.int64)
    validation = Selection(plan.data[0], rows[fold_of == fold])
    start = _start_from(plan, f"fold-{fold}/bundle")
    result = _fit(plan, rows[fold_of != fold], validation, folder, watch, start)
    last = {k: v for k, v in result.history[-1].items() if k not in TIMING}
    split = f"fold {fold} of {plan.folds}"
    metrics = {"on": f"{plan.data[0].name}, {split} by patient", **last}
    if is_main():
        _save(plan, folder / "bundle", result, split, metrics=metrics)
        _write_predictions(done, plan.data[0], validation.rows, fold, result.logits)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    barrier()
    return done


def gather(plan: Plan) -> OutOfFold | None:
    """Put the folds' predictions together and measure them; None until all folds are done."""
    files = [plan.out / f"fold-{fold}" / PREDICTIONS for fold in range(plan.folds)]
    if not all(file.is_file() for file in files):
        return None
    first = plan.data[0]
    logits = np.full((len(first), len(LABELS)), np.nan, np.float32)
    for file in files:
        with file.open(newline="", encoding="utf-8") as handle:
            for line in csv.DictReader(handle):
                logits[int(line["row"])] = [float(line[f"logit_{label}"]) for label in LABELS]
    found = OutOfFold(first, plan.fold_of(), logits)
    if plan.sequence:
        found = found.with_sequence(plan.sequence, plan.config.seed)
    if is_main():
        found.write(plan.out)
        draw_curves(plan.out)
        _save_ensemble(plan, found.without or found)
    return found


def refit(plan: Plan, found: OutOfFold | None, watch: Watch | None = None) -> Path:
    """Train on all patients and write the bundle, calibrated by what the folds have shown.

    Without `found` its probabilities are as they come, and its thresholds 0.5.
    """
    rows = np.arange(len(plan.data[0]), dtype=np.int64)
    start = _start_from(plan, "bundle")
    result = _fit(plan, rows, None, plan.out / "all", watch, start)
    split = "all patients"
    if not is_main():
        return plan.out / "bundle"
    if found is None:
        _save(plan, plan.out / "bundle", result, split)
    else:
        split += f"; calibration, thresholds and metrics out of {plan.folds} folds by patient"
        _save(
            plan, plan.out / "bundle", result, split, (found.without or found).calibration,
            found.thresholds, found.for_bundle(), found.study_rule,
            found.stage(plan.sequence, plan.config.seed) if plan.sequence else None,
        )  # fmt: skip
    return plan.out / "bundle"


def _start_from(plan: Plan, part: str) -> str:
    """Return what a part of the run starts from: of an earlier run, the same part.

    Raises
    ------
    UsageError
        If that run had other folds, so that a fold would start from patients it is measured on.
    """
    earlier = Path(plan.config.init)
    about = earlier / "run.json"
    if not about.is_file():
        return plan.config.init
    before = json.loads(about.read_text(encoding="utf-8"))
    if before.get("split") != plan.split():
        raise UsageError(
            f"--init {earlier}: a run with other folds (data, --folds or --seed); its models "
            "have seen patients that these folds are measured on"
        )
    return str(earlier / part)


def _fit(
    plan: Plan,
    rows: NDArray[np.int64],
    validation: Selection | None,
    folder: Path,
    watch: Watch | None,
    init: str,
) -> FitResult:
    all_rows = [rows, *(one.known_rows() for one in plan.data[1:])]
    train = [
        Selection(data, some, share)
        for data, some, share in zip(plan.data, all_rows, plan.shares, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder) if is_main() else nullcontext():  # folds may train side by side
        return fit(
            replace(plan.config, init=init), train, validation, plan.preprocess, folder,
            device=plan.device, resume=plan.resume, watch=watch, checkpoint=plan.checkpoint,
        )  # fmt: skip


def _save(
    plan: Plan,
    folder: Path,
    result: FitResult,
    split: str,
    calibration: Calibration | None = None,
    thresholds: dict[str, float] | None = None,
    metrics: dict[str, Any] | None = None,
    study: StudyRule | None = None,
    sequence: tuple[SequenceModel, SequenceConfig] | None = None,
) -> None:
    training = _training(plan, split) | {
        "frozen_norms": result.frozen_norms,
        "started_from": result.origin,
        "hardware": device_name(next(result.model.parameters()).device),
    }
    config = BundleConfig(
        architecture=resolve_architecture(plan.config.model),
        model_args=plan.config.model_args,
        training=training,
        preprocess=plan.preprocess,
        calibration=calibration or Calibration(),
        thresholds=thresholds or default_thresholds(),
        study=study,
        sequence=sequence[1] if sequence else None,
        metrics=metrics or {},
    )
    save_bundle(folder, result.model.cpu(), config, sequence=sequence[0] if sequence else None)


def _save_ensemble(plan: Plan, found: OutOfFold) -> None:
    """Put the folds' models together; what they share was learned from all out-of-fold logits."""
    split = (
        f"{plan.folds} models, each without its fold of patients; "
        "calibration, thresholds and metrics out of fold"
    )
    config = BundleConfig(
        architecture="ensemble", training=_training(plan, split), thresholds=found.thresholds,
        study=found.study_rule, metrics=found.for_bundle(),
    )  # fmt: skip
    members = [plan.out / f"fold-{fold}" / "bundle" for fold in range(plan.folds)]
    save_ensemble(plan.out / "ensemble", members, config, calibration=found.calibration)


def _training(plan: Plan, split: str) -> dict[str, Any]:
    """Return what a bundle says of how it came to be."""
    return {
        "real_ct": any(data.real_ct for data in plan.data),
        "data": "; ".join(_described(data) for data in plan.data),
        "split": split,
        "shares": list(plan.shares),
        "data_sha256": [data.sha256 for data in plan.data],
        **{k: v for data in plan.data for k, v in pseudo_labels_of(data).items()},
        "config": plan.config.to_dict(),
        "command": plan.command,
        "git": git_state(),
        "versions": versions(),
    }


def _described(data: PreparedDataset) -> str:
    about = data.about
    licence = about["source"]["licence"]
    counts = f"{about['source']['name']}, {about['slices']} slices of {about['patients']} patients"
    if pseudo := about.get("pseudo_labels"):
        counts += f" ({pseudo['used']} of them with {pseudo['kind']} pseudo-labels)"
    return f"{counts} ({licence})" if licence else counts


def _write_predictions(
    path: Path, data: PreparedDataset, rows: NDArray[np.int64], fold: int, logits: Logits
) -> None:
    columns = ("row", "name", "patient", "fold", *(f"logit_{label}" for label in LABELS))
    lines: Sequence[Sequence[object]] = [
        (row, data.rows[row].name, data.patients[row], fold, *(f"{v:.9g}" for v in values))
        for row, values in zip(rows.tolist(), logits, strict=True)
    ]
    write_csv(path, columns, lines)
