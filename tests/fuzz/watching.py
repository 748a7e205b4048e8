"""Run inputs in a child, and watch it for a crash, a hang and memory."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.targets import TARGETS, make

SECONDS, MEMORY = 5.0, 2**30


def run_one(seed: int, index: int, folder: Path) -> str:
    """Run one input; return ``target: outcome``, with ``FINDING`` in it where it is one."""
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


def watch(args: argparse.Namespace) -> Counter[str]:
    """Run all inputs, whatever becomes of the children."""
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
        patience = 120.0  # to start
        while at < args.inputs:
            try:
                index, outcome = ours.recv() if ours.poll(patience) else (at, "FINDING hang")
            except EOFError:
                index, outcome = at, "FINDING crash"
            patience = 10 * SECONDS  # on the clock: the machine may be busy
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
