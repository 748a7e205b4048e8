"""One of several processes of a training. Run by test_distributed through torchrun.

torchrun --nproc-per-node 2 -m tests.support.gloo_child DATA OUT [--norms]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ich_cli.core.data import PreparedDataset
from ich_cli.core.system import destroy_group
from ich_cli.core.train import Selection, TrainConfig
from ich_cli.core.train.config import FreezeNorms
from ich_cli.core.train.fit import FitResult, fit

CONFIG = TrainConfig(
    model="test_resnet", init="none", epochs=2, batch_size=8, lr=1e-3, ema=0.9, drop_rate=0.0,
    freeze_norms="yes", precision="no",
)  # fmt: skip


def train(data: PreparedDataset, out: Path, freeze_norms: FreezeNorms = "yes") -> FitResult:
    rows = np.arange(len(data), dtype=np.int64)
    half = len(data) // 2
    chosen = Selection(data, rows[:half]), Selection(data, rows[half : half + 9])
    config = replace(CONFIG, freeze_norms=freeze_norms)
    return fit(config, [chosen[0]], chosen[1], data.preprocess, out, device="cpu")


def gloo_threads() -> list[str]:
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


if __name__ == "__main__":
    import os

    from safetensors.torch import save_file

    torch.set_num_threads(1)
    norms: FreezeNorms = "no" if "--norms" in sys.argv else "yes"
    result = train(PreparedDataset.open(Path(sys.argv[1])), Path(sys.argv[2]), norms)
    tensors = {k: v.contiguous() for k, v in result.model.state_dict().items()}
    tensors["logits"] = torch.from_numpy(result.logits)
    save_file(tensors, Path(sys.argv[2]) / f"rank-{os.environ['RANK']}.safetensors")
    assert gloo_threads(), "this test no longer looks at what it means to"
    destroy_group()
    assert not gloo_threads()  # one that lives on can abort the process at its end
