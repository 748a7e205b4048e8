"""Cross-validation: train the folds, collect out-of-fold predictions, refit on all patients.

run.json                settings, data with hashes, split, versions, command
fold-0/ …               checkpoints, metrics.jsonl, predictions.csv, bundle
oof.csv, metrics.json   out-of-fold predictions of all slices and their metrics
all/                    the refit on all patients: checkpoints, metrics.jsonl
ensemble/               the folds' models as one bundle, calibrated out of fold
bundle/                 the refit with calibration and thresholds learned out of fold
"""

from __future__ import annotations

import csv
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
    LearnedFrom,
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
from ich_cli.core.train.batches import Logits
from ich_cli.core.train.cross_validation.initial_weights import (
    check_initial_weights,
    initial_weights,
    record,
)
from ich_cli.core.train.cross_validation.out_of_fold import OutOfFold
from ich_cli.core.train.cross_validation.plan import Plan, pseudo_label_record
from ich_cli.core.train.dataset import Selection
from ich_cli.core.train.fit import FitResult, fit
from ich_cli.core.train.monitoring import THROUGHPUT_KEYS, Callbacks
from ich_cli.core.viz import draw_curves

PREDICTIONS = "predictions.csv"


def train_fold(plan: Plan, fold: int, callbacks: Callbacks | None = None) -> Path:
    """Train one fold; write its predictions on its validation slices and its bundle.

    A finished fold is skipped when the run is resumed.
    """
    folder = plan.out / f"fold-{fold}"
    done = folder / PREDICTIONS
    if plan.resume and done.is_file():
        return done
    fold_of = plan.fold_of()
    if not 0 <= fold < plan.folds:
        raise UsageError(f"--fold {fold}: the folds are 0 to {plan.folds - 1}")
    rows = np.arange(len(plan.data[0]), dtype=np.int64)
    validation = Selection(plan.data[0], rows[fold_of == fold])
    init = check_initial_weights(plan, fold)
    train = plan.selections(fold)
    result = _fit(plan, train, validation, folder, callbacks, init)
    last = {k: v for k, v in result.history[-1].items() if k not in THROUGHPUT_KEYS}
    split = f"fold {fold} of {plan.folds}"
    metrics = {"on": f"{plan.data[0].name}, {split} by patient", **last}
    if is_main():
        _save(plan, folder / "bundle", result, split, record(train, init), metrics=metrics)
        _write_predictions(done, plan.data[0], validation.rows, fold, result.logits)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    barrier()
    return done


def collect_out_of_fold(plan: Plan) -> OutOfFold | None:
    """Combine and evaluate the folds' predictions; None until all folds are done."""
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
        _save_ensemble(plan, found.before_sequence or found)
    return found


def refit(plan: Plan, found: OutOfFold | None, callbacks: Callbacks | None = None) -> Path:
    """Train on all patients and write the bundle, calibrated on out-of-fold predictions.

    Without `found` the bundle is not calibrated and its thresholds are 0.5.
    """
    init, train = initial_weights(plan, "bundle"), plan.selections(None)
    result = _fit(plan, train, None, plan.out / "all", callbacks, init)
    split, learned = "all patients", record(train, init)
    if not is_main():
        return plan.out / "bundle"
    if found is None:
        _save(plan, plan.out / "bundle", result, split, learned)
    else:
        split += f"; calibration, thresholds and metrics out of {plan.folds} folds by patient"
        _save(
            plan, plan.out / "bundle", result, split, learned,
            (found.before_sequence or found).calibration, found.thresholds, found.metrics(),
            found.study_rule,
            found.final_sequence(plan.sequence, plan.config.seed) if plan.sequence else None,
        )  # fmt: skip
    return plan.out / "bundle"


def _fit(
    plan: Plan,
    train: Sequence[Selection],
    validation: Selection | None,
    folder: Path,
    callbacks: Callbacks | None,
    init: str,
) -> FitResult:
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder) if is_main() else nullcontext():  # folds may train in parallel
        return fit(
            replace(plan.config, init=init), train, validation, plan.preprocess, folder,
            device=plan.device, resume=plan.resume, callbacks=callbacks, checkpoint=plan.checkpoint,
        )  # fmt: skip


def _save(
    plan: Plan,
    folder: Path,
    result: FitResult,
    split: str,
    learned: LearnedFrom,
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
        learned_from=learned,
    )
    save_bundle(folder, result.model.cpu(), config, sequence=sequence[0] if sequence else None)


def _save_ensemble(plan: Plan, found: OutOfFold) -> None:
    """Save the folds' models as an ensemble, calibrated on all out-of-fold logits."""
    split = (
        f"{plan.folds} models, each without its fold of patients; "
        "calibration, thresholds and metrics out of fold"
    )
    config = BundleConfig(
        architecture="ensemble", training=_training(plan, split), thresholds=found.thresholds,
        study=found.study_rule, metrics=found.metrics(),
    )  # fmt: skip
    members = [plan.out / f"fold-{fold}" / "bundle" for fold in range(plan.folds)]
    save_ensemble(plan.out / "ensemble", members, config, calibration=found.calibration)


def _training(plan: Plan, split: str) -> dict[str, Any]:
    """Return the ``training`` section of a bundle's config."""
    return {
        "real_ct": any(data.real_ct for data in plan.data),
        "data": "; ".join(_describe(data) for data in plan.data),
        "split": split,
        "shares": list(plan.sampling_weights),
        "data_sha256": [data.sha256 for data in plan.data],
        **{k: v for data in plan.data for k, v in pseudo_label_record(data).items()},
        "config": plan.config.to_dict(),
        "command": plan.command,
        "git": git_state(),
        "versions": versions(),
    }


def _describe(data: PreparedDataset) -> str:
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
