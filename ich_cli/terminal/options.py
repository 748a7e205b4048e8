"""Options shared by several commands, as annotated aliases.

def predict(paths: Paths, weights: Weights = None, quiet: Quiet = False) -> None: ...
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS
from ich_cli.terminal.console import note

if TYPE_CHECKING:
    from ich_cli.core.pictures import PictureWindow
    from ich_cli.core.system import Names

Command = TypeVar("Command", bound=Callable[..., None])

_WIDEST = 65535  # HU
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def _device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise typer.BadParameter("a device is auto, cpu, cuda, cuda:0, cuda:1 … or mps")
    return value


def _quiet(value: bool) -> bool:
    if value:  # read on import of huggingface_hub
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return value


Paths = Annotated[
    list[Path],
    typer.Argument(
        help="DICOM and NIfTI files, folders or zips; file names do not matter.", metavar="PATHS",
        show_default=False,
    ),
]  # fmt: skip
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="File to write.", metavar="FILE", show_default=False),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", "-w", envvar="ICH_WEIGHTS", metavar="BUNDLE", show_default=False,
        help="A bundle's folder, or owner/name@revision on the Hugging Face Hub (append :rsna "
        "or :dlmi to a plain timm classifier). Default: the shipped bundle.",
    ),
]  # fmt: skip
Device = Annotated[
    str,
    typer.Option(
        "--device", "-d", envvar="ICH_DEVICE", metavar="DEVICE", callback=_device,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
]  # fmt: skip
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, metavar="N", show_default=False,
        help="Slices per batch; the default depends on the device.",
    ),
]  # fmt: skip
Engine = Annotated[
    Literal["auto", "torch", "openvino", "compile"],
    typer.Option(
        "--engine", envvar="ICH_ENGINE", show_default=False,
        help="Inference engine: torch; openvino, about twice as fast on a CPU; compile, which "
        "takes minutes to start. Default: openvino if it is installed and there are enough "
        "slices, else torch.",
    ),
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=0, metavar="N", show_default=False,
        help="Number of workers that read files; 0 reads in the main process.",
    ),
]  # fmt: skip
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=_quiet, help="Show no progress and no summary, only warnings."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write the result to stdout as JSON.")]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", help="Random seed; the same seed gives the same result."),
]
AnonymousPaths = Annotated[
    Path | None,
    typer.Option(
        "--anonymous-paths", metavar="KEYFILE", show_default=False,
        help="Replace file names in rows, notes and errors by a keyed hash, since they may contain "
        "names of patients. The key is read from KEYFILE, which is created if it does not exist; "
        "with it, rows can be matched to files.",
    ),
]  # fmt: skip
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold", "-t", metavar="P|LABEL=P", show_default=False,
        help="Threshold from which a label is positive, instead of the bundle's: one number for "
        "all labels, or LABEL=P; may be repeated.",
    ),
]  # fmt: skip
Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit", metavar="NAME=N", show_default=False,
        help="Change a limit on input files: "
        + ", ".join(f.name for f in fields(Limits)) + ".",
    ),
]  # fmt: skip

PictureWindowOption = Annotated[
    str | None,
    typer.Option(
        "--window", metavar="CENTER,WIDTH", show_default=False,
        help="Window in which PNG and JPEG files show the CT, such as 40,80; or unknown, which "
        "assumes 40,80 and says so. Without it they are refused.",
    ),
]  # fmt: skip

NiftiFolder = Annotated[
    Path | None,
    typer.Option(
        "--nifti", metavar="DIR", show_default=False,
        help="Write the maps of whole series into this folder as NIfTI volumes, a file for each "
        "label, in the voxels of the input.",
    ),
]  # fmt: skip


def parse_thresholds(given: Iterable[str] | None, default: dict[str, float]) -> dict[str, float]:
    """Return label → threshold: `default`, changed by ``0.4`` or ``subdural=0.4``.

    Later values override earlier ones: ``-t 0.5 -t any=0.3`` is 0.5 for all labels but `any`.

    Raises
    ------
    UsageError
        For an unknown label, or a number outside [0, 1].
    """
    thresholds = {label: default[label] for label in LABELS}
    for one in given or ():
        label, equals, number = one.rpartition("=")
        if equals and label not in thresholds:
            raise UsageError(f"--threshold {one}: a label is one of {', '.join(LABELS)}")
        value = _number("--threshold", one, number)
        if not 0 <= value <= 1:
            raise UsageError(f"--threshold {one}: must be between 0 and 1")
        thresholds.update(dict.fromkeys([label] if equals else LABELS, value))
    return thresholds


def parse_names(keyfile: Path | None) -> Names:
    """Return the naming of files in outputs: as given, or with a key file by a keyed hash.

    Raises
    ------
    IchError
        If the key file cannot be read or created, or contains no key.
    """
    from ich_cli.core.system import AnonymousNames, as_named

    return AnonymousNames.from_file(keyfile) if keyfile else as_named


def parse_limits(given: Sequence[str] | None) -> Limits:
    """Return the default limits, changed by ``name=number``.

    Raises
    ------
    UsageError
        For an unknown name or a number that is not positive.
    """
    known = {f.name: type(getattr(DEFAULT_LIMITS, f.name)) for f in fields(Limits)}
    changed: dict[str, float] = {}
    for one in given or ():
        name, _, number = one.partition("=")
        if name not in known:
            raise UsageError(f"--limit {one}: a limit is one of {', '.join(known)}")
        value = _number("--limit", one, number)
        if not value > 0:
            raise UsageError(f"--limit {one}: must be positive")
        changed[name] = known[name](value)
    return replace(DEFAULT_LIMITS, **changed)  # type: ignore[arg-type]


def parse_window(given: str | None) -> PictureWindow | None:
    """Return the window of pictures of ``40,80`` or ``unknown``; None where it is not given.

    Raises
    ------
    UsageError
        If it is neither, or the width is not positive.
    """
    if given is None:
        return None
    from ich_cli.core.pictures import UNKNOWN_WINDOW, PictureWindow

    if given.strip().lower() == "unknown":
        return UNKNOWN_WINDOW
    center, comma, width = given.partition(",")
    if not comma:
        raise UsageError(f"--window {given}: give CENTER,WIDTH, such as 40,80, or unknown")
    window = PictureWindow(_number("--window", given, center), _number("--window", given, width))
    if not 0 < window.width <= _WIDEST or abs(window.center) > _WIDEST:
        raise UsageError(f"--window {given}: a width lies in 0 … {_WIDEST}, as does a center")
    return window


def _number(option: str, given: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{option} {given}: {text!r} is not a number") from None
    if value - value != 0:  # infinite or not a number
        raise UsageError(f"{option} {given}: {text!r} is not a finite number")
    return value


def typed_command() -> str:
    """Return the command line as typed, without the program's folder."""
    return shlex.join(["ich", *sys.argv[1:]])


