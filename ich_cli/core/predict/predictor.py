"""From slices to probabilities: a plain array face over a bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core import series
from ich_cli.core.bundle import (
    LoadedBundle,
    load_bundle,
    resolve_weights,
)
from ich_cli.core.dicom import DEFAULT_LIMITS, CTSlice, Limits
from ich_cli.core.engines import Choice, choose, fall_back_to_torch, load_engines
from ich_cli.core.errors import IchError, InputError, UsageError
from ich_cli.core.model import resolve_device
from ich_cli.core.predict.in_memory import predict_slices, predict_sources, slices_from_hu
from ich_cli.core.predict.reader import Read, Reader
from ich_cli.core.predict.series_stage import Answered, by_series, series_start
from ich_cli.core.preprocessing import Neighbours, Prepared, PreprocessConfig, prepare_each
from ich_cli.core.series import Entry
from ich_cli.core.study import Probabilities, SlicePrediction, StudyRule, over_thresholds
from ich_cli.core.system import keep_freed_memory, prefetch

if TYPE_CHECKING:
    from pydicom import Dataset

_BATCH: Final = {"cpu": 4, "mps": 16, "cuda": 64}
_WORKERS: Final = 8  # of 2 to 3 ms that a slice takes, up to 0.4 are under Python's lock


class Predictor:
    """A loaded bundle, single model or ensemble, on a device.

    Use `load`. All methods may be called from several threads, one at a time.

    Parameters
    ----------
    bundle
        As `load_bundle` gave it.
    device
        Where the model runs.
    batch_size
        Slices at once through the model; None for what suits the device.
    engine
        What runs it; None for torch.

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
        keep_freed_memory()  # of each slice's arrays, and of the model's activations
        self.bundle = bundle
        self.device = device
        self.batch_size = batch_size or _BATCH[device.partition(":")[0]]
        self.thresholds: dict[str, float] = dict(bundle.config.thresholds)
        """Label → probability from which it counts as positive; may be changed."""
        self.preprocess: tuple[PreprocessConfig, ...] = tuple(
            dict.fromkeys(one.preprocess for one in bundle.member_configs)
        )
        """The distinct settings of the members: what `probabilities` takes, in this order."""
        self.engine, self.engines = load_engines(
            engine or choose("torch", device), bundle, device, self.batch_size
        )
        """The engine with its precision, and one engine for each member."""
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
            None for ``ICH_WEIGHTS`` or else the bundle that ships; a folder; or
            ``owner/name[@revision]`` on the Hugging Face Hub, of a plain timm classifier with
            ``:rsna`` or ``:dlmi`` behind it.
        device
            ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch_size
            None for what suits the device.
        engine
            ``auto``, ``torch``, ``openvino`` or ``compile``.
        slices
            How many there are to answer, for ``auto``; None is torch.

        Raises
        ------
        IchError
            A bundle that cannot be had or trusted; a device or an engine that is not there.
        """
        where = str(resolve_device(device))
        chosen = weights if weights is not None else os.environ.get("ICH_WEIGHTS")
        if engine != "auto":
            choose(engine, where)  # what is not there is told before the weights are fetched
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
        """What must stand beside every probability; empty for weights trained on real CT."""
        return self.bundle.config.caveat

    def study_rule(self, thresholds: Mapping[str, float] | None = None) -> StudyRule:
        """Return how slices become the answer for a study: the bundle's rule.

        Parameters
        ----------
        thresholds
            In place of `self.thresholds`; of a bundle without a rule, that of `any` is where
            "unsure" begins.
        """
        stated = self.bundle.config.study
        return stated or StudyRule.from_threshold((thresholds or self.thresholds)["any"])

    def prepare(self, ct: CTSlice, neighbours: Neighbours | None = None) -> tuple[Prepared, ...]:
        """Make a slice ready, once for each of `preprocess`.

        Parameters
        ----------
        ct
            The slice.
        neighbours
            Context n → the n slices before and the n after it; without it, the slice itself
            stands in for its neighbours.
        """
        return prepare_each(ct, self.preprocess, neighbours)

    def probabilities(self, *pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities.

        Parameters
        ----------
        *pixels
            For each of `preprocess` (one, unless the members of an ensemble differ) uint8
            ``(N, C, S, S)`` as `prepare` made them.

        Returns
        -------
        numpy.ndarray
            float32 ``(N, 6)`` in [0, 1], in the order of `LABELS`; of an ensemble as `combine`
            says. On the CPU each slice's row is the same to the bit whatever stands beside it.

        Raises
        ------
        ValueError
            If the number of arrays or their shape is not as `preprocess` says.
        """
        for array, config in zip(pixels, self.preprocess, strict=True):
            if array.shape[1:] != (config.channels, config.size, config.size):
                raise ValueError(f"(N, {config.channels}, {config.size}, {config.size}) expected")
        return self.combine(self._each(pixels)).astype(np.float32)

    def _each(self, pixels: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
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
            config.calibration.apply(of_member)
            for of_member, config in zip(logits, self.bundle.member_configs, strict=True)
        ]
        return cast("NDArray[np.float64]", np.mean(each, axis=0))

    def predict(self, *sources: str | Path | BinaryIO | Dataset) -> list[SlicePrediction]:
        """Predict all slices of files, folders and zips, or of DICOM in memory.

        Parameters
        ----------
        *sources
            Paths; or, not mixed with them, open binary streams and pydicom data sets of one
            instance each.

        Returns
        -------
        list of SlicePrediction
            For paths, one per slice, in anatomical order inside a series; then one per refused
            file, with the reason. For streams and data sets, one each, in the given order.
        """
        paths = [Path(source) for source in sources if isinstance(source, str | Path)]
        if not paths and sources:
            return predict_sources(self, cast("Sequence[BinaryIO | Dataset]", sources))
        if len(paths) < len(sources):
            raise UsageError("predict takes either paths, or streams and data sets")
        return list(self.stream(series.scan(paths).rows))

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

    def stream(
        self,
        entries: Sequence[Entry],
        *,
        start: int = 0,
        workers: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        thresholds: Mapping[str, float] | None = None,
    ) -> Iterator[SlicePrediction]:
        """Answer entry by entry, in their order.

        Files are read and made ready in threads ahead of the model, at most a few batches, so
        memory does not grow with the number of entries. A file that fails costs its own row.

        Parameters
        ----------
        entries
            As `series.scan` gave them.
        start
            The first one to answer; those before it are known only as neighbours.
        workers
            Threads that read; 0 for none beside the caller's; None for what suits the machine.
        limits
            Bounds on what is read.
        thresholds
            In place of `self.thresholds`.
        """
        limen = dict(self.thresholds if thresholds is None else thresholds)
        first = series_start(entries, start) if self.bundle.sequence else start
        rows = self._slices(entries, first, workers, limits)
        if self.bundle.sequence:
            rows = islice(by_series(entries[first:], rows, self._sequence), start - first, None)
        for row, values in rows:
            yield row if values is None else answer(row, values, limen)

    def _slices(
        self, entries: Sequence[Entry], start: int, workers: int | None, limits: Limits
    ) -> Iterator[Answered]:
        """Yield each entry's row with its probabilities, or with its logits for a second stage."""
        threads = min(os.cpu_count() or 1, _WORKERS) if workers is None else workers
        reader = Reader(self.prepare, self.preprocess, entries, limits, kept=2 * threads + 2)
        ahead = self.batch_size + 2 * threads
        waiting: list[Read] = []
        full = 0
        for read in prefetch(reader, range(start, len(entries)), workers=threads, ahead=ahead):
            waiting.append(read)
            full += bool(read.pixels)
            if full in (0, self.batch_size) or len(waiting) >= 16 * self.batch_size:
                yield from self._answer(waiting)
                waiting, full = [], 0
        yield from self._answer(waiting)

    def read(
        self, entries: Sequence[Entry], index: int, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[CTSlice, Neighbours]:
        """Read one entry and those of its neighbours that the models look at, for `prepare`.

        Raises
        ------
        InputError
            If it cannot be used.
        """
        entry = entries[index]
        if isinstance(entry, InputError):
            raise entry
        reader = Reader(self.prepare, self.preprocess, entries, limits, kept=1)
        return series.load(entry, limits), reader.around(index)

    def _answer(self, reads: Sequence[Read]) -> Iterator[Answered]:
        ready = [read.pixels for read in reads if read.pixels]
        model = self.slice_logits if self.bundle.sequence else self.probabilities
        rows = iter(model(*map(np.stack, zip(*ready, strict=True))) if ready else ())
        for read in reads:
            yield read.row, next(rows) if read.pixels else None

    def slice_logits(self, *pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the logits ``(N, 6)`` that the second stage takes, of the same as `probabilities`.

        Before calibration; of an ensemble the mean of its members' logits.
        """
        return cast("NDArray[np.float64]", np.mean(self._each(pixels), axis=0))

    def sequence_probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated probabilities ``(T, 6)`` of a whole series by the second stage.

        Parameters
        ----------
        logits
            ``(T, 6)`` of `slice_logits`, in anatomical order. One slice alone, and any series of a
            bundle without second stage, is answered by the slice model.
        """
        stage, config = self.bundle.sequence, self.bundle.config
        if stage is None or config.sequence is None or len(logits) == 1:
            return config.calibration.apply(logits)
        return config.sequence.calibration.apply(stage.apply_to(logits))

    def _sequence(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.sequence_probabilities(logits).astype(np.float32)


def answer(
    row: SlicePrediction, probabilities: NDArray[Any], thresholds: Mapping[str, float]
) -> SlicePrediction:
    """Return a slice's row with its six probabilities and the labels that reach `thresholds`."""
    six = cast("Probabilities", tuple(float(p) for p in probabilities))
    return replace(row, probabilities=six, positive=over_thresholds(six, thresholds))
