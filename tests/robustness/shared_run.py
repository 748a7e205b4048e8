"""A run shared by several processes against one alone.

``python -m tests.robustness.shared_run --rows 4000``

Three runs over the same files, some of them broken: one process, its memory watched; several, their
memory watched; and several of which the last is killed half-way by SIGKILL, and one more goes on.
All tables must be equal byte for byte.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.robustness.long_run import (
    KILLED,
    ROOT,
    Ended,
    check_equal,
    check_rows,
    make_bundle,
    make_corpus,
    say,
)


def together(
    moments: Sequence[str], bundle: Path, *arguments: object, every: int = 0
) -> list[Ended]:
    """Run ``ich predict`` in as many processes at once as moments (see `killed_process`)."""
    start, running = time.perf_counter(), []
    for rank, moment in enumerate(moments):
        variables = {
            "ICH_WEIGHTS": bundle, "OMP_NUM_THREADS": 1, "RANK": rank, "WORLD_SIZE": len(moments),
        }  # fmt: skip
        command = [
            sys.executable,
            "-m",
            "tests.robustness.killed_process",
            moment,
            str(every),
            "predict",
        ]
        running.append(
            subprocess.Popen(
                [*command, "--workers", "1", *map(str, arguments)], cwd=ROOT, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, **{name: str(value) for name, value in variables.items()}},
            )
        )  # fmt: skip
    told = [process.communicate() for process in running]
    seconds = time.perf_counter() - start
    return [
        Ended(moment, process.returncode, out, err, seconds)
        for moment, process, (out, err) in zip(moments, running, told, strict=True)
    ]


def main() -> None:
    """Make the files, run, compare, tell."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.robustness.shared_run", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ich-shared-run-") as name:
        folder, never = Path(name), ["never"] * options.ranks
        corpus = make_corpus(folder / "scans", options.rows, 0.02, options.seed)
        bundle = make_bundle(folder / "bundle")

        def run(moments: list[str], output: str, *more: str, every: int = 0) -> None:
            arguments = (corpus.folder, "-o", folder / output, "--by", "study", *more)
            _tell(together(moments, bundle, *arguments, every=every))

        run(["never"], "one.csv", every=options.rows // 8)
        say(f"every file has its row: {dict(check_rows(folder / 'one.csv', corpus))}")
        run(never, "shared.csv", every=options.rows // options.ranks // 8)
        check_equal(folder / "one.csv", folder / "shared.csv")
        run([*never[1:], f"row:{options.rows // options.ranks // 2}:50"], "killed.csv")
        run([*never, "never"], "killed.csv", "--resume")
        check_equal(folder / "one.csv", folder / "killed.csv")
        left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        say(f"left behind: {', '.join(left) or 'nothing'}")


def _tell(runs: Sequence[Ended]) -> None:
    say(
        f"{len(runs)} process(es): exit codes {[run.code for run in runs]}, {runs[0].seconds:.0f} s"
    )
    for rank, run in enumerate(runs):
        if run.code != (0 if run.moment == "never" else KILLED):
            raise SystemExit(f"not as expected: {run.told}")
        samples = [line.split() for line in run.printed.splitlines()]
        if samples:
            say(f"  process {rank}: MiB " + ", ".join(f"{what}: {mib}" for what, mib in samples))


if __name__ == "__main__":
    main()
