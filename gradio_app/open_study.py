"""An open study: its files and series, the predictions of each bundle, and the maps."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gradio_app.job_queue import Job
from ich_cli.core import series
from ich_cli.core.dicom import CTSlice, Limits, SliceId
from ich_cli.core.errors import IchError, InputError
from ich_cli.core.explain import Faithfulness, explain, faithfulness
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import Neighbours
from ich_cli.core.series import Scan
from ich_cli.core.study import SeriesPrediction, SlicePrediction

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor

Place = tuple[int, int]
"""Number of a series in the scan, and number of a slice in it, both from 0."""
Maps = dict[str, NDArray[np.uint8]]
"""Label → uint8 ``(H, W)``: 255 times the map."""

_NOT_SCANNED: Final = Scan(())
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
    found: Scan = _NOT_SCANNED
    """Series and refused files; empty before the scan."""
    places: tuple[Place, ...] = ()
    """Slices in the order of the scan; messages name one by its index here."""
    first: int | None = None
    """Index of the slice that was shown as a preview."""
    job: Job | None = None
    latest_map: tuple[str, Place] | None = None
    """Bundle and slice of the latest map request; older requests are dropped."""
    latest_faithfulness: tuple[str, Place, str] | None = None
    """Bundle, slice and label of the latest faithfulness request."""
    _previewed: series.SliceRef | None = None
    _predictions: dict[str, list[SeriesPrediction]] = field(default_factory=dict)
    _maps: OrderedDict[tuple[str, Place], Maps] = field(default_factory=OrderedDict)
    _faithfulness: dict[tuple[str, Place, str], str] = field(default_factory=dict)
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
        if self.found:
            return
        found = series.scan(self.paths, self.limits, lambda _: job.check())
        if found.slices > max_slices:
            raise IchError(f"{found.slices} slices; this page takes at most {max_slices} at once")
        seen, refs = self._previewed, [ref for one in found.series for ref in one.slices]
        same = (at for at, ref in enumerate(refs)
                if seen and (ref.source, ref.id.frame) == (seen.source, seen.id.frame))  # fmt: skip
        self.first = next(same, None)
        self.places = tuple(
            (number, at) for number, one in enumerate(found.series) for at in range(len(one))
        )
        self.found = found

    def predictions(self, name: str) -> list[SeriesPrediction]:
        """Return the predictions of a bundle so far, one for each series."""
        starts = [SeriesPrediction(one, (), partial=True) for one in self.found.series]
        return self._predictions.setdefault(name, starts)

    def rows(self, name: str) -> list[SlicePrediction]:
        """Return the predictions of a bundle so far, and the files of no series, as table rows."""
        rows = [row for one in self.predictions(name) for row in one.slices]
        return [*rows, *(SlicePrediction.from_error(*one) for one in self.found.refused)]

    def row(self, name: str, place: Place) -> SlicePrediction:
        """Return the prediction of a bundle for a slice that it has predicted."""
        return self.predictions(name)[place[0]].slices[place[1]]

    def is_predicted(self, name: str) -> bool:
        """Return whether a bundle has predicted all slices."""
        return bool(self.found) and not any(one.partial for one in self.predictions(name))

    def predict(
        self, name: str, predictor: Predictor, job: Job, on_batch: Callable[[], None] = lambda: None
    ) -> None:
        """Predict series by series, continuing where an earlier call was cancelled.

        Parameters
        ----------
        name, predictor
            The bundle.
        job
            Checked for cancellation after each batch of slices.
        on_batch
            Called after each batch.
        """
        with self._predicting:
            predictions = self.predictions(name)
            for number, start in enumerate(predictions):

                def keep(so_far: SeriesPrediction, number: int = number) -> None:
                    predictions[number] = so_far
                    on_batch()

                predictor.predict_series(
                    start.series, start=start, limits=self.limits, progress=keep,
                    cancel=lambda: job.cancelled,
                )  # fmt: skip
                job.check()

    def place(self, index: object) -> Place:
        """Return the place of the slice that a message names.

        Raises
        ------
        IchError
            If there is no such slice.
        """
        if not isinstance(index, int):
            raise IchError("no slice index was given")
        if not 0 <= index < len(self.places):
            raise IchError(f"there is no slice {index}")
        return self.places[index]

    def slice(self, place: Place) -> CTSlice:
        """Decode a slice.

        Raises
        ------
        IchError
            If its file is missing or damaged.
        """
        number, index = place
        try:
            return series.load(self.found.series[number].slices[index], self.limits)
        except InputError as error:
            raise self._unreadable(error) from None

    def maps(self, name: str, predictor: Predictor, place: Place) -> Maps:
        """Return the maps of all labels of a slice; the latest 32 slices are cached.

        Raises
        ------
        IchError
            As `slice`, or if the model has no maps.
        """
        key = (name, place)
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        ct, around = self.read(predictor, place)
        found = explain(predictor, ct, LABELS, neighbours=around).maps
        maps = {label: np.rint(one * 255).astype(np.uint8) for label, one in found.items()}
        self._maps[key] = maps
        while len(self._maps) > _MAX_CACHED:
            self._maps.popitem(last=False)
        return maps

    def faithfulness(self, name: str, predictor: Predictor, place: Place, label: str) -> str:
        """Describe in one sentence how the map's hottest region affects the probability.

        Raises
        ------
        IchError
            As `maps`.
        """
        key = (name, place, label)
        if key not in self._faithfulness:
            ct, around = self.read(predictor, place)
            found = explain(predictor, ct, [label], neighbours=around)
            self._faithfulness[key] = _sentence(faithfulness(predictor, found, around).get(label))
        return self._faithfulness[key]

    def read(self, predictor: Predictor, place: Place) -> tuple[CTSlice, Neighbours]:
        """Decode a slice and the neighbours that the model takes as context."""
        number, index = place
        try:
            return predictor.read(self.found.series[number], index, self.limits)
        except InputError as error:
            raise self._unreadable(error) from None

    def close(self) -> None:
        """Cancel its job and delete its files."""
        self._closed = True
        if self.job is not None:
            self.job.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unreadable(self, error: InputError) -> IchError:
        if self._closed or not self.folder.is_dir():
            return IchError("this study is no longer here; open it again")
        return IchError(f"this slice cannot be shown: {error.note}")


def file_number(id: SliceId) -> int:
    """Return the number (from 1) of the file that holds a slice; 0 if unknown."""
    head = Path(id.path.split("!")[0]).name
    return int(head) if head.isdecimal() else 0


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
