"""A whole run: folds one after the other, what they say of slices they never saw, and a bundle.

run.json                settings, data with hashes, split, versions, command
fold-0/ …               checkpoints, metrics.jsonl, predictions.csv, bundle
oof.csv, metrics.json   out-of-fold predictions of all slices, and what they are worth
all/                    the refit on all patients: checkpoints, metrics.jsonl
bundle/                 the refit with calibration and thresholds learned out of fold
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.atomic import claimed
from ich_cli.core.batches import Selection, check_alike
from ich_cli.core.bundle import BundleConfig, Calibration, default_thresholds, save_bundle
from ich_cli.core.bundle_config import SequenceConfig
from ich_cli.core.config import PreprocessConfig
from ich_cli.core.curves import draw_curves
from ich_cli.core.dataset import PreparedDataset, write_csv, write_json
from ich_cli.core.errors import OutputError, UsageError
from ich_cli.core.inference import Logits
from ich_cli.core.labels import LABELS
from ich_cli.core.model import device_name, resolve_architecture
from ich_cli.core.out_of_fold import OutOfFold
from ich_cli.core.processes import is_main, meet
from ich_cli.core.provenance import git_state, versions
from ich_cli.core.sequence import SequenceKind, SequenceModel, learn_sequence
from ich_cli.core.splits import fold_by_patient
from ich_cli.core.study_rule import StudyRule
from ich_cli.core.training import CheckpointConfig, FitResult, fit
from ich_cli.core.training_config import TrainConfig
from ich_cli.core.training_run import Watch

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Plan:
    """What to train on what, and where it goes."""

    config: TrainConfig
    data: tuple[PreparedDataset, ...]
    """The first one is split and measured on; the others only help to learn."""
    out: Path
    shares: tuple[float, ...] = ()
    """How much of each data set an epoch sees; 1 where not given."""
    folds: int = 5
    mean: tuple[float, ...] | None = None
    """In place of the data set's mean, one a window."""
    std: tuple[float, ...] | None = None
    device: str = "auto"
    resume: bool = False
    sequence: SequenceKind | None = None
    """A second stage over whole series; a finished run may be gathered again with another."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    command: str = ""
    preprocess: PreprocessConfig = field(init=False)

    def __post_init__(self) -> None:
        if not self.data:
            raise UsageError("there must be a prepared data set to train on")
        if self.shares and len(self.shares) != len(self.data):
            raise UsageError(f"{len(self.shares)} shares for {len(self.data)} data sets")
        check_alike(self.data)
        own = self.data[0].preprocess
        changed = replace(own, mean=self.mean or own.mean, std=self.std or own.std)
        object.__setattr__(self, "preprocess", changed)
        object.__setattr__(self, "shares", self.shares or (1.0,) * len(self.data))

    def fold_of(self) -> NDArray[np.int64]:
        """Return the fold of each slice of the first data set."""
        first = self.data[0]
        return fold_by_patient(first.patients, first.labels, self.folds, self.config.seed)

    def split(self) -> str:
        """Return what two runs share if they put the same slices in the same folds.

        Of the slices' names, so that another size or context of the same slices is no other split.
        """
        folds = zip((row.name for row in self.data[0].rows), self.fold_of().tolist(), strict=True)
        return hashlib.sha256(json.dumps(sorted(folds)).encode()).hexdigest()[:32]


def begin(plan: Plan) -> None:
    """Write ``run.json``; refuse a folder that holds another run.

    Raises
    ------
    OutputError
        If `out` holds something and it is not a run to be resumed with the same settings.
    """
    about = {
        "ich": __version__,
        "command": plan.command,
        "config": plan.config.to_dict(),
        "preprocess": plan.preprocess.to_dict(),
        "folds": plan.folds,
        "split": plan.split(),
        "data": [
            {"name": d.name, "sha256": d.sha256, "share": share, "source": d.about["source"]}
            for d, share in zip(plan.data, plan.shares, strict=True)
        ],
        "git": git_state(),
        "versions": versions(),
    }
    if is_main():
        _claim(plan.out, about, resume=plan.resume)
    meet()


def _claim(out: Path, about: dict[str, Any], *, resume: bool) -> None:
    path = out / "run.json"
    if path.is_file() and resume:
        _check_same(json.loads(path.read_text(encoding="utf-8")), about, path)
        return
    if out.exists() and any(out.iterdir()):
        if not path.is_file():
            raise OutputError(f"{out} holds something else; choose another folder")
        raise OutputError(f"{out} holds a run; go on with --resume, or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, about)


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
    last = result.history[-1] if result.history else {}
    split = f"fold {fold} of {plan.folds}"
    metrics = {"on": f"{plan.data[0].name}, {split} by patient", **last}
    if is_main():
        _save(plan, folder / "bundle", result, split, metrics=metrics)
        _write_predictions(done, plan.data[0], validation.rows, fold, result.logits)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    meet()
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
            found.thresholds, found.for_bundle(), found.study_rule, _sequence(plan, found),
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
    all_rows = [rows, *(np.arange(len(d), dtype=np.int64) for d in plan.data[1:])]
    train = [
        Selection(data, some, share)
        for data, some, share in zip(plan.data, all_rows, plan.shares, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(folder) if is_main() else nullcontext():  # folds may train side by side
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
    training = {
        "real_ct": any(data.real_ct for data in plan.data),
        "data": "; ".join(_described(data) for data in plan.data),
        "split": split,
        "shares": list(plan.shares),
        "data_sha256": [data.sha256 for data in plan.data],
        "config": plan.config.to_dict(),
        "frozen_norms": result.frozen_norms,
        "command": plan.command,
        "hardware": device_name(next(result.model.parameters()).device),
        "git": git_state(),
        "versions": versions(),
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


def _sequence(plan: Plan, found: OutOfFold) -> tuple[SequenceModel, SequenceConfig] | None:
    """Learn the second stage that ships: from the out-of-fold logits of all patients."""
    if plan.sequence is None or found.without is None:
        return None
    data, logits = plan.data[0], found.without.logits
    seed = plan.config.seed
    stage = learn_sequence(logits, data.labels, data.series_rows(), plan.sequence, seed)
    return stage, SequenceConfig(plan.sequence, found.calibration)


def _described(data: PreparedDataset) -> str:
    about = data.about
    licence = about["source"]["licence"]
    counts = f"{about['source']['name']}, {about['slices']} slices of {about['patients']} patients"
    return f"{counts} ({licence})" if licence else counts


def _check_same(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    # what an earlier version did not know had its default then
    before = {**before, "config": {**TrainConfig().to_dict(), **before.get("config", {})}}
    for what in ("config", "preprocess", "folds", "data"):
        if before.get(what) != json.loads(json.dumps(now[what])):
            raise OutputError(
                f"{path} was begun with other settings ({what}); choose another --out"
            )


def _write_predictions(
    path: Path, data: PreparedDataset, rows: NDArray[np.int64], fold: int, logits: Logits
) -> None:
    columns = ("row", "name", "patient", "fold", *(f"logit_{label}" for label in LABELS))
    lines: Sequence[Sequence[object]] = [
        (row, data.rows[row].name, data.patients[row], fold, *(f"{v:.9g}" for v in values))
        for row, values in zip(rows.tolist(), logits, strict=True)
    ]
    write_csv(path, columns, lines)
