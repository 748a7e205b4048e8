"""Processor time of one slice, stage by stage, for the estimates of docs/scale.md.

python -m benchmarks.scaling FOLDER --model seresnet50 --size 512

Everything runs on one thread. Stages run in turn, round by round. Weights of --model are random,
because they do not change its speed. The folder holds DICOM files; by default phantoms are made.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ich_cli.core import series
from ich_cli.core.dicom import decompress
from ich_cli.core.model import build_model
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import PreprocessConfig, prepare

ROUNDS = 5
FORWARDS = 4  # forward passes in a round
Words = NDArray[np.uint16]
Stage = Callable[[], int]
"""Runs a stage for some slices and returns their number."""


def main() -> None:
    """Print a table, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", default="seresnet50")
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="ich-bench-") as made:
        if options.folder is None:
            write_studies(Path(made), 2, seed=0, slices=(14, 14))
        paths = sorted(p for p in (options.folder or Path(made)).rglob("*") if p.is_file())
        stages = _stages(paths, options.model, options.size)
        rounds: dict[str, list[float]] = {name: [] for name in stages}
        for _ in range(ROUNDS):
            for name, stage in stages.items():
                rounds[name].append(_cost(stage))
    print(f"load average {os.getloadavg()[0]:.1f}; {torch.backends.cpu.get_cpu_capability()}")
    for name, costs in rounds.items():
        middle = statistics.median(costs)
        print(
            f"{name:34} {1e3 * middle:8.2f} ms per slice ({1e3 * min(costs):.2f} to "
            f"{1e3 * max(costs):.2f})  {1 / middle:9.1f} slices/s a core"
        )
    print(json.dumps({name: sorted(costs) for name, costs in rounds.items()}))


def _cost(stage: Stage) -> float:
    """Return the processor time of one slice in seconds."""
    start = time.process_time()
    slices = stage()
    return (time.process_time() - start) / slices


def _stages(paths: list[Path], name: str, size: int) -> dict[str, Stage]:
    predictor = Predictor.load(device="cpu")
    refs = [ref for one in series.scan(paths).series for ref in one.slices]
    slices = [series.load(ref) for ref in refs]
    large = PreprocessConfig(size=size)
    small = predictor.preprocess[0].size
    model = build_model(name).eval().to(memory_format=torch.channels_last)
    pixels = [predictor.prepare(one)[0].pixels for one in slices]
    inputs = [torch.from_numpy(prepare(one, large).pixels[None]) for one in slices[:FORWARDS]]
    floats = [one.float().contiguous(memory_format=torch.channels_last) for one in inputs]
    words = [np.round(one.hu + 1024).clip(0, 65535).astype(np.uint16) for one in slices]
    return {
        "find and read the header": lambda: len(series.scan(paths)),
        "read and decode to HU": lambda: len([series.load(ref) for ref in refs]),
        **_codecs(words),
        f"prepare, {small} px": lambda: len([predictor.prepare(one) for one in slices]),
        f"prepare, {size} px": lambda: len([prepare(one, large) for one in slices]),
        "default bundle": lambda: len(predictor.probabilities(np.stack(pixels))),
        f"{name}, {size} px, fp32": lambda: _forward(model, floats, torch.float32),
        f"{name}, {size} px, bf16": lambda: _forward(model, floats, torch.bfloat16),
    }


def _codecs(words: list[Words]) -> dict[str, Stage]:
    """Return decoding stages for the compressed slices; print the compression ratios."""
    packers: dict[str, Callable[[Words], bytes]] = {
        "jpegls": lambda words: bytes(imagecodecs.jpegls_encode(words)),
        "jpeg2k": lambda words: bytes(imagecodecs.jpeg2k_encode(words, reversible=True)),
    }
    stages: dict[str, Stage] = {}
    plain = sum(one.nbytes for one in words)
    for family, pack in packers.items():
        packed = [pack(one) for one in words]
        print(f"{family}: {plain / sum(map(len, packed)):.2f} to 1, without loss")
        stages[f"decode {family}"] = lambda family=family, packed=packed: len(  # type: ignore[misc]
            [decompress(family, one, 16) for one in packed]
        )
    return stages


def _forward(model: nn.Module, inputs: list[torch.Tensor], dtype: torch.dtype) -> int:
    autocast = torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16)
    with torch.inference_mode(), autocast:
        for one in islice(cycle(inputs), FORWARDS):
            model(one)
    return FORWARDS


if __name__ == "__main__":
    main()
