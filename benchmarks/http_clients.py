"""Send requests of many clients to one page; report equal results, time and memory.

python -m benchmarks.http_clients --clients 50 --slices 4
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ich_cli.core.phantom import write_studies


def main() -> None:
    """Start the page, send one request and then all at once, and print the outcome."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_clients", description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--slices", type=int, default=4, help="slices that each client sends")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ich-clients-") as folder:
        write_studies(Path(folder), 1, seed=0, slices=(options.slices, options.slices))
        files = [str(path) for path in sorted(Path(folder).glob("study-*/*.dcm"))]
        with subprocess.Popen(_command(), stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            try:
                _measure(address, files, options.clients, server.pid)
            finally:
                server.send_signal(signal.SIGINT)


def _command() -> list[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return [sys.executable, "-m", "ich_cli", "serve", "--port", port, "--quiet"]


def _measure(address: str, files: Sequence[str], clients: int, pid: int) -> None:
    expected = _request(address, files)
    before = _memory_mb(pid)
    start, peak, stop = time.perf_counter(), [before], threading.Event()
    watcher = threading.Thread(target=_watch, args=(pid, peak, stop))
    watcher.start()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda _: _request(address, files), range(clients)))
    took = time.perf_counter() - start
    stop.set()
    watcher.join()
    same = sum(answer == expected for answer in answers)
    print(f"{same} of {clients} results equal that of a single client, after {took:.1f} s")
    print(f"the server's memory: {before} MB before, at most {peak[0]} MB")


def _request(address: str, files: Sequence[str]) -> str:
    """Return the probabilities of all slices as text, or the error."""
    from gradio_client import Client, handle_file  # type: ignore[import-untyped]

    try:
        client = Client(address, verbose=False)
        answer: Any = client.predict([handle_file(file) for file in files], api_name="/predict")
        return json.dumps([one["probabilities"] for one in answer["slices"]])
    except Exception as error:  # any failure counts as a different result
        return f"{type(error).__name__}: {error}"


def _watch(pid: int, peak: list[int], stop: threading.Event) -> None:
    while not stop.wait(0.2):
        peak[0] = max(peak[0], _memory_mb(pid))


def _memory_mb(pid: int) -> int:
    """Return the resident memory of a process (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024


if __name__ == "__main__":
    main()