def deprecated_aliases(renamed: dict[str, str]) -> Callable[[Command], Command]:
    """Let a command accept old spellings for one version, hidden from its help.

    Parameters
    ----------
    renamed
        Old spelling → new one, of an option (``{"--oof": "--out-of-fold"}``) or of an option's
        value (``{"--head=cells": "--head=patch"}``).
    """

    def mark(command: Command) -> Command:
        setattr(command, _ALIASES, renamed)
        return command

    return mark


_ALIASES = "deprecated_aliases"


def command_class(command: Callable[..., None]) -> type[TyperCommand]:
    """Return the class that parses a command's arguments, old spellings included."""
    renamed: dict[str, str] = getattr(command, _ALIASES, {})

    class WithAliases(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, replace_aliases(args, renamed))

    return WithAliases


def replace_aliases(args: Sequence[str], renamed: dict[str, str]) -> list[str]:
    """Replace old spellings before ``--`` by new ones; print one line on stderr for each."""
    out: list[str] = []
    rest = list(args)
    while rest and rest[0] != "--":
        option, equals, value = rest.pop(0).partition("=")
        if option in renamed:
            _deprecated(option, renamed[option])
            option = renamed[option]
        if not equals and rest and f"{option}={rest[0]}" in renamed:
            equals, value = "=", rest.pop(0)
        given = f"{option}{equals}{value}"
        if given in renamed:
            _deprecated(given.replace("=", " "), renamed[given].replace("=", " "))
            given = renamed[given]
        out.append(given)
    return out + rest


def _deprecated(old: str, new: str) -> None:
    note(f"ich: {old} is deprecated and will be removed in the next version; use {new}")
