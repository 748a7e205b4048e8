"""A served page for tests: `ich serve` in a process of its own, on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom

from ich_cli.core.phantom import write_studies

PATIENT = "Planted^Name"
CAVEAT = "These weights never saw a real CT"


@dataclass
class Served:
    """A running server; `stop` ends it and returns what it wrote to stderr."""

    address: str
    temporary: Path
    process: subprocess.Popen[str]

    @property
    def files(self) -> list[Path]:
        """Files of studies and uploads on the server."""
        folders = self.temporary.glob("ich-serve-*")
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[1]


def environment(temporary: Path) -> dict[str, str]:
    own = {"TMPDIR": str(temporary), "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(port: int, *options: str) -> list[str]:
    return [sys.executable, "-m", "ich_cli", "serve", "--port", str(port), *options]


@contextmanager
def serving(temporary: Path, *options: str, port: int = 0) -> Iterator[Served]:
    """Start the page; end it at the end of the block unless the test did."""
    port = port or free_port()
    with subprocess.Popen(
        command(port, *options), env=environment(temporary), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, process.communicate(timeout=60)[1]  # the server failed: show why
            yield Served(address, temporary, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)


def named_study(folder: Path, slices: int = 4, size: int = 64, seed: int = 3) -> list[Path]:
    """Write slices with a patient's name in the header and in the file name."""
    write_studies(folder, 1, seed=seed, size=size, slices=(slices, slices))
    paths = []
    for path in sorted(folder.glob("study-*/*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.PatientName = PATIENT
        paths.append(path.with_name(f"{PATIENT}-{path.name}"))
        dataset.save_as(paths[-1])
        path.unlink()
    return paths
