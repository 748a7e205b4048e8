from __future__ import annotations

import json
from pathlib import Path

import pytest

from ich_cli.commands.phantom import parse_subtypes, phantom
from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS, SUBTYPES


def test_results_go_to_stdout_and_notes_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phantom(tmp_path / "out", studies=1, seed=3, subtypes="none", size=64)
    said = capsys.readouterr()
    assert said.out.endswith("slices, no hemorrhage\n")
    assert str(tmp_path / "out" / "labels.csv") in said.err


def test_json_and_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantom(tmp_path / "out", seed=3, subtypes="subdural", size=64, json=True, quiet=True)
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert said.err == ""
    assert Path(result["table"]).is_file()
    (study,) = result["studies"]
    assert tuple(study["positive"]) == LABELS
    assert study["slices"] == len(list(Path(study["folder"]).glob("*.dcm")))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("random", None),
        ("none", ()),
        ("all", SUBTYPES),
        ("subdural, epidural,subdural", ("subdural", "epidural")),
    ],
)
def test_subtypes_are_read(given: str, expected: tuple[str, ...] | None) -> None:
    assert parse_subtypes(given) == expected


def test_an_unknown_subtype_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'extradural'"):
        phantom(tmp_path / "out", subtypes="epidural,extradural")
    assert not (tmp_path / "out").exists()
