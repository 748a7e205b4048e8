"""Entry point of the command line: table of commands, error messages and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ich_cli._version import __version__
from ich_cli.core.errors import IchError
from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.core.system import Terminated, destroy_group
from ich_cli.terminal import command_class, note

COMMANDS = {  # ich_cli/commands/<name>.py, each with a function of that name, in display order
    "predict": "Predict the probability of a hemorrhage and of its subtypes for each slice.",
    "explain": "Explain predictions with heat maps, and measure how faithful the maps are.",
    "serve": "Serve a web page that shows studies, probabilities and heat maps.",
    "preprocess": "Prepare labelled CT for training: windows, head crop, one array, splits by "
    "patient.",
    "train": "Train a model on prepared data, by patient-level folds, and write a bundle.",
    "evaluate": "Evaluate predictions against labels, bundles on prepared data, or the folds of a "
    "run.",
    "ensemble": "Join the bundles of several runs into an ensemble, measured out of fold.",
    "push": "Publish a bundle, its card and its evaluation on the Hugging Face Hub.",
    "pull": "Download a bundle into the cache and check it, so that --weights works offline.",
    "phantom": "Write synthetic head CT as DICOM, with exact labels and masks.",
    "info": "Show versions, devices, the model in use and the DICOM decoders.",
}
"""Name → first line of the command's docstring, so that ``ich --help`` imports no command."""


class _Group(TyperGroup):
    """Import a command on first use, and turn any exception into a message and an exit code."""

    _listing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        if cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands[cmd_name]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:  # typer would exit without a message
            raise _Interrupted(stop) from None

    def main(self, *args: Any, **extra: Any) -> Any:
        code: Any = 0
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
            sys.stdout.flush()
            destroy_group()
        except Exception as error:
            code = report_error(error)
        sys.exit(code if isinstance(code, int) else 0)


class _Interrupted(Exception):
    """Ctrl-C or SIGTERM, with the command's message."""

    def __init__(self, stop: KeyboardInterrupt) -> None:
        super().__init__(*stop.args)
        self.exit_code = 143 if isinstance(stop, Terminated) else 130


def _load(name: str) -> Any:
    function: Callable[..., None] = getattr(import_module(f"ich_cli.commands.{name}"), name)
    single = typer.Typer(add_completion=False, context_settings=_SETTINGS)
    single.command(name, cls=command_class(function))(function)
    return typer.main.get_command(single)


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

app = typer.Typer(
    cls=_Group,
    help="Probability of intracranial hemorrhage and its five subtypes from head-CT DICOM.",
    epilog=f"Example: ich predict scans/ -o out.csv · {RESEARCH_ONLY}",
    context_settings=_SETTINGS,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which hold patient data
    add_completion=True,
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"ich {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _ich(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main() -> None:
    """Run ``ich`` with the arguments of the process and exit."""
    _silence_libraries()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names need not be printable
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # set by nohup and `&`
            signal.signal(number, _stop)
    app()


def _stop(number: int, _: object) -> None:
    """Unwind, so that files are closed and a message is shown; a second signal exits at once."""
    signal.signal(number, _stop_now)
    raise Terminated("terminated") if number == signal.SIGTERM else KeyboardInterrupt


def _stop_now(number: int, _: object) -> None:
    # as safe as a kill: files are replaced atomically, and finished series are kept
    os.write(2, b"ich: stopped at once\n")
    os._exit(128 + number)


def report_error(error: Exception) -> int:
    """Write an error as one line to stderr and return the exit code.

    With ``ICH_DEBUG=1`` the traceback comes first.
    """
    if os.environ.get("ICH_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        _drop_stdout()
        return 0  # the reader, such as `head`, has closed the pipe
    note(f"ich: {' '.join(_error_text(error).split())}")
    if isinstance(error, OSError) and not error.filename:
        _drop_stdout()  # else a full disk behind stdout raises again at exit
    return int(getattr(error, "exit_code", 1))


def _error_text(error: Exception) -> str:
    if isinstance(error, IchError):
        return str(error)
    if isinstance(error, _Interrupted):
        return str(error) or "interrupted"
    if isinstance(error, typer.Abort):
        return "aborted"
    if callable(message := getattr(error, "format_message", None)):  # typer: wrong usage
        return f"{message()} {_hint(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory; a smaller --batch-size or fewer --workers may help"
    return f"unexpected error, please report it: {_where(error)}; ICH_DEBUG=1 shows the traceback"


def _hint(error: Exception) -> str:
    ctx = getattr(error, "ctx", None)
    return f"(see {ctx.command_path} --help)" if ctx is not None else ""


def _where(error: Exception) -> str:
    """Return the error's type and place, without its text, which may contain patient data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _silence_libraries() -> None:
    """Silence warnings and logs of other libraries, which may contain values of DICOM files."""
    if os.environ.get("ICH_DEBUG") == "1":
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for worker processes
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # has its own log handler
    logging.getLogger().addHandler(logging.NullHandler())


def _drop_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
