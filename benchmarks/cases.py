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
from ich_cli.core import series
from ich_cli.core.dicom import DEFAULT_LIMITS
from ich_cli.core.explain import explain_batch
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor, Reader
from ich_cli.core.series import Entry


def bare_engines(subject: Subject, entries: list[Entry], rounds: int) -> list[Measure]:
    """Measure the engines alone, on prepared slices in memory."""
    pixels = prepared(subject.reference, entries)
    jobs: dict[str, Work] = {
        f"{subject.name}: {engine}": partial(run, predictor, pixels)
        for engine, predictor in subject.predictors.items()
    }
    found = rates(jobs, rounds)
    gains = [ratio(one, found[0], f"{one.name} / torch") for one in found[1:]]
    return [*found, *gains]


def end_to_end(subject: Subject, entries: list[Entry], rounds: int) -> list[Measure]:
    """Measure files to probabilities against the engine alone and against the baseline."""
    predictor, name = subject.fastest, subject.name
    pixels = prepared(predictor, entries)
    files = [Path(one.id.path) for one in entries if isinstance(one, series.SliceRef)]
    goals = ("", "") if subject.weights else ("0.75", "")
    goals = ("0.90", "6" if name != "ResNeXt50" else "") if subject.weights else goals
    with tempfile.TemporaryDirectory(prefix="ich-bench-png-") as folder:
        models = [_as_written(model) for model in subject.reference.bundle.models]
        work = (files, Path(folder), models, predictor.preprocess[0])
        engine, stream, reading, slow = rates(
            {
                f"{name}: bare engine ({predictor.engine})": partial(run, predictor, pixels),
                f"{name}: files to rows": partial(_stream, predictor, entries),
                f"{name}: read and prepare, one thread": partial(_read, predictor, entries),
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


def _stream(predictor: Predictor, entries: list[Entry]) -> int:
    return sum(row.probabilities is not None for row in predictor.stream(entries))


def _read(predictor: Predictor, entries: list[Entry]) -> int:
    reader = Reader(predictor.prepare, predictor.preprocess, entries, DEFAULT_LIMITS, kept=4)
    return sum(bool(reader(index).pixels) for index in range(len(entries)))


def explaining(subject: Subject, entries: list[Entry], rounds: int) -> list[Measure]:
    """Measure all six maps of a slice against one forward pass, with torch."""
    predictor = subject.reference
    ct, around = predictor.read(entries, len(entries) // 2)
    inputs = [one.pixels[None] for one in predictor.prepare(ct, around)]

    def forward() -> int:
        return len(predictor.probabilities(*inputs))

    def maps() -> int:
        return len(explain_batch(predictor, [ct], LABELS, neighbours=[around]))

    names = (f"{subject.name}: one forward pass", f"{subject.name}: six maps of a slice")
    one, six = times({names[0]: forward, names[1]: maps}, 2 * rounds)
    return [one, six, ratio(six, one, f"{names[1]} / forward pass", "at most 4")]


def start_up(entries: list[Entry], rounds: int, weights: str | None) -> list[Measure]:
    """Measure the start-up time of commands, each in its own process."""
    file = next(one.id.path for one in entries if isinstance(one, series.SliceRef))
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
