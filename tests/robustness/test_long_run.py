"""A run killed again and again ends as one in peace; large version: `tests.robustness.long_run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness import long_run
from tests.robustness.long_run import (
    KILLED,
    LIGHT,
    check_rows,
    kill_and_resume,
    make_bundle,
    make_corpus,
    studies_of,
)

ROWS, KILLS, SEED = 300, 3, 7


@pytest.mark.slow
@pytest.mark.parametrize("light", [False, True])
def test_a_run_that_is_killed_and_resumed_writes_the_same_bytes(
    light: bool, tmp_path: Path
) -> None:
    corpus = make_corpus(tmp_path / "scans", ROWS, 0.1, SEED)
    bundle = make_bundle(tmp_path / "bundle")
    peaceful = tmp_path / "whole.csv"
    victim = LIGHT[light]
    assert long_run.predict(corpus.folder, peaceful, bundle, victim=victim).code == 0

    # the output lies in the folder that is read: what a kill leaves there must not count as a scan
    broken = corpus.folder / "broken.csv"
    runs = kill_and_resume(corpus.folder, broken, bundle, ROWS, KILLS, SEED, light)
    codes = [run.code for run in runs]

    assert codes == [KILLED] * KILLS + [0]
    assert broken.read_bytes() == peaceful.read_bytes()
    assert studies_of(broken).read_bytes() == studies_of(peaceful).read_bytes()
    assert [path.name for path in corpus.folder.glob(".*")] == []
    for path in corpus.folder.glob("broken*"):
        path.rename(tmp_path / path.name)
    counted = check_rows(tmp_path / "broken.csv", corpus)
    assert counted.total() == ROWS
    assert counted["skipped"] + counted["failed"] == corpus.broken.total() > 20
