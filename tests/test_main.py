"""The command line as a whole: help, imports at start-up, error messages and exit codes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from importlib import import_module
from inspect import getdoc
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ich_cli import main as entry
from ich_cli._version import __version__
from ich_cli.core.errors import BundleError, UsageError

HEAVY = (
    "torch",
    "numpy",
    "gradio",
    "pydicom",
    "timm",
    "matplotlib",
    "sklearn",
    "pyarrow",
    "cv2",
    "scipy",
)


def python(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        check=False,
    )


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run a command that raises `error`; return its exit code and what it wrote to stderr."""

    def command() -> None:
        raise error

    single = typer.Typer(add_completion=False)
    single.command("predict")(command)
    monkeypatch.setattr(entry, "_load", lambda _: typer.main.get_command(single))
    result = CliRunner().invoke(entry.app, ["predict"])
    assert result.stdout == ""
    return result.exit_code, result.stderr


def test_help_lists_every_command_with_the_first_line_of_its_docstring() -> None:
    result = CliRunner().invoke(entry.app, ["--help"])

    assert result.exit_code == 0
    for name, text in entry.COMMANDS.items():
        assert f" {name} " in result.stdout
        command = getattr(import_module(f"ich_cli.commands.{name}"), name)
        assert text == " ".join(getdoc(command).split("\n\n")[0].split())
    assert "Predict the probability of a hemorrhage" in result.stdout


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(entry.app, [name, "--help"])

    assert result.exit_code == 0
    assert f"ich {name}" in result.stdout.split("Example", 1)[1]


def test_without_arguments_the_help_is_shown() -> None:
    assert "predict" in CliRunner().invoke(entry.app, []).stdout


def test_version() -> None:
    assert CliRunner().invoke(entry.app, ["--version"]).stdout == f"ich {__version__}\n"


def test_the_process_group_is_destroyed_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[str] = []
    monkeypatch.setattr(entry, "destroy_group", lambda: left.append("group"))
    assert CliRunner().invoke(entry.app, ["--version"]).exit_code == 0
    assert left == ["group"]


def test_help_loads_nothing_heavy() -> None:
    loaded = python(
        "-c",
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *sys.modules))\n"
        "sys.argv = ['ich', '--help']\n"
        "from ich_cli.main import main\n"
        "main()",
    ).stdout.partition("LOADED")[2]

    assert "typer" in loaded.split()
    assert not {*HEAVY} & {*loaded.split()}


@pytest.mark.slow
def test_help_takes_no_more_than_a_few_times_what_its_libraries_take() -> None:
    def takes(*arguments: str) -> float:
        start = time.perf_counter()
        python(*arguments)
        return time.perf_counter() - start

    libraries = ("-c", "import typer, rich.console, rich.table, rich.markdown, rich.syntax")
    # in turn, so that what else the machine does weighs on both; the fastest has least of it
    pairs = [(takes("-m", "ich_cli", "--help"), takes(*libraries)) for _ in range(8)]
    ours, theirs = (min(one) for one in zip(*pairs, strict=True))
    assert ours < 3 * theirs


@pytest.mark.parametrize("arguments", [["--foo"], ["nosuch"], ["predict"], ["predict", "--foo"]])
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(entry.app, arguments, prog_name="ich")

    assert result.exit_code == 2
    assert result.stderr.startswith("ich: ")
    assert result.stderr.count("\n") == 1
    assert "--help)" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BundleError("b: no config.json"), 1, "ich: b: no config.json\n"),
        (UsageError("-x and -y exclude each other"), 2, "ich: -x and -y exclude each other\n"),
        (KeyboardInterrupt(), 130, "ich: interrupted\n"),
        (KeyboardInterrupt("interrupted; go on"), 130, "ich: interrupted; go on\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.csv"),
            1,
            "ich: a.csv: No space left on device\n",
        ),
        (
            MemoryError(),
            1,
            "ich: out of memory; a smaller --batch-size or fewer --workers may help\n",
        ),
    ],
)
def test_errors_are_one_line(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert raising(error, monkeypatch) == (code, line)


def test_a_message_of_several_lines_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert raising(BundleError("a\n  b"), monkeypatch)[1] == "ich: a b\n"


def test_a_bug_is_told_by_type_and_place_but_never_by_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, text = raising(ValueError("cannot parse DOE^JANE"), monkeypatch)

    assert code == 1
    assert text.startswith("ich: unexpected error, please report it: ValueError in test_main.py:")
    assert text.endswith("ICH_DEBUG=1 shows the traceback\n")
    assert "DOE" not in text
    assert text.count("\n") == 1


def test_ich_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICH_DEBUG", "1")

    assert "Traceback (most recent call last)" in raising(ValueError("x"), monkeypatch)[1]


def test_control_characters_of_a_name_never_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert raising(BundleError("\x1b[31mred"), monkeypatch)[1] == "ich: \\x1b[31mred\n"


def test_a_closed_pipe_is_no_error() -> None:
    shell = f"{sys.executable} -m ich_cli --help | true"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)

    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ich_cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "ich: No space left on device\n"
