"""One study that is open: its files, its slices, what each bundle said of them, its maps."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from gradio_app.job_queue import Job
from ich_cli.core import series
from ich_cli.core.dicom import CTSlice, Limits
from ich_cli.core.errors import IchError, InputError
from ich_cli.core.explain import Faithfulness, explain, faithfulness
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import Neighbours
from ich_cli.core.series import Entry
from ich_cli.core.study import SlicePrediction

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor

Maps = dict[str, NDArray[np.uint8]]
"""Label → uint8 ``(H, W)``: 255 times the map."""

_MAPS_KEPT: Final = 32  # slices; six maps of 512 x 512 are 1.5 MB


@dataclass(eq=False)
class OpenStudy:
    """The files of one session. Files are numbered; their names are never kept."""

    token: str = field(repr=False)
    owner: str = field(repr=False)
    folder: Path
    paths: tuple[Path, ...]
    limits: Limits
    used: float = 0.0
    shared: bool = False
    entries: list[Entry] = field(default_factory=list)
    first: int | None = None
    """The entry that was shown before the others were known."""
    rows: dict[str, list[SlicePrediction]] = field(default_factory=dict)
    """Bundle → answers so far, one an entry, in their order."""
    job: Job | None = None
    wanted: tuple[str, int] | None = None
    """Bundle and slice whose maps were asked for last; older wishes are passed over."""
    watched: tuple[str, int, str] | None = None
    """The same for the faithfulness of a map."""
    _glimpsed: series.SliceRef | None = None
    _maps: OrderedDict[tuple[str, int], Maps] = field(default_factory=OrderedDict)
    _faith: dict[tuple[str, int, str], str] = field(default_factory=dict)
    _predicting: Lock = field(default_factory=Lock)
    _closed: bool = False

    def glimpse(self) -> CTSlice | None:
        """Return a slice about the middle, before the others are looked at; None: it is no CT."""
        self._glimpsed = series.glimpse(self.paths, self.limits)
        try:
            return series.load(self._glimpsed, self.limits) if self._glimpsed else None
        except InputError:
            return None  # its row will say why

    def scan(self, max_slices: int, job: Job) -> None:
        """Find the slices, once.

        Raises
        ------
        IchError
            If the files are gone, or hold more than `max_slices`.
        """
        if self.entries:
            return
        entries = series.scan(self.paths, self.limits, lambda _: job.check()).rows
        count = sum(not isinstance(one, InputError) for one in entries)
        if count > max_slices:
            raise IchError(f"{count} slices; this page takes at most {max_slices} at once")
        seen = self._glimpsed
        same = (at for at, one in enumerate(entries) if seen and not isinstance(one, InputError)
                and (one.source, one.id) == (seen.source, seen.id))  # fmt: skip
        self.first = next(same, None)
        self.entries = entries

    def predict(
        self, name: str, predictor: Predictor, job: Job, told: Callable[[], None] = lambda: None
    ) -> None:
        """Answer slice by slice, and go on where an earlier call was cancelled.

        Parameters
        ----------
        name
            Of the bundle.
        predictor
            The bundle, loaded.
        job
            Looked at after each slice.
        told
            Called after each slice.
        """
        with self._predicting:
            rows = self.rows.setdefault(name, [])
            stream = predictor.stream(self.entries, start=len(rows), limits=self.limits)
            with closing(cast("Generator[SlicePrediction]", stream)):
                for row in stream:
                    job.check()
                    rows.append(row)
                    told()

    def slice(self, index: int) -> CTSlice:
        """Decode an entry.

        Raises
        ------
        IchError
            If there is no such slice, or its file is gone or damaged.
        """
        entry = self._entry(index)
        try:
            return series.load(entry, self.limits)
        except InputError as error:
            raise self._unseen(error) from None

    def maps(self, name: str, predictor: Predictor, index: int) -> Maps:
        """Return the maps of all labels of an entry, computed once.

        Raises
        ------
        IchError
            As `slice`, or if the model has no maps.
        """
        key = (name, index)
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        ct, around = self.read(predictor, index)
        found = explain(predictor, ct, LABELS, neighbours=around).maps
        maps = {label: np.rint(one * 255).astype(np.uint8) for label, one in found.items()}
        self._maps[key] = maps
        while len(self._maps) > _MAPS_KEPT:
            self._maps.popitem(last=False)
        return maps

    def faith(self, name: str, predictor: Predictor, index: int, label: str) -> str:
        """Return what covering the map's hottest region does to the probability, in one sentence.

        Raises
        ------
        IchError
            As `maps`.
        """
        key = (name, index, label)
        if key not in self._faith:
            ct, around = self.read(predictor, index)
            found = explain(predictor, ct, [label], neighbours=around)
            self._faith[key] = _sentence(faithfulness(predictor, found, around).get(label))
        return self._faith[key]

    def read(self, predictor: Predictor, index: int) -> tuple[CTSlice, Neighbours]:
        """Decode an entry and the neighbours that the model looks at."""
        self._entry(index)
        try:
            return predictor.read(self.entries, index, self.limits)
        except InputError as error:
            raise self._unseen(error) from None

    def file_number(self, entry: Entry) -> int:
        """Return the number, from 1, of the file that an entry came from; 0 if not known."""
        name = entry.name if isinstance(entry, InputError) else entry.source.name
        head = Path(name.split("!")[0]).name
        return int(head) if head.isdecimal() else 0

    def close(self) -> None:
        """Cancel what runs for it and delete its files."""
        self._closed = True
        if self.job is not None:
            self.job.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _entry(self, index: int) -> series.SliceRef:
        if not 0 <= index < len(self.entries):
            raise IchError(f"there is no slice {index}")
        entry = self.entries[index]
        if isinstance(entry, InputError):
            raise IchError(f"this slice cannot be shown: {entry.note}")
        return entry

    def _unseen(self, error: InputError) -> IchError:
        if self._closed or not self.folder.is_dir():
            return IchError("this study is no longer here; open it again")
        return IchError(f"this slice cannot be shown: {error.note}")


def _sentence(measured: Faithfulness | None) -> str:
    if measured is None:
        return ""
    stands = (
        "the model leans on what the map shows"
        if measured.drop > max(2 * measured.drop_elsewhere, 0.1 * measured.before)
        else "the map explains little of the answer"
    )
    return (
        "Faithfulness, of this slice by itself: with the hottest tenth of the head replaced by "
        f"healthy-looking tissue {measured.without:.2f} in place of {measured.before:.2f}, with a "
        f"random tenth {measured.elsewhere:.2f}: {stands}."
    )
