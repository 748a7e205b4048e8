"""What several tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.train import Plan, TrainConfig, collect_out_of_fold, refit, start_run, train_fold
from tests.support.prepared import blobs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set ``blobs`` and a run on it."""
    root = tmp_path_factory.mktemp("run")
    data = blobs(root / "blobs", 6)
    config = TrainConfig(
        model="test_resnet", init="none", epochs=1, batch_size=8, precision="no", drop_rate=0.0
    )
    plan = Plan(config=config, data=(data,), out=root / "run", folds=2, device="cpu")
    start_run(plan)
    for fold in range(2):
        train_fold(plan, fold)
    refit(plan, collect_out_of_fold(plan))
    return root
