"""Run inputs in a child process and watch it for crashes, hangs and memory use."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.targets import TARGETS, make

SECONDS, MEMORY = 5.0, 2**30
IDLE_SECONDS = 600.0
"""Elapsed time after which an idle child counts as hanging, in seconds."""
START_SECONDS = 120.0
"""Processor time for the imports of a child, in seconds."""


def run_one(seed: int, index: int, folder: Path) -> str:
    """Run one input; return ``target: outcome``, with ``FINDING`` in a finding."""
    name, data = make(seed, index)
    start = time.process_time()
    try:
        outcome = TARGETS[name][1](data, folder)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        outcome = f"FINDING {type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
    if time.process_time() - start > SECONDS:
        outcome = "FINDING over 5 s"
    return f"{name}: {outcome}"


def child(seed: int, first: int, last: int, pipe: Connection) -> None:
    import resource

    base = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        for index in range(first, last):
            outcome = run_one(seed, index, Path(name))
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if base and most - base > MEMORY:
                outcome += " FINDING over 1 GiB"
            base = most
            pipe.send((index, outcome))
    pipe.send((last, ""))


def processor_time(pid: int) -> float:
    """Return the processor time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_answered(pipe: Connection, pid: int, timeout: float) -> bool:
    """Wait for a child; return False if it hangs. `timeout` is processor time in seconds."""
    limit, end = processor_time(pid) + timeout, time.monotonic() + IDLE_SECONDS
    while not pipe.poll(5.0):
        if processor_time(pid) > limit or time.monotonic() > end:
            return False
    return True


def watch(args: argparse.Namespace) -> Counter[str]:
    """Run all inputs, starting a new child after each crash or hang."""
    log = Path(args.log) if args.log else None
    kept = json.loads(log.read_text()) if log and log.is_file() else {"next": 0, "counts": {}}
    counts, at = Counter(kept["counts"]), int(kept["next"])
    findings: list[str] = kept.get("findings", [])
    context, written = multiprocessing.get_context("spawn"), time.monotonic()
    while at < args.inputs:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(args.seed, at, args.inputs, theirs))
        process.start()
        theirs.close()
        timeout = START_SECONDS
        while at < args.inputs:
            try:
                in_time = has_answered(ours, process.pid or 0, timeout)
                index, outcome = ours.recv() if in_time else (at, "FINDING hang")
            except EOFError:
                index, outcome = at, "FINDING crash"
            timeout = 2 * SECONDS  # the child itself reports inputs over 5 s
            counts[outcome] += bool(outcome)
            if "FINDING" in outcome:
                findings.append(f"--seed {args.seed} --only {index}: {outcome}")
                print(findings[-1], flush=True)  # noqa: T201
            at = index + 1
            if log and (time.monotonic() - written > 5 or at >= args.inputs):
                written = time.monotonic()
                log.write_text(json.dumps({"next": at, "counts": counts, "findings": findings}))
            if outcome in ("FINDING hang", "FINDING crash"):
                process.kill()
                break
        process.join()
    return counts
