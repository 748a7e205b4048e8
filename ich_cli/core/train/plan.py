"""What a run trains on what, and the ``run.json`` that says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.data import PreparedDataset, fold_by_patient
from ich_cli.core.errors import DataError, OutputError, UsageError
from ich_cli.core.model import SequenceKind
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import barrier, git_state, is_main, versions, write_json
from ich_cli.core.train.config import TrainConfig
from ich_cli.core.train.fit import CheckpointConfig
from ich_cli.core.train.sampler import check_alike


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
        _check_labels(self.data)
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
        Empty where there are fewer patients than folds: all of them can be trained on, still.
        """
        if np.unique(self.data[0].patients).size < self.folds:
            return ""
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
            | pseudo_labels_of(d)
            for d, share in zip(plan.data, plan.shares, strict=True)
        ],
        "git": git_state(),
        "versions": versions(),
    }
    if is_main():
        _claim(plan.out, about, resume=plan.resume)
    barrier()


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


def pseudo_labels_of(data: PreparedDataset) -> dict[str, Any]:
    """Return what a record says of a data set's pseudo-labels; nothing where it has none."""
    found = data.about.get("pseudo_labels")
    return {"pseudo_labels": found} if found else {}


def _check_labels(data: Sequence[PreparedDataset]) -> None:
    if "pseudo_labels" in data[0].about or not data[0].labelled:
        raise DataError(
            f"{data[0].name} has no labels; the first data set is measured on, so name one that "
            "people have labelled before it"
        )
    for one in data[1:]:
        if not one.labelled:
            raise DataError(
                f"{one.name} has no labels; give it a model's by --pseudo-labels, or leave it out"
            )


def _check_same(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    # what an earlier version did not know had its default then
    before = {**before, "config": {**TrainConfig().to_dict(), **before.get("config", {})}}
    for what in ("config", "preprocess", "folds", "data"):
        if before.get(what) != json.loads(json.dumps(now[what])):
            raise OutputError(
                f"{path} was begun with other settings ({what}); choose another --out"
            )
