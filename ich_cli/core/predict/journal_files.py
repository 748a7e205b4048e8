"""The files of journals: their names, whose they are, and what their lines hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import OutputError, ReasonCode
from ich_cli.core.predict.ranks import ALONE, Rank
from ich_cli.core.study import SliceFacts, SlicePrediction
from ich_cli.core.system import is_locked, temporary_sibling

_VERSION: Final = 3


class BusyError(OutputError):
    """Another run holds the journal."""

    def __init__(self, output: Path) -> None:
        super().__init__(f"cannot write {output}: another run is writing it; let it finish")


def journal_path(output: Path, rank: Rank = ALONE) -> Path:
    """Return where a process keeps the rows of a run."""
    return temporary_sibling(
        output, "partial" if rank.alone else f"partial-{rank.number}-of-{rank.of}"
    )


def journals(output: Path) -> dict[Path, Rank]:
    """Return the journals that lie beside an output, and whose they are."""
    found: dict[Path, Rank] = {}
    with suppress(OSError):
        for path in sorted(output.parent.iterdir()):
            if (rank := rank_of(path.name, output)) is not None:
                found[path] = rank
    return found


def rank_of(name: str, output: Path) -> Rank | None:
    """Say which process's journal of `output` a file of this name is; None: it is none."""
    start = journal_path(output).name
    if not name.startswith(start):
        return None
    numbers = re.fullmatch(r"-(\d{1,9})-of-(\d{1,9})", name[len(start) :])
    if numbers:
        return Rank(int(numbers[1]), int(numbers[2]))
    return ALONE if name == start else None


def is_held(path: Path) -> bool:
    """Say whether a process is writing this journal."""
    try:
        with path.open("rb+") as file:
            return is_locked(file)
    except OSError:
        return False


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a journal, the first one being its manifest; a torn last one is none."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def place_of(line: bytes) -> int | None:
    """Return a row's place in the table; None where the line is no row."""
    number, comma, _ = line[1:24].partition(b",")
    return int(number) if line[:1] == b"[" and comma and number.isdigit() else None


def parse_row(line: bytes, path: Path) -> SlicePrediction:
    """Return the row that a line of a journal holds."""
    _, *id, probabilities, positive, status, note, facts, code = _parse(line, path)
    known = None if probabilities is None else tuple(probabilities)
    measured = None if facts is None else SliceFacts(*facts)
    reason = None if code is None else ReasonCode(code)
    return SlicePrediction(SliceId(*id), known, tuple(positive), status, note, measured, reason)


def compare(
    line: bytes, manifest: Mapping[str, Any], path: Path, output: Path, *, joins: bool = False
) -> None:
    """Hold a journal's first line against the manifest of the run that is to go on.

    Parameters
    ----------
    line, path
        The line, and the journal that it is from.
    manifest, output
        Of the run.
    joins
        Whether the journal is another process's of the same run, not an earlier run's.

    Raises
    ------
    OutputError
        If they differ; the message names in what.
    """
    old, new = _parse(line, path), header(manifest)
    if not isinstance(old, dict):
        raise _damaged(path)
    differing = [key for key in {**new, **old} if old.get(key) != new.get(key)]
    if differing and joins:
        raise OutputError(
            f"cannot join {path} into {output}: it has other {', '.join(differing)}; "
            "start all processes with one command while no file changes, or remove what is old"
        )
    if differing:
        raise OutputError(
            f"cannot resume {output}: the earlier run had other {', '.join(differing)}; "
            "repeat its command, or leave out --resume to start over"
        )


def header(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first line of a journal, as JSON."""
    return {"ich": _VERSION, **json.loads(json.dumps(manifest))}


def is_sound(line: bytes) -> bool:
    """Say whether a line is JSON; after a power cut the end may be anything."""
    try:
        return isinstance(json.loads(line), list)
    except ValueError:
        return False


def _parse(line: bytes, path: Path) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> OutputError:
    return OutputError(f"{path} is damaged; remove it and start over")
