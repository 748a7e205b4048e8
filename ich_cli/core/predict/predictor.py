"""The predictor: a loaded bundle that turns slices into probabilities."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core.bundle import LoadedBundle, load_bundle, resolve_weights
from ich_cli.core.dicom import DEFAULT_LIMITS, CTSlice, Limits
from ich_cli.core.engines import Choice, choose, fall_back_to_torch, load_engines
from ich_cli.core.errors import IchError, UsageError
from ich_cli.core.model import resolve_device
from ich_cli.core.pictures import PictureWindow
from ich_cli.core.predict.in_memory import (
    SINGLE_SLICE,
    predict_slices,
    predict_sources,
    slices_from_hu,
)
from ich_cli.core.predict.reader import ReadSlice, SliceReader
from ich_cli.core.preprocessing import Neighbours, Prepared, PreprocessConfig, prepare_each
from ich_cli.core.series import Scan, Series, load, scan
from ich_cli.core.study import Sections, SeriesPrediction, SlicePrediction, StudyRule
from ich_cli.core.system import keep_freed_memory, prefetch

if TYPE_CHECKING:
    from pydicom import Dataset


_BATCH: Final = {"cpu": 4, "mps": 16, "cuda": 64}
_WORKERS: Final = 8  # reading a slice takes 2 to 3 ms, of which up to 0.4 hold the GIL


class Predictor:
    """A loaded bundle, single model or ensemble, on a device.

    Use `load`. Methods may be called from several threads, one at a time.

    Parameters
    ----------
    bundle
        As `load_bundle` returned it.
    device
        ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    batch_size
        Slices in a batch; None for the device's default.
    engine
        As `engines.choose` returned it; None for torch.

    Raises
    ------
    IchError
        If the engine cannot run a model of the bundle.
    """

    def __init__(
        self,
        bundle: LoadedBundle,
        device: str = "cpu",
        batch_size: int | None = None,
        engine: Choice | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise IchError(f"the batch size must be at least 1, not {batch_size}")
        keep_freed_memory()  # slices and activations are allocated and freed by the thousand
        self.bundle = bundle
        self.device = device
        self.batch_size = batch_size or _BATCH[device.partition(":")[0]]
        self.thresholds: dict[str, float] = dict(bundle.config.thresholds)
        """Label → probability from which it counts as positive; may be changed."""
        self.preprocess: tuple[PreprocessConfig, ...] = tuple(
            dict.fromkeys(one.preprocess for one in bundle.member_configs)
        )
        """Distinct settings of the members; `probabilities` takes an array for each, in order."""
        self.engine, self.engines = load_engines(
            engine or choose("torch", device), bundle, device, self.batch_size
        )
        """The chosen engine with its precision; one started engine for each member."""
        if batch_size is None:  # fill an engine that runs several slices at once
            self.batch_size = max(self.batch_size, *(one.batch_size for one in self.engines))

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        engine: str = "auto",
        slices: int | None = None,
    ) -> Predictor:
        """Load a bundle.

        Parameters
        ----------
        weights
            None for ``ICH_WEIGHTS`` or else the default bundle; a folder; or
            ``owner/name[@revision]`` on the Hugging Face Hub, of a plain timm classifier with
            ``:rsna`` or ``:dlmi`` behind it.
        device
            ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch_size
            Slices in a batch; None for the device's default.
        engine
            ``auto``, ``torch``, ``openvino`` or ``compile``.
        slices
            Number of slices to predict, by which ``auto`` chooses; None chooses torch.

        Raises
        ------
        IchError
            If the bundle cannot be loaded, or the device or engine is not available.
        """
        where = str(resolve_device(device))
        chosen = weights if weights is not None else os.environ.get("ICH_WEIGHTS")
        if engine != "auto":
            choose(engine, where)  # fail before the weights are downloaded
        bundle = load_bundle(resolve_weights(chosen))
        choice = choose(engine, where, bundle, slices)
        try:
            return cls(bundle, where, batch_size, choice)
        except IchError as error:
            if engine != "auto" or choice.name == "torch":
                raise
            return cls(bundle, where, batch_size, fall_back_to_torch(choice, error))

    @property
    def caveat(self) -> str:
        """Warning to show with the predictions; empty for weights trained on real CT."""
        return self.bundle.config.caveat

    def study_rule(self, thresholds: Mapping[str, float] | None = None) -> StudyRule:
        """Return the rule that combines slices into a study prediction.

        Parameters
        ----------
        thresholds
            In place of `self.thresholds`. Of a bundle without a rule, that of `any` is the lower
            end of "unsure".
        """
        stated = self.bundle.config.study
        return stated or StudyRule.from_threshold((thresholds or self.thresholds)["any"])

    def prepare(self, ct: CTSlice, neighbours: Neighbours | None = None) -> tuple[Prepared, ...]:
        """Prepare a slice for the models, once for each of `preprocess`.

        Parameters
        ----------
        ct
            The slice.
        neighbours
            Context n → the n slices before and the n slices after it. Without it, the slice
            itself takes the place of its neighbours.
        """
        return prepare_each(ct, self.preprocess, neighbours)

    def probabilities(self, *pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities.

        Parameters
        ----------
        *pixels
            For each of `preprocess` (one, unless the members of an ensemble differ) uint8
            ``(N, C, S, S)`` as `prepare` returned them.

        Returns
        -------
        numpy.ndarray
            float32 ``(N, 6)`` in [0, 1], in the order of `LABELS`; members are combined by
            `combine`. On a CPU a slice's row is the same to the bit in any batch.

        Raises
        ------
        ValueError
            If the number of arrays or their shapes do not match `preprocess`.
        """
        for array, config in zip(pixels, self.preprocess, strict=True):
            if array.shape[1:] != (config.channels, config.size, config.size):
                raise ValueError(f"(N, {config.channels}, {config.size}, {config.size}) expected")
        return self.combine(self.member_logits(*pixels)).astype(np.float32)

    def member_logits(self, *pixels: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """Return the logits ``(N, 6)`` of each member, before its calibration.

        Parameters
        ----------
        *pixels
            As for `probabilities`.
        """
        by_config = dict(zip(self.preprocess, pixels, strict=True))
        return [
            engine(by_config[config.preprocess])
            for engine, config in zip(self.engines, self.bundle.member_configs, strict=True)
        ]

    def combine(self, logits: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return calibrated probabilities ``(N, 6)`` of the members' logits, each ``(N, 6)``.

        An ensemble with a calibration applies it to the mean of the logits; one without takes the
        mean of its members' calibrated probabilities.
        """
        whole = self.bundle.config
        if whole.pools_logits:
            return whole.calibration.apply(np.mean(logits, axis=0))
        each = [
            config.calibration.apply(one)
            for one, config in zip(logits, self.bundle.member_configs, strict=True)
        ]
        return cast("NDArray[np.float64]", np.mean(each, axis=0))

    def predict(
        self,
        *sources: str | Path | BinaryIO | Dataset,
        window: PictureWindow | None = None,
    ) -> list[SlicePrediction]:
        """Predict all slices of files, folders and zips, or of DICOM in memory.

        Parameters
        ----------
        *sources
            Paths; or, not mixed with them, open binary streams and pydicom data sets of one
            instance each.
        window
            Window of PNG and JPEG files among the paths; None refuses them.

        Returns
        -------
        list of SlicePrediction
            For paths, series by series: one per slice, in anatomical order, then one per refused
            file of the series; last, one per file of no series. For streams and data sets, one
            each, in the given order.
        """
        paths = [Path(source) for source in sources if isinstance(source, str | Path)]
        if not paths and sources:
            return predict_sources(self, cast("Sequence[BinaryIO | Dataset]", sources))
        if len(paths) < len(sources):
            raise UsageError("predict takes either paths, or streams and data sets")
        found = scan(paths, window=window)
        rows = [row for one in self.predict_all(found) for row in one.slices]
        return [*rows, *(SlicePrediction.from_error(*refused) for refused in found.refused)]

    def predict_hu(
        self,
        volume: ArrayLike,
        *,
        spacing: tuple[float, float, float] | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> list[SlicePrediction]:
        """Predict the slices of an array in Hounsfield units, as one series.

        Parameters
        ----------
        volume
            ``(N, H, W)`` or ``(H, W)`` in HU, finite: slices from feet to head, rows from front
            to back, columns from the patient's right to left.
        spacing
            Distance between slices, rows and columns in mm.
        thresholds
            Label → probability, in place of `self.thresholds`.

        Raises
        ------
        ValueError
            If the shape is another, or a value is not finite.
        """
        return predict_slices(self, slices_from_hu(volume, spacing), thresholds)

    def predict_series(
        self,
        series: Series,
        *,
        start: SeriesPrediction | None = None,
        workers: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        thresholds: Mapping[str, float] | None = None,
        progress: Callable[[SeriesPrediction], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> SeriesPrediction:
        """Predict one series.

        Parameters
        ----------
        series
            As `scan` returned it.
        start
            Partial prediction of the series to continue.
        workers
            Threads that read files; 0 reads in the caller's thread; None for the machine's number.
        limits
            Bounds on what is read.
        thresholds
            Label → probability, in place of `self.thresholds`.
        progress
            Called after each batch with the prediction so far.
        cancel
            Called after each batch; True ends the prediction.

        Returns
        -------
        SeriesPrediction
            Partial where it was cancelled: the slices done so far. Of a bundle with a sequence
            stage, which needs the whole series, they have the probabilities of the slice model.
        """
        found = start or SeriesPrediction(series, (), partial=True)
        with closing(self._reads([found], workers, limits)) as reads:
            while found.partial:
                found = self._next_batch(found, reads, thresholds or self.thresholds)
                if progress:
                    progress(found)
                if cancel and cancel():
                    break
        return found

    def predict_all(
        self,
        series: Scan | Iterable[Series],
        *,
        workers: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        thresholds: Mapping[str, float] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[SeriesPrediction]:
        """Predict series in their order; each result is that of `predict_series`.

        Files are read and prepared in threads ahead of the model, across the borders of series,
        at most a few batches, so memory does not grow with the number of slices. A file that
        fails affects only its own row.

        Parameters
        ----------
        series
            As `scan` returned them.
        workers, limits, thresholds
            As for `predict_series`.
        progress
            Called after each batch with the number of slices done in all series.
        """
        several = series.series if isinstance(series, Scan) else series
        starts = [SeriesPrediction(one, (), partial=True) for one in several]
        done = 0
        with closing(self._reads(starts, workers, limits)) as reads:
            for found in starts:
                while found.partial:
                    before = len(found.slices)
                    found = self._next_batch(found, reads, thresholds or self.thresholds)
                    done += min(len(found.slices), len(found.series)) - before
                    if progress:
                        progress(done)
                yield found

    def _reads(
        self, starts: Sequence[SeriesPrediction], workers: int | None, limits: Limits
    ) -> Generator[ReadSlice, None, None]:
        """Yield the slices that are still to be predicted."""
        threads = min(os.cpu_count() or 1, _WORKERS) if workers is None else workers
        reader = SliceReader(self.preprocess, limits, cached=2 * threads + 2)
        places = (
            (one.series, index)
            for one in starts
            for index in range(len(one.slices), len(one.series))
        )
        return prefetch(reader, places, workers=threads, ahead=self.batch_size + 2 * threads)

    def _next_batch(
        self, found: SeriesPrediction, reads: Iterator[ReadSlice], thresholds: Mapping[str, float]
    ) -> SeriesPrediction:
        """Predict one more batch of a partial prediction; a batch ends with its series."""
        left = len(found.series) - len(found.slices)
        batch = list(islice(reads, min(self.batch_size, left)))
        values, logits = self._predict_batch([read.pixels for read in batch if read.pixels])
        rest = iter(values)
        rows = [
            read.row.with_probabilities(next(rest), thresholds) if read.pixels else read.row
            for read in batch
        ]
        slices, logits = (*found.slices, *rows), (*found.logits, *logits)
        if len(slices) < len(found.series):
            return SeriesPrediction(found.series, slices, partial=True, logits=logits)
        if logits:
            slices = self._with_sequence_stage(slices, logits, thresholds)
        refused = (SlicePrediction.from_error(*one) for one in found.series.refused)
        return SeriesPrediction(found.series, (*slices, *refused))

    def _predict_batch(
        self, pixels: Sequence[tuple[NDArray[np.uint8], ...]]
    ) -> tuple[Iterable[NDArray[Any]], Iterable[NDArray[Any]]]:
        """Return probabilities of the slice model, and its logits if a sequence stage follows."""
        if not pixels:
            return (), ()
        stacks = tuple(map(np.stack, zip(*pixels, strict=True)))
        each = self.member_logits(*stacks)
        if self.bundle.sequence is None:
            return self.combine(each).astype(np.float32), ()
        logits: NDArray[np.float64] = np.mean(each, axis=0)
        return self.bundle.config.calibration.apply(logits).astype(np.float32), logits

    def _with_sequence_stage(
        self,
        rows: Sequence[SlicePrediction],
        logits: Sequence[NDArray[Any]],
        thresholds: Mapping[str, float],
    ) -> tuple[SlicePrediction, ...]:
        """Replace the probabilities of the slice model by those of the sequence stage."""
        note = SINGLE_SLICE if len(logits) == 1 else ""
        along = [row.along for row in rows if row.probabilities]
        rest = iter(self.sequence_probabilities(np.stack(logits), along).astype(np.float32))
        return tuple(
            replace(row, note="; ".join(filter(None, (row.note, note)))).with_probabilities(
                next(rest), thresholds
            )
            if row.probabilities
            else row
            for row in rows
        )

    def read(
        self, series: Series, index: int, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[CTSlice, Neighbours]:
        """Read a slice and the neighbours that the models need, for `prepare`.

        Parameters
        ----------
        series
            As `scan` returned it.
        index
            Index of the slice.
        limits
            Bounds on what is read.

        Raises
        ------
        InputError
            If the slice cannot be read.
        """
        reader = SliceReader(self.preprocess, limits, cached=1)
        return load(series.slices[index], limits), reader.neighbours(series, index)

    def slice_logits(self, *pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return logits ``(N, 6)`` before calibration; of an ensemble their mean over the members.

        Parameters
        ----------
        *pixels
            As for `probabilities`.
        """
        return cast("NDArray[np.float64]", np.mean(self.member_logits(*pixels), axis=0))

    def sequence_probabilities(
        self, logits: NDArray[np.float64], along: Sequence[float | None] = ()
    ) -> NDArray[np.float64]:
        """Return calibrated probabilities ``(T, 6)`` of a whole series by the sequence stage.

        The stage is applied to `Sections` of 5 mm, unless the slices are about as far apart.

        Parameters
        ----------
        logits
            ``(T, 6)`` of `slice_logits`, in anatomical order. A single slice, and any series of a
            bundle without a sequence stage, is predicted by the slice model alone.
        along
            Position of each slice along the slice normal in mm; empty where unknown.
        """
        stage, config = self.bundle.sequence, self.bundle.config
        if stage is None or config.sequence is None or len(logits) == 1:
            return config.calibration.apply(logits)
        if (sections := Sections.from_positions(along)) is None:
            smooth = stage.apply_to(logits)
        else:
            smooth = sections.spread(stage.apply_to(sections.average(logits)))
        return config.sequence.calibration.apply(smooth)
