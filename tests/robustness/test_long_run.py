"""A run killed ten times equals an unbroken one; large version: `tests.robustness.long_run`."""

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

ROWS, SEED = 300, 7


@pytest.mark.slow
@pytest.mark.parametrize(("light", "kills"), [(False, 3), (True, 10)])
def test_a_run_that_is_killed_and_resumed_writes_the_same_bytes(
    light: bool, kills: int, tmp_path: Path
) -> None:
    corpus = make_corpus(tmp_path / "scans", ROWS, 0.1, SEED)
    bundle = make_bundle(tmp_path / "bundle")
    unbroken = tmp_path / "whole.csv"
    whole = long_run.predict(corpus.folder, unbroken, bundle, variables=LIGHT[light])
    assert whole.code == 0, whole.told

    # the output is in the folder that is read: files that a kill leaves there are not scans
    broken = corpus.folder / "broken.csv"
    runs = kill_and_resume(corpus.folder, broken, bundle, ROWS, kills, SEED, light)
    codes = [run.code for run in runs]

    assert codes == [KILLED] * kills + [0]
    assert broken.read_bytes() == unbroken.read_bytes()
    assert studies_of(broken).read_bytes() == studies_of(unbroken).read_bytes()
    assert [path.name for path in corpus.folder.glob(".*")] == []
    for path in corpus.folder.glob("broken*"):
        path.rename(tmp_path / path.name)
    counted = check_rows(tmp_path / "broken.csv", corpus)
    assert counted.total() == ROWS
    assert counted["skipped"] + counted["failed"] == corpus.broken.total() > 20
