"""Rows of an unfinished run, kept beside its output so that a killed run can go on.

The journal of ``out.csv`` is ``.out.csv.partial``: a line of JSON that says what the run is, then
one line of JSON a slice with every digit, whatever the output's format. It is locked while it is
written, is cut back to whole lines when a run goes on, and is removed when the output stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ich_cli.core.atomic import aside, bears, lock, output_error
from ich_cli.core.ctslice import SliceId
from ich_cli.core.errors import OutputError
from ich_cli.core.prediction import SlicePrediction
from ich_cli.core.slice_facts import SliceFacts

_VERSION: Final = 2
_SYNC_SECONDS: Final = 5.0  # what a power cut may cost; a kill costs nothing


class Journal:
    """The rows so far of the run that writes `output`.

    Opening it proves that the output's folder can be written, and takes the lock.

    Parameters
    ----------
    output
        The file that the run is to write.

    Raises
    ------
    OutputError
        If it cannot be written there, or another run is writing it.
    """

    def __init__(self, output: Path) -> None:
        self.output, self.path, self.rows_kept = output, aside(output, "partial"), 0
        try:
            if output.is_dir():
                raise OutputError(f"cannot write {output}: it is a folder; name a file in it")
            if output.exists() and not output.is_file():
                raise OutputError(f"cannot write {output}: it is no regular file; use stdout")
            self._file = self.path.open("ab+", buffering=0)
        except OSError as error:
            raise output_error(output, error) from error
        if not lock(self._file) or not bears(self._file, self.path):
            self._file.close()
            raise OutputError(f"cannot write {output}: another run is writing it; let it finish")
        self._empty, self._synced = self.path.stat().st_size == 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(self, manifest: Mapping[str, Any], *, resume: bool) -> int:
        """Start over, or go on with the rows that an earlier run left; return how many.

        Parameters
        ----------
        manifest
            All that the rows depend on; JSON types.
        resume
            Go on where there is something to go on with.

        Raises
        ------
        OutputError
            If the earlier run's manifest says otherwise; the message names what differs.
        """
        header = {"ich": _VERSION, **json.loads(json.dumps(manifest))}
        lines = self._whole_lines() if resume else iter(())
        if first := next(lines, b""):
            self._compare(_parse(first, self.path), header)
            end = len(first)
            for line in takewhile(_sound, lines):
                self.rows_kept, end = self.rows_kept + 1, end + len(line)
            self._cut(end)
        else:
            self._cut(0)
            self._write(json.dumps(header).encode() + b"\n")
        self._empty = self.rows_kept == 0
        return self.rows_kept

    def keep_first(self, rows: int) -> None:
        """Give up all rows but the first `rows`."""
        self._cut(sum(map(len, islice(self._whole_lines(), rows + 1))))
        self.rows_kept, self._empty = rows, rows == 0

    def append(self, prediction: SlicePrediction) -> None:
        """Keep one more row; it survives a kill from here on."""
        fields = (
            *prediction.id,
            prediction.probabilities,
            prediction.positive,
            prediction.status,
            prediction.note,
            prediction.facts,
        )
        self._write(json.dumps(fields).encode() + b"\n")
        self.rows_kept, self._empty = self.rows_kept + 1, False

    def rows(self) -> Iterator[SlicePrediction]:
        """Read the rows kept so far, first to last."""
        lines = self._whole_lines()
        next(lines, None)
        for line in lines:
            *id, probabilities, positive, status, note, facts = _parse(line, self.path)
            known = None if probabilities is None else tuple(probabilities)
            measured = None if facts is None else SliceFacts(*facts)
            yield SlicePrediction(SliceId(*id), known, tuple(positive), status, note, measured)

    def discard(self) -> None:
        """Remove the journal: the output stands."""
        self._empty = True
        self.close()

    def close(self) -> None:
        """Let go of the lock; the rows stay, a journal without rows is removed."""
        if self._file.closed:
            return
        if os.name == "nt":  # there an open file cannot be removed
            self._file.close()
        if self._empty:  # while the lock holds, so that no other run's journal is hit
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _whole_lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # the last one may be torn
                    yield line

    def _compare(self, old: Any, new: Mapping[str, Any]) -> None:
        if not isinstance(old, dict):
            raise _damaged(self.path)
        differing = [key for key in {**new, **old} if old.get(key) != new.get(key)]
        if differing:
            raise OutputError(
                f"cannot resume {self.output}: the earlier run had other {', '.join(differing)}; "
                "repeat its command, or leave out --resume to start over"
            )

    def _cut(self, end: int) -> None:
        try:
            self._file.truncate(end)  # opened to append: writing goes on at the end
        except OSError as error:
            raise output_error(self.output, error) from error

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            kept = f"{self.rows_kept} rows are kept for --resume" if self.rows_kept else ""
            raise output_error(self.output, error, kept) from error


def fingerprint(parts: Iterable[str]) -> str:
    """Return the SHA-256 of a list of texts, order and borders included."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode() + b"\n")
    return digest.hexdigest()


def _sound(line: bytes) -> bool:
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
