"""The command line's entry: the table of commands, and the one place that tells errors."""

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

COMMANDS = {  # ich_cli/commands/<name>.py with a function of that name; shown in this order
    "predict": "Say how likely each slice shows a hemorrhage, and of which subtype.",
    "explain": "Show where the model looked, and what that place is worth to it.",
    "serve": "Serve a page to open studies on: probabilities, and where the model looked.",
    "preprocess": "Prepare labelled CT for training: windows, head crop, one array, splits by "
    "patient.",
    "train": "Train a model on prepared data, by patient-level folds, and write a bundle.",
    "evaluate": "Evaluate predictions against labels, bundles on prepared data, or the folds of a "
    "run.",
    "ensemble": "Put several runs' bundles together: the mean of their answers, measured out of "
    "fold.",
    "push": "Publish a bundle, its card and its evaluation on the Hugging Face Hub.",
    "pull": "Fetch a bundle into the cache, so that --weights finds it without a network, "
    "and check it.",
    "phantom": "Write synthetic head CT as DICOM, with labels and masks that are exact.",
    "info": "Tell versions, devices, the model in use and the decoders that are present.",
}
"""Name → the first line of its docstring, so that the help need not load them all."""


class _Group(TyperGroup):
    """Loads a command when it is asked for, and turns whatever it raises into an exit code."""

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
        except KeyboardInterrupt as stop:  # typer would exit without a word
            raise _Interrupted(stop) from None

    def main(self, *args: Any, **extra: Any) -> Any:
        code: Any = 0
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
            sys.stdout.flush()
            destroy_group()
        except Exception as error:
            code = tell(error)
        sys.exit(code if isinstance(code, int) else 0)


class _Interrupted(Exception):
    """Ctrl-C or SIGTERM, with what the command has to say about it."""

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
    pretty_exceptions_enable=False,  # its tracebacks show local variables: patients' data
    add_completion=True,
)


def _version(asked: bool) -> None:
    if asked:
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
    _hush()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show is no reason
            stream.reconfigure(errors="backslashreplace")  # to fail
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and `&` leave it
            signal.signal(number, _stop)
    app()


def _stop(number: int, _: object) -> None:
    """Unwind, so that what is open is closed and a line is told; a second signal does not wait."""
    signal.signal(number, _stop_now)
    raise Terminated("terminated") if number == signal.SIGTERM else KeyboardInterrupt


def _stop_now(number: int, _: object) -> None:
    # as safe as a kill: a file takes its name when it is whole, kept rows lie in the journal
    os.write(2, b"ich: stopped at once\n")
    os._exit(128 + number)


def tell(error: Exception) -> int:
    """Write what went wrong as one line to stderr and return the exit code.

    With ``ICH_DEBUG=1`` the traceback comes first.
    """
    if os.environ.get("ICH_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        _drop_stdout()
        return 0  # the reader, `head` for one, has seen enough
    note(f"ich: {' '.join(_sentence(error).split())}")
    if isinstance(error, OSError) and not error.filename:
        _drop_stdout()  # a full disk behind stdout would complain once more at exit
    return int(getattr(error, "exit_code", 1))


def _sentence(error: Exception) -> str:
    if isinstance(error, IchError):
        return str(error)
    if isinstance(error, _Interrupted):
        return str(error) or "interrupted"
    if isinstance(error, typer.Abort):
        return "aborted"
    if callable(told := getattr(error, "format_message", None)):  # typer's own: wrong usage
        return f"{told()} {_hint(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory; a smaller --batch-size or fewer --workers may help"
    return f"unexpected error, please report it: {_where(error)}; ICH_DEBUG=1 shows the traceback"


def _hint(error: Exception) -> str:
    ctx = getattr(error, "ctx", None)
    return f"(see {ctx.command_path} --help)" if ctx is not None else ""


def _where(error: Exception) -> str:
    """Name the error's type and place. Its text may quote a patient's data, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _hush() -> None:
    """Silence other libraries' warnings and logs: they quote values out of DICOM files."""
    if os.environ.get("ICH_DEBUG") == "1":
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # worker processes
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # the Hub's client has its own handler
    logging.getLogger().addHandler(logging.NullHandler())


def _drop_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
