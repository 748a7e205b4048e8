"""A bundle on a prepared data set, through the predictor that `ich predict` uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import PreparedDataset
from ich_cli.core.errors import DataError
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor


def score(
    predictor: Predictor, data: PreparedDataset, advance: Callable[[int], None] = lambda n: None
) -> NDArray[np.float64]:
    """Return calibrated probabilities ``(N, 6)`` of all slices of a data set.

    Parameters
    ----------
    predictor
        A loaded bundle.
    data
        Prepared as the bundle asks for.
    advance
        Told the number of slices after each batch.

    Raises
    ------
    DataError
        If the data was prepared in another way than the bundle's input.
    """
    if predictor.bundle.sequence is None:
        return _each(
            predictor, data, advance,
            lambda pixels: predictor.probabilities(*[pixels] * len(predictor.preprocess)),
        )  # fmt: skip
    out = _each(
        predictor, data, advance,
        lambda pixels: predictor.slice_logits(*[pixels] * len(predictor.preprocess)),
    )  # fmt: skip
    for rows in data.series_rows():
        out[rows] = predictor.sequence_probabilities(out[rows])
    return out


def score_logits(
    predictor: Predictor, data: PreparedDataset, advance: Callable[[int], None] = lambda n: None
) -> NDArray[np.float64]:
    """Return the logits ``(N, 6)`` of a single model, before its calibration; see `score`."""
    return _each(predictor, data, advance, predictor.slice_logits)


def _each(
    predictor: Predictor,
    data: PreparedDataset,
    advance: Callable[[int], None],
    answer: Callable[[NDArray[np.uint8]], NDArray[Any]],
) -> NDArray[np.float64]:
    check_prepared(predictor, data)
    out = np.empty((len(data), len(LABELS)))
    for start in range(0, len(data), predictor.batch_size):
        pixels = np.array(data.pixels[start : start + predictor.batch_size])  # out of the map
        out[start : start + len(pixels)] = answer(pixels)
        advance(len(pixels))
    return out


def check_prepared(predictor: Predictor, data: PreparedDataset) -> None:
    """Refuse data that was prepared in another way than the bundle's input.

    Raises
    ------
    DataError
        Names the bundle and what differs.
    """
    for wanted in predictor.preprocess:
        for what in ("preset", "size", "windows", "context"):
            a, b = getattr(wanted, what), getattr(data.preprocess, what)
            if a != b:
                raise DataError(
                    f"{predictor.bundle.path.resolve().name} takes {what} {a}, {data.name} has "
                    f"{b}; prepare it so"
                )


def has_learned_from(predictor: Predictor, data: PreparedDataset) -> bool:
    """Say whether a bundle's training names this very data set."""
    configs = (predictor.bundle.config, *predictor.bundle.member_configs)
    return any(data.sha256 in config.training.get("data_sha256", ()) for config in configs)
