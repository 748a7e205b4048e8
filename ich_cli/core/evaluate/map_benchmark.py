"""How good maps are over a data set with masks: pointing game, mass inside, faithfulness."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.bundle import BundleConfig, LoadedBundle, load_bundle
from ich_cli.core.data import Mask, MaskedData, MaskedSlice
from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.bootstrap import draw_sums, percentiles
from ich_cli.core.evaluate.localization import chance, mass_inside, pointing_game
from ich_cli.core.explain import Probe, explain
from ich_cli.core.labels import ANY, LABELS, SUBTYPES
from ich_cli.core.model import resolve_device
from ich_cli.core.predict import Predictor
from ich_cli.core.system import sum_of_sums, write_csv

CENTRE: Final = "centre"
"""A map that knows nothing: a spot in the middle of the head, to compare with."""
GROUPS: Final = ("any", "subtypes", *SUBTYPES)
"""What a row of the table is about; ``subtypes`` are the maps of all five together."""

_DRAWS: Final = 1000


@dataclass(frozen=True, slots=True)
class MapScore:
    """One map of one slice, for a label that is there."""

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
    """Of the probability, with the hottest tenth of the head replaced; 0 of an empty map."""
    drop_random: float
    """The mean with random tenths."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: the means of one method over the maps of a group of labels."""

    method: str
    label: str
    """One of `GROUPS`."""
    maps: int
    patients: int
    empty: int
    """Maps without any value: misses that cost no probability."""
    pointing: float
    pointing_low: float
    """Of the 95 % interval, bootstrap over patients."""
    pointing_high: float
    mass: float
    chance: float
    """The mask's share of the head: what a map that knows nothing gets of both."""
    probability: float
    drop: float
    drop_random: float
    better: float
    """Share of the maps whose hottest region costs more than the random ones."""


def score(
    predictor: Predictor,
    data: MaskedData,
    methods: Sequence[str],
    *,
    seed: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] = lambda _: None,
) -> list[MapScore]:
    """Score the maps of each label that is there, on each slice, by each method and by `CENTRE`.

    Parameters
    ----------
    predictor
        Single model or ensemble.
    data
        As `open_masked` found it.
    methods
        Of `methods_of` the predictor.
    seed
        Of the random regions, the same for all methods.
    limits
        Bounds on the files.
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


def table(scores: Sequence[MapScore], seed: int = 0) -> list[Row]:
    """Return the means, by method in the order of the scores and by `GROUPS`."""
    methods = dict.fromkeys(one.method for one in scores)
    return [
        _row(method, group, those, seed)
        for group in GROUPS
        for method in methods
        if (those := [s for s in scores if s.method == method and _is_in(s.label, group)])
    ]


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the table as CSV, whole or not at all, numbers with 4 decimals."""
    names = [one.name for one in fields(Row)]
    lines = [[f"{v:.4f}" if isinstance(v, float) else v for v in astuple(row)] for row in rows]
    write_csv(path, names, lines)


def folds_of(runs: Sequence[Path]) -> list[tuple[tuple[Path, ...], frozenset[str]]]:
    """Return each fold's bundles, one a run, and the names of the slices that they never saw.

    Parameters
    ----------
    runs
        Folders of `ich train`, with ``fold-0``, ``fold-1`` …

    Raises
    ------
    DataError
        If there is no finished fold, or the runs have other folds.
    """
    first, *others = (_folds(run) for run in runs)
    for run, other in zip(runs[1:], others, strict=True):
        if {k: fold[1] for k, fold in first.items()} != {k: fold[1] for k, fold in other.items()}:
            raise DataError(f"{run} has other folds than {runs[0]}, or not as many are finished")
    return [
        (tuple(found[k][0] for found in (first, *others)), names) for k, (_, names) in first.items()
    ]


def _folds(run: Path) -> dict[str, tuple[Path, frozenset[str]]]:
    found = {}
    for path in sorted(run.glob("fold-*/predictions.csv")):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                names = frozenset(row["name"] for row in csv.DictReader(file))
        except (OSError, KeyError, ValueError):
            raise DataError(f"{path}: not the predictions of a fold") from None
        found[path.parent.name] = (path.parent / "bundle", names)
    if not found:
        raise DataError(f"{run}: no finished fold; give the folder that `ich train --out` wrote")
    return found


def load_together(bundles: Sequence[Path], device: str) -> Predictor:
    """Return one predictor of single models, each as it is; of several, their ensemble.

    Raises
    ------
    BundleError
        If one cannot be loaded.
    """
    if len(bundles) == 1:
        return Predictor.load(bundles[0], device=device)
    loaded = [load_bundle(folder) for folder in bundles]
    configs = tuple(one.config for one in loaded)
    config = BundleConfig(
        "ensemble", configs[0].training, configs[0].preprocess,
        sha256=sum_of_sums([one.sha256 for one in configs]), members=tuple(map(str, bundles)),
    )  # fmt: skip
    models = tuple(one.models[0] for one in loaded)
    return Predictor(
        LoadedBundle(config, models, configs, "", bundles[0]), str(resolve_device(device))
    )


def trained_on(predictor: Predictor) -> dict[str, Any]:
    """Return what must be told beside figures: the bundle, its data and its split."""
    config = predictor.bundle.config
    return {
        "bundle": config.sha256[:12] or "without a checksum",
        "trained_on": config.training.get("data", ""),
        "split": config.training.get("split", ""),
    }


def _score_maps(
    probe: Probe, one: MaskedSlice, method: str, maps: dict[str, NDArray[np.float32]]
) -> list[MapScore]:
    measured = probe.measure(maps)
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
            drop=measured[label].drop if label in measured else 0.0,
            drop_random=float((probe.before - probe.elsewhere)[LABELS.index(label)]),
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


def _row(method: str, group: str, scores: Sequence[MapScore], seed: int) -> Row:
    def mean(name: str) -> float:
        return float(np.mean([getattr(one, name) for one in scores]))

    low, high = _interval(scores, seed)
    return Row(
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
