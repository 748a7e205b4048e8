"""Fuzz the readers: ``python -m tests.fuzz --inputs 100000 --seed 1 --log fuzz.json``.

A child process runs the inputs. Its parent watches for a crash, a hang (over 5 s) and memory use
(over 1 GiB), then starts a new child with the next input. The log is written every few seconds, and
the same command continues from it. ``--only I`` runs input I of a seed again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS, make
from tests.fuzz.watching import watch


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log")
    parser.add_argument("--only", type=int)
    args = parser.parse_args()
    if args.only is not None:
        with tempfile.TemporaryDirectory() as name:
            target, data = make(args.seed, args.only)
            print(target, TARGETS[target][1](data, Path(name)))  # noqa: T201
        return 0
    counts = watch(args)
    for outcome, count in sorted(counts.items()):
        print(f"{count:8} {outcome}")  # noqa: T201
    return int(any("FINDING" in outcome for outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
