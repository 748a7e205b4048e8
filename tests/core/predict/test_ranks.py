"""Which process this is, which series are its own; what they make at once is made once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from ich_cli.core.errors import BrokenFileError, UsageError
from ich_cli.core.predict import Rank, series_units
from ich_cli.core.predict.ranks import own_units
from ich_cli.core.series import Entry, SliceRef, scan
from ich_cli.core.system import AnonymousNames
from tests.robustness.long_run import make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve series in six studies, a tenth of the files broken."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "scans", 60, 0.1, 5).folder


class TestEnvironment:
    def test_without_variables_a_process_is_alone(self) -> None:
        assert Rank.from_environment({}) == Rank(0, 1)
        assert Rank.from_environment({"RANK": "", "WORLD_SIZE": ""}).alone

    def test_torchruns_variables(self) -> None:
        four = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}

        assert Rank.from_environment(four) == Rank(3, 4, 1, 2)

    @pytest.mark.parametrize(
        ("variables", "reason"),
        [
            ({"RANK": "0"}, "RANK is set, WORLD_SIZE is not: set both"),
            ({"WORLD_SIZE": "2"}, "WORLD_SIZE is set, RANK is not: set both"),
            ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is '2': .* from 0 below WORLD_SIZE"),
            ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK is '-1'"),
            ({"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE is 'two': a whole number from 1"),
            ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
            ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"}, "LOCAL_RANK is 'x'"),
        ],
    )
    def test_what_makes_no_sense_is_told(self, variables: dict[str, str], reason: str) -> None:
        with pytest.raises(UsageError, match=reason):
            Rank.from_environment(variables)

    def test_each_process_of_a_machine_takes_its_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

        assert Rank(5, 8, local=1).device("auto") == "cuda:1"
        assert Rank(6, 8, local=2).device("cuda") == "cuda:0"  # two processes a GPU
        assert Rank(5, 8, local=1).device("cuda:0") == "cuda:0"  # as was asked
        assert Rank(5, 8, local=1).device("cpu") == "cpu"
        assert Rank(5, 8).device("auto") == "auto"  # sees but its own, as Slurm gives it

    def test_without_a_gpu_the_choice_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

        assert Rank(1, 2, local=1).device("auto") == "auto"

    def test_processes_of_a_machine_share_its_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 16)

        assert Rank(0, 8, 0, local_of=4).workers(None) == 4
        assert Rank(0, 8, 0, local_of=32).workers(None) == 1
        assert Rank(0, 8, 0, local_of=4).workers(7) == 7
        assert Rank().workers(None) is None


class TestSplit:
    def test_every_entry_is_in_one_series_and_has_one_process(self, corpus: Path) -> None:
        entries = scan([corpus]).rows
        units = series_units(entries)

        assert [place for unit in units for place in unit] == list(range(len(entries)))
        for of in (1, 2, 3, 50):
            shares = [own_units(entries, Rank(number, of)) for number in range(of)]
            places = sorted(place for share in shares for unit in share for place in unit)
            assert places == list(range(len(entries)))
            sizes = [sum(map(len, share)) for share in shares]
            assert max(sizes) - min(sizes) <= max(map(len, units))

    def test_refused_files_go_with_the_series_before_them(self, corpus: Path) -> None:
        bad: Entry = BrokenFileError("x", "broken")
        a, b, *_ = [
            entry for entry in scan([corpus / "000001"]).rows if isinstance(entry, SliceRef)
        ]
        other = [entry for entry in scan([corpus / "000000"]).rows if isinstance(entry, SliceRef)]

        assert series_units([bad, a, b, bad, *other[:1], bad]) == [range(4), range(4, 6)]
        assert series_units([bad, bad]) == [range(2)]
        assert series_units([]) == []


def test_a_key_made_by_several_processes_at_once_is_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(AnonymousNames.from_file, [tmp_path / "key"] * 8))

    assert len({one("a.dcm") for one in made}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_key_is_made_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)

    first, second = (AnonymousNames.from_file(tmp_path / "key") for _ in range(2))

    assert first("a.dcm") == second("a.dcm")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
