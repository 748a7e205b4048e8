"""Benchmark of heat maps on data with masks: pointing game, mass inside, faithfulness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data import Mask, MaskedData, MaskedSlice
from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.evaluate.bootstrap import draw_sums, percentiles
from ich_cli.core.explain import Probe, explain
from ich_cli.core.labels import ANY, LABELS, SUBTYPES
from ich_cli.core.predict import Predictor
from ich_cli.core.system import write_csv

CENTRE: Final = "centre"
"""Baseline method: the same spot in the middle of every head."""
GROUPS: Final = ("any", "subtypes", *SUBTYPES)
"""Groups of maps that are summarized; ``subtypes`` are the maps of all five together."""

_DRAWS: Final = 1000
_TIE: Final = 1e-6  # share of the peak within which values count as equal


@dataclass(frozen=True, slots=True)
class MapScore:
    """Metrics of one map of one slice, for a label that the slice has."""

    name: str
    patient: str = field(repr=False)
    method: str
    label: str
    empty: bool
    pointing: float
    mass: float
    chance: float
    probability: float
    drop: float
    """Drop of the probability when the hottest tenth of the head is replaced; 0 of an empty map."""
    drop_random: float
    """Mean drop when random tenths are replaced."""


@dataclass(frozen=True, slots=True)
class MapSummary:
    """Means of one method over the maps of a group of labels: a row of the table."""

    method: str
    label: str
    """One of `GROUPS`."""
    maps: int
    patients: int
    empty: int
    """Number of maps that are zero everywhere: misses with no drop."""
    pointing: float
    pointing_low: float
    """Lower end of the 95 % interval, bootstrap over patients."""
    pointing_high: float
    mass: float
    chance: float
    """Share of the head that is in the mask: pointing and mass expected of a random map."""
    probability: float
    drop: float
    drop_random: float
    better: float
    """Share of the maps whose hottest region has a larger drop than the random ones."""


def score_maps(
    predictor: Predictor,
    data: MaskedData,
    methods: Sequence[str],
    *,
    seed: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] = lambda _: None,
) -> list[MapScore]:
    """Score the map of each label that a slice has, for each slice and method, and for `CENTRE`.

    Parameters
    ----------
    predictor
        Single model or ensemble.
    data
        Result of `open_masked`.
    methods
        Methods of `methods_of`.
    seed
        Seed of the random regions, which are the same for all methods.
    limits
        Limits on the files.
    progress
        Called with 1 after each slice.
    """
    contexts = {one.context for one in predictor.preprocess}
    scores: list[MapScore] = []
    for one in data.read(contexts, limits):
        probe = Probe(predictor, one.ct, one.around, seed=seed)
        for method in methods:
            found = explain(predictor, one.ct, tuple(one.masks), method=method,
                            neighbours=one.around)  # fmt: skip
            scores += _score_maps(probe, one, method, found.maps)
        middle = _centre(probe.head)
        scores += _score_maps(probe, one, CENTRE, dict.fromkeys(one.masks, middle))
        progress(1)
    return scores


def summarize_scores(scores: Sequence[MapScore], seed: int = 0) -> list[MapSummary]:
    """Return the means of each group and method, methods in the order of the scores."""
    methods = dict.fromkeys(one.method for one in scores)
    return [
        _row(method, group, those, seed)
        for group in GROUPS
        for method in methods
        if (those := [s for s in scores if s.method == method and _is_in(s.label, group)])
    ]


def write_map_summaries(path: Path, rows: Iterable[MapSummary]) -> None:
    """Write a CSV table atomically, numbers with 4 decimals."""
    names = [one.name for one in fields(MapSummary)]
    lines = [[f"{v:.4f}" if isinstance(v, float) else v for v in astuple(row)] for row in rows]
    write_csv(path, names, lines)


def _score_maps(
    probe: Probe, one: MaskedSlice, method: str, maps: dict[str, NDArray[np.float32]]
) -> list[MapScore]:
    found = probe.measure(maps)
    return [
        MapScore(
            name=one.name,
            patient=one.patient,
            method=method,
            label=label,
            empty=not values.any(),
            pointing=pointing_game(values, one.masks[label]),
            mass=mass_inside(values, one.masks[label]),
            chance=chance(one.masks[label], probe.head),
            probability=float(probe.before[LABELS.index(label)]),
            drop=found[label].drop if label in found else 0.0,
            drop_random=float((probe.before - probe.random_region)[LABELS.index(label)]),
        )
        for label, values in maps.items()
    ]


def _centre(head: Mask) -> NDArray[np.float32]:
    """Return a Gaussian spot in the middle of the head, as wide as a sixth of it."""
    if not head.any():
        return np.zeros(head.shape, np.float32)
    rows, columns = np.nonzero(head)
    y, x = rows.mean(), columns.mean()
    width = np.sqrt(head.sum()) / 6
    down, across = np.ogrid[: head.shape[0], : head.shape[1]]
    spot = np.exp(-((down - y) ** 2 + (across - x) ** 2) / (2 * width**2))
    return np.asarray(spot, np.float32)


def _is_in(label: str, group: str) -> bool:
    return label == group or (group == "subtypes" and label != LABELS[ANY])


def _row(method: str, group: str, scores: Sequence[MapScore], seed: int) -> MapSummary:
    def mean(name: str) -> float:
        return float(np.mean([getattr(one, name) for one in scores]))

    low, high = _interval(scores, seed)
    return MapSummary(
        method=method,
        label=group,
        maps=len(scores),
        patients=len({one.patient for one in scores}),
        empty=sum(one.empty for one in scores),
        pointing=mean("pointing"),
        pointing_low=low,
        pointing_high=high,
        mass=mean("mass"),
        chance=mean("chance"),
        probability=mean("probability"),
        drop=mean("drop"),
        drop_random=mean("drop_random"),
        better=float(np.mean([one.drop > one.drop_random for one in scores])),
    )


def _interval(scores: Sequence[MapScore], seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the pointing game, by bootstrap over patients."""
    _, member = np.unique([one.patient for one in scores], return_inverse=True)
    hits = np.bincount(member, [one.pointing for one in scores])
    drawn = draw_sums(np.stack([hits, np.bincount(member)], 1), _DRAWS, seed)
    return percentiles({"pointing": drawn[:, 0] / drawn[:, 1]})["pointing"]


