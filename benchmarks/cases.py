"""Cases of ``make bench``; each returns rows of its table."""

from __future__ import annotations

import copy
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks import baseline
from benchmarks.fixtures import Subject, prepared, run
from benchmarks.timing import Measure, Work, processor_times, rates, ratio, times
from ich_cli.core.dicom import DEFAULT_LIMITS
from ich_cli.core.explain import explain_batch
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor, SliceReader
from ich_cli.core.series import Series


def bare_engines(subject: Subject, all_series: list[Series], rounds: int) -> list[Measure]:
    """Measure the engines alone, on prepared slices in memory."""
    pixels = prepared(subject.reference, all_series)
    jobs: dict[str, Work] = {
        f"{subject.name}: {engine}": partial(run, predictor, pixels)
        for engine, predictor in subject.predictors.items()
    }
    found = rates(jobs, rounds)
    gains = [ratio(one, found[0], f"{one.name} / torch") for one in found[1:]]
    return [*found, *gains]


def end_to_end(subject: Subject, all_series: list[Series], rounds: int) -> list[Measure]:
    """Measure files to probabilities against the engine alone and against the baseline."""
    predictor, name = subject.fastest, subject.name
    pixels = prepared(predictor, all_series)
    files = [Path(ref.id.path) for one in all_series for ref in one.slices]
    goals = ("", "") if subject.weights else ("0.75", "")
    goals = ("0.90", "6" if name != "ResNeXt50" else "") if subject.weights else goals
    with tempfile.TemporaryDirectory(prefix="ich-bench-png-") as folder:
        models = [_as_written(model) for model in subject.reference.bundle.models]
        work = (files, Path(folder), models, predictor.preprocess[0])
        engine, stream, reading, slow = rates(
            {
                f"{name}: bare engine ({predictor.engine})": partial(run, predictor, pixels),
                f"{name}: files to rows": partial(_stream, predictor, all_series),
                f"{name}: read and prepare, one thread": partial(_read, predictor, all_series),
                f"{name}: baseline": partial(baseline.predict, *work),
            },
            rounds,
        )
    return [
        engine, stream, reading, slow,
        ratio(stream, engine, f"{name}: files to rows / bare engine", goals[0]),
        ratio(stream, slow, f"{name}: files to rows / baseline", goals[1]),
    ]  # fmt: skip


def _as_written(model: nn.Module) -> nn.Module:
    """Return a copy of a model in PyTorch's default memory layout."""
    return copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()


def _stream(predictor: Predictor, all_series: list[Series]) -> int:
    found = predictor.predict_all(all_series)
    return sum(row.probabilities is not None for one in found for row in one.slices)


def _read(predictor: Predictor, all_series: list[Series]) -> int:
    reader = SliceReader(predictor.preprocess, DEFAULT_LIMITS, cached=4)
    return sum(bool(reader((one, index)).pixels) for one in all_series for index in range(len(one)))


def explaining(subject: Subject, all_series: list[Series], rounds: int) -> list[Measure]:
    """Measure all six maps of a slice against one forward pass, with torch."""
    predictor = subject.reference
    ct, around = predictor.read(all_series[0], len(all_series[0]) // 2)
    inputs = [one.pixels[None] for one in predictor.prepare(ct, around)]

    def forward() -> int:
        return len(predictor.probabilities(*inputs))

    def maps() -> int:
        return len(explain_batch(predictor, [ct], LABELS, neighbours=[around]))

    names = (f"{subject.name}: one forward pass", f"{subject.name}: six maps of a slice")
    one, six = times({names[0]: forward, names[1]: maps}, 2 * rounds)
    return [one, six, ratio(six, one, f"{names[1]} / forward pass", "at most 4")]


def start_up(all_series: list[Series], rounds: int, weights: str | None) -> list[Measure]:
    """Measure the start-up time of commands, each in its own process."""
    file = all_series[0].slices[0].id.path
    bundle = ["-w", weights] if weights else []
    jobs = {
        "ich --help": ["-m", "ich_cli", "--help"],
        "import typer, rich": ["-c", "import typer, rich"],
        "ich predict one.dcm": ["-m", "ich_cli", "predict", file, "--json", *bundle],
        "import torch": ["-c", "import torch"],
        "import torch, timm": ["-c", "import torch, timm"],
    }
    shown = processor_times(jobs, rounds)
    by_name = {one.name: one for one in shown}
    return [
        *shown,
        ratio(by_name["ich --help"], by_name["import typer, rich"], goal="at most 3"),
        ratio(by_name["ich predict one.dcm"], by_name["import torch"]),
        ratio(by_name["ich predict one.dcm"], by_name["import torch, timm"]),
    ]
