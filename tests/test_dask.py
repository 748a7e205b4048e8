"""The example on Dask gives the table of ``ich predict``, from two workers of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.robustness.long_run import ROOT, make_bundle, make_corpus, predict


@pytest.mark.slow
def test_two_workers_write_the_table_of_the_command(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed; it is in the extra 'dev'")
    scans = make_corpus(tmp_path / "scans", 40, 0.1, 3).folder
    bundle = make_bundle(tmp_path / "bundle")
    assert predict(scans, tmp_path / "one.csv", bundle).code == 0

    done = subprocess.run(
        [sys.executable, "-m", "tools.dask_predict", scans, "-o", tmp_path / "dask.csv",
         "-w", bundle, "--workers", "2"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "dask.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
