"""Plan of a cross-validated run, and the ``run.json`` that records it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.data import Overlap, PreparedDataset, find_overlap, fold_by_patient
from ich_cli.core.errors import DataError, OutputError
from ich_cli.core.model import SequenceKind
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import barrier, git_state, is_main, require, versions, write_json
from ich_cli.core.train.config import CheckpointConfig, TrainConfig, upgrade_settings
from ich_cli.core.train.dataset import Selection, check_same_preprocessing


@dataclass(frozen=True)
class Plan:
    """Settings, data and output folder of a run."""

    config: TrainConfig
    data: tuple[PreparedDataset, ...]
    """Prepared data sets; the first is split and evaluated, the others are only trained on."""
    out: Path
    """Output folder."""
    sampling_weights: tuple[float, ...] = ()
    """Fraction of each data set that an epoch samples; empty: 1 for all."""
    folds: int = 5
    mean: tuple[float, ...] | None = None
    """Mean per window that replaces the data set's."""
    std: tuple[float, ...] | None = None
    """Standard deviation per window that replaces the data set's."""
    device: str = "auto"
    resume: bool = False
    sequence: SequenceKind | None = None
    """Sequence model over whole series; can be changed when a finished run is resumed."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    command: str = ""
    allow_overlap: bool = False
    """Start from weights that were trained on validation slices, with a note."""
    preprocess: PreprocessConfig = field(init=False)

    def __post_init__(self) -> None:
        require(bool(self.data), "training needs a prepared data set")
        weights = self.sampling_weights or (1.0,) * len(self.data)
        fits = len(weights) == len(self.data)
        require(fits, f"{len(weights)} sampling weights for {len(self.data)} data sets")
        check_same_preprocessing(self.data)
        _check_labels(self.data)
        own = self.data[0].preprocess
        changed = replace(own, mean=self.mean or own.mean, std=self.std or own.std)
        object.__setattr__(self, "preprocess", changed)
        object.__setattr__(self, "sampling_weights", weights)

    @cached_property
    def overlap(self) -> Overlap:
        """Patients and slices that the data sets share."""
        return find_overlap(self.data)

    def fold_of(self) -> NDArray[np.int64]:
        """Return the fold of each slice of the first data set.

        Patients that share slices are in one fold.
        """
        groups, labels = self.overlap.groups[0], self.data[0].labels
        return fold_by_patient(groups, labels, self.folds, self.config.seed)

    def selections(self, fold: int | None) -> list[Selection]:
        """Return the slices to train on, without a fold's patients; None for all patients.

        Copies of slices, and slices without labels, are left out.
        """
        first = np.arange(len(self.data[0]), dtype=np.int64)
        rows = [first, *(one.known_rows() for one in self.data[1:])]
        held_out = [] if fold is None else self.overlap.groups[0][self.fold_of() == fold]
        out, shared = [], self.overlap
        for number, (data, some) in enumerate(zip(self.data, rows, strict=True)):
            excluded = np.isin(shared.groups[number], held_out) | shared.repeated[number]
            if (kept := some[~excluded[some]]).size:
                out.append(Selection(data, kept, self.sampling_weights[number]))
        return out

    def split(self) -> str:
        """Return a hash of the folds, equal for runs that split the same slices alike.

        It depends on the slices' names only, so that it is the same for another size or context.
        Empty where there are fewer patients than folds, which `refit` alone accepts.
        """
        if np.unique(self.overlap.groups[0]).size < self.folds:
            return ""
        folds = zip((row.name for row in self.data[0].rows), self.fold_of().tolist(), strict=True)
        return hashlib.sha256(json.dumps(sorted(folds)).encode()).hexdigest()[:32]


def start_run(plan: Plan) -> None:
    """Write ``run.json``; refuse a folder that holds another run.

    Raises
    ------
    OutputError
        If `out` is not empty and not a run to resume with the same settings.
    """
    about = {
        "ich": __version__,
        "command": plan.command,
        "config": plan.config.to_dict(),
        "preprocess": plan.preprocess.to_dict(),
        "folds": plan.folds,
        "split": plan.split(),
        "overlap": plan.overlap.to_dict(),
        "data": [
            {"name": d.name, "sha256": d.sha256, "share": share, "source": d.about["source"]}
            | pseudo_label_record(d)
            for d, share in zip(plan.data, plan.sampling_weights, strict=True)
        ],
        "git": git_state(),
        "versions": versions(),
    }
    if is_main():
        _write_run_json(plan.out, about, resume=plan.resume)
    barrier()


def _write_run_json(out: Path, about: dict[str, Any], *, resume: bool) -> None:
    path = out / "run.json"
    if path.is_file() and resume:
        _check_same(json.loads(path.read_text(encoding="utf-8")), about, path)
        return
    if out.exists() and any(out.iterdir()):
        if not path.is_file():
            raise OutputError(f"{out} is not empty; choose another folder")
        raise OutputError(
            f"{out} contains a run; continue it with --resume, or choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, about)


def pseudo_label_record(data: PreparedDataset) -> dict[str, Any]:
    """Return the record of a data set's pseudo-labels; empty where it has none."""
    found = data.about.get("pseudo_labels")
    return {"pseudo_labels": found} if found else {}


def _check_labels(data: Sequence[PreparedDataset]) -> None:
    for one in data:
        if one.study_labels is not None:
            raise DataError(
                f"{one.name} has labels per study, and a positive study has slices without "
                "hemorrhage: train on labels per slice; `ich evaluate` takes this data set"
            )
    if "pseudo_labels" in data[0].about or not data[0].labelled:
        raise DataError(
            f"{data[0].name} has no labels; the first data set is evaluated, so put one with "
            "labels by people before it"
        )
    for one in data[1:]:
        if not one.labelled:
            raise DataError(f"{one.name} has no labels; add --pseudo-labels, or remove it")


def _check_same(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    before = {"overlap": {"patients": 0, "slices": 0}, **before}  # not recorded before
    before["config"] = upgrade_settings(before.get("config", {}))
    for what in ("config", "preprocess", "folds", "data", "overlap"):
        if before.get(what) != json.loads(json.dumps(now[what])):
            raise OutputError(
                f"{path} was started with other settings ({what}); choose another --output"
            )
