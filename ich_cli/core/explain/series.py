"""Explain one slice, or the slices of a series with the highest probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ich_cli.core import series
from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.errors import InputError
from ich_cli.core.explain.maps import AUTO, Explanation, explain
from ich_cli.core.explain.perturbation import Faithfulness, faithfulness
from ich_cli.core.imaging import BRAIN, OPACITY, Style, Window
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Entry
from ich_cli.core.study import SlicePrediction
from ich_cli.core.viz import ContactSheet, Panel, Thumbnail, spread, thumbnail


@dataclass(frozen=True)
class ExplainOptions:
    """Options of explaining, the same for all slices of a run."""

    labels: tuple[str, ...] = ()
    """If empty: of a slice the positive labels or the most likely one, of a series `any`."""
    method: str = AUTO
    seed: int = 0
    """Seed of the random regions for faithfulness."""
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True)
class RenderOptions:
    """Options of drawing an image."""

    windows: tuple[Window, ...] = (BRAIN,)
    style: Style = "heat"
    opacity: float = OPACITY


@dataclass(frozen=True, eq=False)
class Explained:
    """Explanation of a slice with the faithfulness of its maps."""

    explanation: Explanation
    faithfulness: dict[str, Faithfulness] = field(default_factory=dict)
    """Label → faithfulness, without labels with an empty map."""

    def panel(self, predictor: Predictor, render: RenderOptions) -> Panel:
        """Return the content of the image."""
        found = self.explanation
        return Panel(
            found.ct, found.maps, found.probabilities, predictor.thresholds, found.method,
            predictor.caveat, render.windows, render.style, render.opacity, self.faithfulness,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ExplainedSeries:
    """Predictions of a series, with explanations of its top slices."""

    rows: Sequence[SlicePrediction]
    worst: Sequence[tuple[int, Explained]]
    """Index of the row, and explanation; highest probability first."""
    thumbnails: Sequence[Thumbnail]
    ranked_by: str

    def sheet(self, predictor: Predictor, render: RenderOptions) -> ContactSheet:
        """Return the content of the page."""
        worst = [(index, one.panel(predictor, render)) for index, one in self.worst]
        six = [row.probabilities for row in self.rows]
        return ContactSheet(six, worst, self.thumbnails, self.ranked_by)


def explain_entry(
    predictor: Predictor, entries: Sequence[Entry], index: int, options: ExplainOptions
) -> Explained:
    """Read one of the entries, explain it, and measure how faithful its maps are.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    ct, around = predictor.read(entries, index, options.limits)
    found = explain(predictor, ct, options.labels, method=options.method, neighbours=around)
    return Explained(found, faithfulness(predictor, found, around, seed=options.seed))


def explain_series(
    predictor: Predictor,
    entries: Sequence[Entry],
    rows: Sequence[SlicePrediction],
    options: ExplainOptions,
    *,
    count: int = 3,
    window: Window = BRAIN,
) -> ExplainedSeries:
    """Explain the slices of one series with the highest probability.

    Parameters
    ----------
    predictor
        Single model or ensemble.
    entries
        Those of the series, in anatomical order.
    rows
        The predictor's answers for them; at least one has probabilities.
    options
        The first label ranks the slices; without labels `any` does.
    count
        Largest number of slices to explain.
    window
        Window of the thumbnails.
    """
    labels = options.labels or (LABELS[ANY],)
    chosen = ExplainOptions(labels, options.method, options.seed, options.limits)
    worst = [
        (index, _answered(explain_entry(predictor, entries, index, chosen), rows[index]))
        for index in top_slices(rows, labels[0], count)
    ]
    small = _thumbnails(entries, rows, options.limits, window)
    return ExplainedSeries(rows, worst, small, labels[0])


def _answered(explained: Explained, row: SlicePrediction) -> Explained:
    """Show the row's answer: a second stage has looked at the series, the maps at the slice."""
    if row.probabilities is None:
        return explained
    found = replace(explained.explanation, probabilities=row.probabilities, positive=row.positive)
    return replace(explained, explanation=found)


def top_slices(
    rows: Sequence[SlicePrediction], label: str = LABELS[ANY], count: int = 3
) -> list[int]:
    """Return the indices of the slices with the highest probability, the highest first.

    Neighbours, which are nearly the same, are left out unless only neighbours are left.
    """
    at = LABELS.index(label)
    ranked = sorted(
        ((-row.probabilities[at], index) for index, row in enumerate(rows) if row.probabilities)
    )
    apart: list[int] = []
    for _, index in ranked:
        if all(abs(index - other) > 1 for other in apart):
            apart.append(index)
    rest = [index for _, index in ranked if index not in apart]
    return [*apart, *rest][:count]


def by_series(
    entries: Sequence[Entry], rows: Sequence[SlicePrediction]
) -> list[tuple[list[Entry], list[SlicePrediction]]]:
    """Gather entries and their answers into series, the one with the highest `any` first.

    Files that are no slice, and series without any answer, are left out.
    """
    found: dict[str, tuple[list[Entry], list[SlicePrediction]]] = {}
    for entry, row in zip(entries, rows, strict=True):
        if isinstance(entry, InputError):
            continue
        of_series = found.setdefault(entry.series, ([], []))
        of_series[0].append(entry)
        of_series[1].append(row)
    answered = [one for one in found.values() if any(row.probabilities for row in one[1])]
    return sorted(answered, key=lambda one: -_highest(one[1]))


def _highest(rows: Sequence[SlicePrediction]) -> float:
    return max(row.probabilities[ANY] for row in rows if row.probabilities)


def _thumbnails(
    entries: Sequence[Entry], rows: Sequence[SlicePrediction], limits: Limits, window: Window
) -> list[Thumbnail]:
    out = []
    for index in spread(len(entries)):
        entry = entries[index]
        if rows[index].probabilities and not isinstance(entry, InputError):
            out.append(thumbnail(series.load(entry, limits), index, window))
    return out