def pointing_game(values: NDArray[np.float32], mask: Mask) -> float:
    """Return 1 if a map's peak lies in the mask, else 0 (Zhang et al., arXiv 1608.00507).

    There is no tolerance; the paper allows 15 pixels.

    Parameters
    ----------
    values
        float32 ``(H, W)``, at least 0.
    mask
        bool ``(H, W)``.

    Returns
    -------
    float
        1 or 0; if several pixels share the peak, the share of them inside; 0 of an empty map.
    """
    _check(values, mask)
    peak = float(values.max())
    if peak <= 0:
        return 0.0
    return float(mask[values >= peak * (1 - _TIE)].mean())


def mass_inside(values: NDArray[np.float32], mask: Mask) -> float:
    """Return the share of a map's sum that lies in the mask (the "energy" of arXiv 1910.01279).

    Parameters
    ----------
    values
        float32 ``(H, W)``, at least 0.
    mask
        bool ``(H, W)``.

    Returns
    -------
    float
        In [0, 1]; 0 of an empty map.
    """
    _check(values, mask)
    total = float(values.sum(dtype=np.float64))
    return float(values[mask].sum(dtype=np.float64)) / total if total > 0 else 0.0


def chance(mask: Mask, head: Mask) -> float:
    """Return the share of the head in the mask: the mean of both metrics of a random map."""
    inside = int(head.sum())
    return float((mask & head).sum()) / inside if inside else 0.0


def _check(values: NDArray[np.float32], mask: Mask) -> None:
    if values.shape != mask.shape:
        raise ValueError(f"a map of {values.shape} against a mask of {mask.shape}")
