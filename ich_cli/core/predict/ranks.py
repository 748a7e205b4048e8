"""One run in several processes: which of them this is, and which series are its own.

Nothing is sent from one to the other. Each process finds the same series and takes its own by the
same rule; all it needs to know is its number and how many there are, as torchrun, Slurm or a shell
put them into the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Final

from ich_cli.core.errors import InputError, UsageError
from ich_cli.core.series import SliceRef

_NUMBER: Final = "RANK"
_OF: Final = "WORLD_SIZE"
_LOCAL: Final = "LOCAL_RANK"
_LOCAL_OF: Final = "LOCAL_WORLD_SIZE"


@dataclass(frozen=True, slots=True)
class Rank:
    """A process among those that share a run."""

    number: int = 0
    """From 0."""
    of: int = 1
    """Processes in all, on all machines."""
    local: int | None = None
    """Its number on its machine, by which it takes its GPU."""
    local_of: int = 1
    """Processes on its machine, which share the cores."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Rank:
        """Read ``RANK`` and ``WORLD_SIZE``, if they are there ``LOCAL_RANK``, ``LOCAL_WORLD_SIZE``.

        Returns
        -------
        Rank
            The only one, where neither of the first two is set.

        Raises
        ------
        UsageError
            If only one of the two is set, or a value makes no sense.
        """
        given = [name for name in (_NUMBER, _OF) if variables.get(name)]
        if not given:
            return cls()
        if len(given) == 1:
            missing = _OF if given == [_NUMBER] else _NUMBER
            raise UsageError(
                f"{given[0]} is set, {missing} is not: set both, as torchrun does, or neither"
            )
        of = _whole(variables, _OF, 1, None)
        local_of = _whole(variables, _LOCAL_OF, 1, None) if variables.get(_LOCAL_OF) else 1
        local = _whole(variables, _LOCAL, 0, None) if variables.get(_LOCAL) else None
        return cls(_whole(variables, _NUMBER, 0, of), of, local, local_of)

    @property
    def alone(self) -> bool:
        """Whether the run has no other process."""
        return self.of == 1

    def device(self, asked: str) -> str:
        """Return the device of this process: of several GPUs, the one with its local number.

        Parameters
        ----------
        asked
            ``auto`` and ``cuda`` leave the choice; anything else is taken as it is.
        """
        if self.alone or self.local is None or asked not in ("auto", "cuda"):
            return asked
        import torch

        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return f"cuda:{self.local % there}" if there else asked

    def workers(self, asked: int | None) -> int | None:
        """Return how many threads shall read: None leaves it to the predictor, if it is alone."""
        if asked is not None or self.local_of == 1:
            return asked
        return max(1, (os.cpu_count() or 1) // self.local_of)


ALONE: Final = Rank()


def _whole(variables: Mapping[str, str], name: str, least: int, below: int | None) -> int:
    text = variables[name].strip()
    if text.isdecimal() and text.isascii() and least <= int(text) and len(text) < 10:
        number = int(text)
        if below is None or number < below:
            return number
    bound = f" below {_OF}, which is {below}" if below is not None else ""
    raise UsageError(f"{name} is {text!r}: a whole number from {least}{bound} is needed")


def series_units(entries: Sequence[SliceRef | InputError]) -> list[range]:
    """Return which entries must stay together: each series, and the refused files behind it.

    Parameters
    ----------
    entries
        As `series.scan` gave them: the slices of a series stand together.

    Returns
    -------
    list of range
        Indices; together all entries, in their order.
    """
    starts: list[int] = []
    name: str | None = None
    for index, entry in enumerate(entries):
        own = None if isinstance(entry, InputError) else entry.series
        if own is not None and own != name:
            starts.append(index)
            name = own
    if not entries:
        return []
    starts = [0, *starts[1:]]  # refused files before the first series go with it
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(entries)], strict=True)]


def own_units(entries: Sequence[SliceRef | InputError], rank: Rank) -> list[range]:
    """Return the series of one process: each goes to whoever has the fewest slices so far.

    The same entries give the same split in every process, and the splits of all numbers of
    processes begin with the first series, so that a run that goes on with another number finds
    about as much left for each.
    """
    loads = [(0, number) for number in range(rank.of)]  # sorted, and so a heap
    own: list[range] = []
    for unit in series_units(entries):
        load, number = loads[0]
        heapreplace(loads, (load + len(unit), number))
        if number == rank.number:
            own.append(unit)
    return own
