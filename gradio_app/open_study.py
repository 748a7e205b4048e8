"""An open study: its files and slices, the predictions of each bundle, and the maps."""

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

_MAX_CACHED: Final = 32  # slices; six maps of 512 x 512 take 1.5 MB


@dataclass(eq=False)
class OpenStudy:
    """The files of one session. Files are numbered; their original names are not stored."""

    token: str = field(repr=False)
    owner: str = field(repr=False)
    folder: Path
    paths: tuple[Path, ...]
    limits: Limits
    used: float = 0.0
    shared: bool = False
    entries: list[Entry] = field(default_factory=list)
    first: int | None = None
    """Entry of the slice that was shown as a preview."""
    rows: dict[str, list[SlicePrediction]] = field(default_factory=dict)
    """Bundle → predictions so far, one per entry, in the order of the entries."""
    job: Job | None = None
    latest_map: tuple[str, int] | None = None
    """Bundle and slice of the latest map request; older requests are dropped."""
    latest_faithfulness: tuple[str, int, str] | None = None
    """Bundle, slice and label of the latest faithfulness request."""
    _previewed: series.SliceRef | None = None
    _maps: OrderedDict[tuple[str, int], Maps] = field(default_factory=OrderedDict)
    _faithfulness: dict[tuple[str, int, str], str] = field(default_factory=dict)
    _predicting: Lock = field(default_factory=Lock)
    _closed: bool = False

    def preview(self) -> CTSlice | None:
        """Read a slice near the middle before the scan; None if that file is not a CT slice."""
        self._previewed = series.glimpse(self.paths, self.limits)
        try:
            return series.load(self._previewed, self.limits) if self._previewed else None
        except InputError:
            return None  # its row will say why

    def scan(self, max_slices: int, job: Job) -> None:
        """Find the slices, once.

        Raises
        ------
        IchError
            If the files are missing or hold more than `max_slices` slices.
        """
        if self.entries:
            return
        entries = series.scan(self.paths, self.limits, lambda _: job.check()).rows
        count = sum(not isinstance(one, InputError) for one in entries)
        if count > max_slices:
            raise IchError(f"{count} slices; this page takes at most {max_slices} at once")
        seen = self._previewed
        same = (at for at, one in enumerate(entries) if seen and not isinstance(one, InputError)
                and (one.source, one.id) == (seen.source, seen.id))  # fmt: skip
        self.first = next(same, None)
        self.entries = entries

    def predict(
        self, name: str, predictor: Predictor, job: Job, on_slice: Callable[[], None] = lambda: None
    ) -> None:
        """Predict slice by slice, continuing where an earlier call was cancelled.

        Parameters
        ----------
        name, predictor
            The bundle.
        job
            Checked for cancellation after each slice.
        on_slice
            Called after each slice.
        """
        with self._predicting:
            rows = self.rows.setdefault(name, [])
            stream = predictor.stream(self.entries, start=len(rows), limits=self.limits)
            with closing(cast("Generator[SlicePrediction]", stream)):
                for row in stream:
                    job.check()
                    rows.append(row)
                    on_slice()

    def slice(self, index: int) -> CTSlice:
        """Decode a slice.

        Raises
        ------
        IchError
            If there is no such slice, or its file is missing or damaged.
        """
        entry = self._entry(index)
        try:
            return series.load(entry, self.limits)
        except InputError as error:
            raise self._unreadable(error) from None

    def maps(self, name: str, predictor: Predictor, index: int) -> Maps:
        """Return the maps of all labels of a slice; the latest 32 slices are cached.

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
        while len(self._maps) > _MAX_CACHED:
            self._maps.popitem(last=False)
        return maps

    def faithfulness(self, name: str, predictor: Predictor, index: int, label: str) -> str:
        """Describe in one sentence how the map's hottest region affects the probability.

        Raises
        ------
        IchError
            As `maps`.
        """
        key = (name, index, label)
        if key not in self._faithfulness:
            ct, around = self.read(predictor, index)
            found = explain(predictor, ct, [label], neighbours=around)
            self._faithfulness[key] = _sentence(faithfulness(predictor, found, around).get(label))
        return self._faithfulness[key]

    def read(self, predictor: Predictor, index: int) -> tuple[CTSlice, Neighbours]:
        """Decode a slice and the neighbours that the model takes as context."""
        self._entry(index)
        try:
            return predictor.read(self.entries, index, self.limits)
        except InputError as error:
            raise self._unreadable(error) from None

    def file_number(self, entry: Entry) -> int:
        """Return the number (from 1) of the file that holds an entry; 0 if unknown."""
        name = entry.name if isinstance(entry, InputError) else entry.source.name
        head = Path(name.split("!")[0]).name
        return int(head) if head.isdecimal() else 0

    def close(self) -> None:
        """Cancel its job and delete its files."""
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

    def _unreadable(self, error: InputError) -> IchError:
        if self._closed or not self.folder.is_dir():
            return IchError("this study is no longer here; open it again")
        return IchError(f"this slice cannot be shown: {error.note}")


def _sentence(measured: Faithfulness | None) -> str:
    if measured is None:
        return ""
    conclusion = (
        "the model relies on the region that the map shows"
        if measured.drop > max(2 * measured.drop_random, 0.1 * measured.before)
        else "the map explains little of the prediction"
    )
    return (
        "Faithfulness for this slice alone: with the map's hottest tenth of the head replaced by "
        f"healthy-looking tissue, {measured.before:.2f} becomes {measured.without:.2f}, with a "
        f"random tenth {measured.random_region:.2f}: {conclusion}."
    )
