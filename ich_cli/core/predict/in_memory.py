"""Predictions for slices in memory: arrays in HU, streams and pydicom data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ich_cli.core.dicom import CTSlice, Geometry, SliceId
from ich_cli.core.errors import InputError
from ich_cli.core.series import read
from ich_cli.core.study import SlicePrediction, measure

if TYPE_CHECKING:
    from pydicom import Dataset

    from ich_cli.core.predict.predictor import Predictor

SINGLE_SLICE: Final = "one slice of its series: predicted without the sequence stage"


def slices_from_hu(
    volume: ArrayLike, spacing: tuple[float, float, float] | None = None
) -> list[CTSlice]:
    """Return the axial slices of a volume in HU.

    Parameters
    ----------
    volume
        ``(N, H, W)`` or ``(H, W)`` in HU, finite: slices from feet to head, rows from front to
        back, columns from the patient's right to left.
    spacing
        Distance between slices, rows and columns in mm; None where unknown.

    Raises
    ------
    ValueError
        If the shape is another, or a value is not finite.
    """
    hu = np.asarray(volume, np.float32)
    hu = hu[None] if hu.ndim == 2 else hu
    if hu.ndim != 3 or not hu.size or not np.isfinite(hu).all():
        raise ValueError(f"finite HU of shape (N, H, W) or (H, W) expected, not {hu.shape}")
    return [
        CTSlice(
            np.ascontiguousarray(plane),
            SliceId("<array>", index),
            Geometry(
                (0.0, 0.0, index * spacing[0]) if spacing else None,
                (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), spacing[1:] if spacing else None,
                spacing[0] if spacing else None,
            ),
        )
        for index, plane in enumerate(hu, 1)
    ]  # fmt: skip


def predict_slices(
    predictor: Predictor,
    slices: Sequence[CTSlice],
    thresholds: Mapping[str, float] | None = None,
) -> list[SlicePrediction]:
    """Predict the slices of one series.

    Parameters
    ----------
    predictor
        Loaded bundle.
    slices
        All slices of the series in anatomical order, from feet to head.
    thresholds
        Label → probability; by default those of the predictor.
    """
    sequence = predictor.bundle.sequence is not None
    model = predictor.slice_logits if sequence else predictor.probabilities
    size, batches = predictor.batch_size, []
    for start in range(0, len(slices), size):
        indices = range(start, min(start + size, len(slices)))
        prepared = [_prepare(predictor, slices, index) for index in indices]
        batches.append(model(*map(np.stack, zip(*prepared, strict=True))))
    values: NDArray[Any] = np.concatenate(batches) if batches else np.empty((0, 6), np.float32)
    if sequence and len(values):
        along = [ct.geometry.along_normal() for ct in slices]
        values = predictor.sequence_probabilities(values, along).astype(np.float32)
    cut = predictor.thresholds if thresholds is None else thresholds
    remark = SINGLE_SLICE if sequence and len(slices) == 1 else ""
    return [_prediction(ct, six, cut, remark) for ct, six in zip(slices, values, strict=True)]


def predict_sources(
    predictor: Predictor, sources: Sequence[BinaryIO | Dataset]
) -> list[SlicePrediction]:
    """Predict streams and data sets of one DICOM instance each, in their order.

    Slices of the same patient, study and series are predicted together, in anatomical order. A
    source that cannot be used has a prediction without probabilities, with the reason.
    """
    rows: dict[int, SlicePrediction] = {}
    series: dict[tuple[str, ...], list[tuple[int, CTSlice]]] = {}
    for index, source in enumerate(sources):
        try:
            ct = read(source)
        except InputError as error:
            rows[index] = SlicePrediction.from_error(error)
            continue
        key = (ct.patient, ct.id.study_uid, ct.id.series_uid or f"source {index}")
        series.setdefault(key, []).append((index, ct))
    for members in series.values():
        members.sort(key=lambda member: _position(member[1]))
        found = predict_slices(predictor, [ct for _, ct in members])
        rows.update(zip((index for index, _ in members), found, strict=True))
    return [rows[index] for index in range(len(sources))]


def _position(ct: CTSlice) -> tuple[float, int]:
    along = ct.geometry.along_normal()
    return (0.0 if along is None else along, ct.id.instance or 0)


def _prepare(
    predictor: Predictor, slices: Sequence[CTSlice], index: int
) -> list[NDArray[np.uint8]]:
    """Return the model inputs of a slice, one for each of the predictor's settings."""

    def around(context: int) -> list[CTSlice | None]:
        places = [index + step for step in range(-context, context + 1) if step]
        return [slices[at] if 0 <= at < len(slices) else None for at in places]

    contexts = {config.context for config in predictor.preprocess} - {0}
    neighbours = {context: around(context) for context in contexts}
    return [one.pixels for one in predictor.prepare(slices[index], neighbours)]


def _prediction(
    ct: CTSlice, values: NDArray[Any], thresholds: Mapping[str, float], remark: str
) -> SlicePrediction:
    note = "; ".join(filter(None, (*ct.notes, remark)))
    row = SlicePrediction(ct.id, status=ct.status, note=note, facts=measure(ct))
    return row.with_probabilities(values, thresholds)
