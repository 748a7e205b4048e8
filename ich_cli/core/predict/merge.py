"""Rows that several processes, or an earlier number of them, left beside one output.

    rank 0 ──▶ .out.csv.partial-0-of-2 ─┐
    rank 1 ──▶ .out.csv.partial-1-of-2 ─┴─▶ whoever ends last ──▶ .out.csv.partial ──▶ out.csv

A process looks for all rows when its own are done. The last one to finish finds them, takes the
journal of a run without ranks, and writes the tables as such a run would that goes on from them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from ich_cli.core.predict.journal import Journal
from ich_cli.core.predict.journal_files import (
    BusyError,
    compare,
    is_held,
    journals,
    parse_row,
    place_of,
    whole_lines,
)
from ich_cli.core.predict.ranks import Rank, own_units
from ich_cli.core.series import Entry
from ich_cli.core.study import SlicePrediction

_PATIENCE: Final = 0.05  # seconds between two looks whether another process is through


class KeptRows:
    """Rows in journals, found by their place in the table; twelve bytes of memory a row.

    Parameters
    ----------
    total
        Rows of the table.
    """

    def __init__(self, total: int) -> None:
        self._offset = np.full(total, -1, np.int64)
        self._journal = np.zeros(total, np.int32)
        self.paths: list[Path] = []
        """The journals that were read."""

    def take(
        self, path: Path, manifest: Mapping[str, Any], output: Path, *, joins: bool = False
    ) -> None:
        """Note the rows of a journal.

        Raises
        ------
        OutputError
            If it belongs to another run; the message names what differs.
        """
        lines = whole_lines(path)
        first = next(lines, b"")
        if not first:
            return
        compare(first, manifest, path, output, joins=joins)
        offset = len(first)
        for line in lines:
            place = place_of(line)
            if place is None or place >= len(self._offset) or not line.endswith(b"]\n"):
                break  # behind a power cut there may be anything
            if self._offset[place] < 0:
                self._offset[place], self._journal[place] = offset, len(self.paths)
            offset += len(line)
        self.paths.append(path)

    def has(self, places: range) -> bool:
        """Say whether all these rows are there."""
        return bool((self._offset[places.start : places.stop] >= 0).all())

    @property
    def whole(self) -> bool:
        """Whether no row is missing."""
        return bool((self._offset >= 0).all())

    def rows(self, places: Iterable[int]) -> Iterator[SlicePrediction]:
        """Read rows."""
        files: dict[int, BinaryIO] = {}
        try:
            for place in places:
                number = int(self._journal[place])
                if number not in files:
                    files[number] = self.paths[number].open("rb")
                files[number].seek(self._offset[place])
                yield parse_row(files[number].readline(), self.paths[number])
        finally:
            for file in files.values():
                file.close()

    def discard(self) -> None:
        """Remove the journals: the output stands."""
        for path in self.paths:
            path.unlink(missing_ok=True)


class Part:
    """What one process answers of a run, woven into what others have answered.

    Parameters
    ----------
    journal
        Of this process; not begun.
    entries
        Of the whole run.
    rank
        Which process this is.
    """

    def __init__(self, journal: Journal, entries: Sequence[Entry], rank: Rank) -> None:
        self.journal, self._entries, self._rank = journal, entries, rank
        self.elsewhere = KeptRows(len(entries))
        self.order: Sequence[int] = range(len(entries))
        """Places in the table of the rows that this process answers."""

    def begin(self, manifest: Mapping[str, Any], *, resume: bool) -> None:
        """Find what is left for this process, and begin or resume its journal.

        Parameters
        ----------
        manifest
            All that the rows depend on; JSON types.
        resume
            Go on from rows of earlier runs, whatever their number of processes; else they go.
        """
        for path, one in journals(self.journal.output).items():
            if one.of == self._rank.of:
                continue  # its own; those of its siblings hold no row of its series
            if resume:
                self.elsewhere.take(path, manifest, self.journal.output)
            elif not is_held(path):
                path.unlink(missing_ok=True)
        if self.elsewhere.paths or not self._rank.alone:
            units = own_units(self._entries, self._rank)
            left = [unit for unit in units if not self.elsewhere.has(unit)]
            self.order = [place for unit in left for place in unit]
        self.journal.begin(manifest, resume=resume, order=self.order)

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries that this process answers: whole series, so that neighbours are known."""
        if isinstance(self.order, range):
            return self._entries
        return [self._entries[place] for place in self.order]

    @property
    def kept(self) -> int:
        """Rows of the table that were there, if this process is the only one."""
        return len(self._entries) - len(self.order) + self.journal.rows_kept

    def weave(self, own: Iterator[SlicePrediction]) -> Iterator[SlicePrediction]:
        """Yield the rows of the whole table in order, of the only process of a run.

        Parameters
        ----------
        own
            Its own rows, in their order.
        """
        mine = np.zeros(len(self._entries), bool)
        mine[np.asarray(self.order, np.int64)] = True
        others = self.elsewhere.rows(np.flatnonzero(~mine).tolist())
        for is_mine in mine:
            yield from islice(own if is_mine else others, 1)

    def rows(self) -> Iterator[SlicePrediction]:
        """Read all rows of the table, when they are there."""
        return self.weave(self.journal.rows())

    def discard(self) -> None:
        """Remove all journals: the output stands."""
        self.elsewhere.discard()
        self.journal.discard()


def all_there(output: Path, manifest: Mapping[str, Any], total: int) -> bool:
    """Say whether the processes of a run have answered for every slice.

    Raises
    ------
    OutputError
        If one of them saw other files, or had other settings.
    """
    kept = KeptRows(total)
    with suppress(FileNotFoundError):  # another process is just removing them: it has joined
        for path in journals(output):
            kept.take(path, manifest, output, joins=True)
        return kept.whole
    return False


def take_over(output: Path) -> Journal | None:
    """Take the journal that joins all others, when their processes have let go of them.

    Returns
    -------
    Journal or None
        Not begun; None where another process has joined them already.
    """
    while True:
        try:
            journal = Journal(output, joins=True)
        except BusyError:  # another one is at it
            time.sleep(_PATIENCE)
            continue
        found = [path for path, rank in journals(output).items() if not rank.alone]
        if not found:
            journal.close()
            return None
        while any(map(is_held, found)):  # its last row is written: it is about to end
            time.sleep(_PATIENCE)
        return journal
