"""Time jobs in turn, round by round, and form ratios."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

clock = time.perf_counter
"""Clock in use. `time.process_time` counts this process only, so other load matters less."""

Work = Callable[[], int]
"""A job: does some work and returns the number of units done."""


@dataclass(frozen=True)
class Measure:
    """One quantity, measured once a round."""

    name: str
    unit: str
    values: tuple[float, ...]
    goal: str = ""

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "median": self.median}


def rates(jobs: Mapping[str, Work], rounds: int, unit: str = "slices/s") -> list[Measure]:
    """Return the units per second of each job. All run once unmeasured, then in turn.

    A busy machine slows all jobs of a round alike, so their ratio is stable.
    """
    for job in jobs.values():
        job()
    found = [{name: _rate(job) for name, job in jobs.items()} for _ in range(rounds)]
    return [Measure(name, unit, tuple(one[name] for one in found)) for name in jobs]


def times(jobs: Mapping[str, Work], rounds: int) -> list[Measure]:
    """Return the seconds of each job, measured as in `rates`."""
    return [
        Measure(one.name, "s", tuple(1 / value for value in one.values))
        for one in rates({name: _once(job) for name, job in jobs.items()}, rounds)
    ]


def ratio(above: Measure, below: Measure, name: str = "", goal: str = "") -> Measure:
    """Return the ratio of two quantities, round by round."""
    values = tuple(a / b for a, b in zip(above.values, below.values, strict=True))
    return Measure(name or f"{above.name} / {below.name}", "ratio", values, goal)


def command(arguments: Sequence[str], folder: Path | None = None) -> Work:
    """Return a job that runs Python with these arguments in a child process."""

    def run() -> int:
        subprocess.run(
            [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        return 1

    return run


def processor_times(commands: Mapping[str, Sequence[str]], rounds: int) -> list[Measure]:
    """Return the processor seconds of Python commands, run in child processes.

    All run once unmeasured, which fills the disk cache, then in turn. Not on Windows.
    """
    import resource

    def spent(job: Work) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        job()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    jobs = {name: command(arguments) for name, arguments in commands.items()}
    for job in jobs.values():
        job()
    found = [{name: spent(job) for name, job in jobs.items()} for _ in range(rounds)]
    return [Measure(name, "CPU s", tuple(one[name] for one in found)) for name in jobs]


def _once(job: Work) -> Work:
    def run() -> int:
        job()
        return 1

    return run


def _rate(job: Work) -> float:
    start = clock()
    return job() / (clock() - start)


def machine(device: str) -> dict[str, Any]:
    """Describe the machine, without its name."""
    import torch

    from ich_cli.core.engines import fast_bf16

    where = torch.device(device)
    about: dict[str, Any] = {
        "date": date.today().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16": fast_bf16("cpu") or "not fast",
        "python": platform.python_version(),
    }
    for package in ("ich-cli", "torch", "timm", "openvino"):
        try:
            about[package] = version(package)
        except PackageNotFoundError:
            about[package] = "not installed"
    if where.type == "cuda":
        about["gpu"] = torch.cuda.get_device_name(where)
    return about | load()


def load() -> dict[str, Any]:
    """Return the load averages of the machine, this process included."""
    known = hasattr(os, "getloadavg")
    return {"load": [round(one, 1) for one in os.getloadavg()]} if known else {}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
