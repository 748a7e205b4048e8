"""Old spellings of options: accepted for one version, hidden from the help."""

import re

import pytest
import typer
from typer.testing import CliRunner

from ich_cli.main import app
from ich_cli.terminal import command_class, deprecated_aliases
from ich_cli.terminal.options import replace_aliases

RENAMED = {"--oof": "--out-of-fold", "--head=cells": "--head=patch", "--cap": "--head"}


@pytest.mark.parametrize(
    ("given", "parsed", "notes"),
    [
        ([], [], []),
        (["-o", "out", "--head", "linear"], ["-o", "out", "--head", "linear"], []),
        (["--oof", "run"], ["--out-of-fold", "run"], ["--oof → --out-of-fold"]),
        (["--oof=run"], ["--out-of-fold=run"], ["--oof → --out-of-fold"]),
        (["--head", "cells", "x"], ["--head=patch", "x"], ["--head cells → --head patch"]),
        (["--head=cells"], ["--head=patch"], ["--head cells → --head patch"]),
        (["--cap", "cells"], ["--head=patch"], ["--cap → --head", "--head cells → --head patch"]),
        (["--", "--oof"], ["--", "--oof"], []),
        (["cells", "--oofs"], ["cells", "--oofs"], []),
    ],
)
def test_old_spellings_are_replaced_with_one_line_each(
    given: list[str], parsed: list[str], notes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert replace_aliases(given, RENAMED) == parsed
    line = r"ich: (.*) is deprecated and will be removed in the next version; use (.*)"
    written = capsys.readouterr().err.splitlines()
    assert [re.sub(line, r"\1 → \2", one) for one in written] == notes


def test_a_command_accepts_an_old_spelling_and_hides_it() -> None:
    seen = []

    @deprecated_aliases({"--out": "--output"})
    def command(output: str = typer.Option("runs")) -> None:
        seen.append(output)

    single = typer.Typer(add_completion=False)
    single.command(cls=command_class(command))(command)
    found = CliRunner().invoke(single, ["--out", "a"])
    assert (found.exit_code, seen) == (0, ["a"])
    assert found.stderr == (
        "ich: --out is deprecated and will be removed in the next version; use --output\n"
    )
    assert not re.search(r"--out\b", CliRunner().invoke(single, ["--help"]).stdout)


@pytest.mark.parametrize("old", [["evaluate", "--oof"], ["explain", "--evaluate"]])
def test_old_spellings_reach_their_command(old: list[str]) -> None:
    found = CliRunner().invoke(app, [*old, "missing"])
    assert found.exit_code == 1
    assert "missing" in found.stderr
    assert f"ich: {old[1]} is deprecated" in found.stderr
