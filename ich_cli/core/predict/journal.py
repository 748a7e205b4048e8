"""Rows of an unfinished run, kept beside its output so that a killed run can go on.

The journal of ``out.csv`` is ``.out.csv.partial``: a line of JSON that says what the run is, then
one line of JSON a slice, its place in the table first, with every digit, whatever the output's
format. It is locked while it is written, is cut back to whole lines when a run goes on, and is
removed when the output stands. Of several processes, each writes a journal of its own:
``.out.csv.partial-0-of-4``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ich_cli.core.errors import OutputError
from ich_cli.core.predict.journal_files import (
    BusyError,
    compare,
    header,
    is_held,
    is_sound,
    journal_path,
    journals,
    parse_row,
    place_of,
    whole_lines,
)
from ich_cli.core.predict.ranks import ALONE, Rank
from ich_cli.core.study import SlicePrediction
from ich_cli.core.system import is_same_file, lock, output_error

_SYNC_SECONDS: Final = 5.0  # what a power cut may cost; a kill costs nothing


class Journal:
    """The rows so far of the run that writes `output`.

    Opening it proves that the output's folder can be written, and takes the lock.

    Parameters
    ----------
    output
        The file that the run is to write.
    rank
        Which of the run's processes writes it.
    joins
        Whether the other processes' journals are to be joined, and may still be held.

    Raises
    ------
    OutputError
        If it cannot be written there, or another run is writing it.
    """

    def __init__(self, output: Path, rank: Rank = ALONE, *, joins: bool = False) -> None:
        self.output, self.path, self.rows_kept = output, journal_path(output, rank), 0
        self._order: Sequence[int] | None = None
        try:
            if output.is_dir():
                raise OutputError(f"cannot write {output}: it is a folder; name a file in it")
            if output.exists() and not output.is_file():
                raise OutputError(f"cannot write {output}: it is no regular file; use stdout")
            self._file = self.path.open("ab+", buffering=0)
        except OSError as error:
            raise output_error(output, error) from error
        if not lock(self._file) or not is_same_file(self._file, self.path):
            self._file.close()
            raise BusyError(output)
        self._empty, self._synced = self.path.stat().st_size == 0, time.monotonic()
        others = {} if joins else journals(output)
        if any(is_held(path) for path, one in others.items() if one.of != rank.of):
            self.close()
            raise BusyError(output)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(
        self, manifest: Mapping[str, Any], *, resume: bool, order: Sequence[int] | None = None
    ) -> int:
        """Start over, or go on with the rows that an earlier run left; return how many.

        Parameters
        ----------
        manifest
            All that the rows depend on; JSON types.
        resume
            Go on where there is something to go on with.
        order
            Places in the table of the rows to come, in their order; None: all, from 0. Rows kept
            count as far as they follow it.

        Raises
        ------
        OutputError
            If the earlier run's manifest says otherwise; the message names what differs.
        """
        self._order = order
        lines = whole_lines(self.path) if resume else iter(())
        if first := next(lines, b""):
            compare(first, manifest, self.path, self.output)
            end = len(first)
            for line in lines:
                if not is_sound(line) or place_of(line) != self._next_place():
                    break
                self.rows_kept, end = self.rows_kept + 1, end + len(line)
            self._cut(end)
        else:
            self._cut(0)
            self._write(json.dumps(header(manifest)).encode() + b"\n")
        self._empty = self.rows_kept == 0
        return self.rows_kept

    def keep_first(self, rows: int) -> None:
        """Give up all rows but the first `rows`."""
        self._cut(sum(map(len, islice(whole_lines(self.path), rows + 1))))
        self.rows_kept, self._empty = rows, rows == 0

    def append(self, prediction: SlicePrediction) -> None:
        """Keep one more row; it survives a kill from here on."""
        fields = (
            self._next_place(),
            *prediction.id,
            prediction.probabilities,
            prediction.positive,
            prediction.status,
            prediction.note,
            prediction.facts,
            prediction.code,
        )
        self._write(json.dumps(fields).encode() + b"\n")
        self.rows_kept, self._empty = self.rows_kept + 1, False

    def rows(self) -> Iterator[SlicePrediction]:
        """Read the rows kept so far, first to last."""
        for line in islice(whole_lines(self.path), 1, None):
            yield parse_row(line, self.path)

    def clear(self) -> None:
        """Give up what an earlier run left, before `begin` would."""
        self._cut(0)
        self._empty = True

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

    def _next_place(self) -> int | None:
        if self._order is None:
            return self.rows_kept
        return self._order[self.rows_kept] if self.rows_kept < len(self._order) else None

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
