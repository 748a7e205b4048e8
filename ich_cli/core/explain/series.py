"""Explain slices: a single one, or those of a series with the highest probability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.explain.maps import AUTO, Explanation, explain
from ich_cli.core.explain.perturbation import Faithfulness, faithfulness
from ich_cli.core.imaging import BRAIN, OPACITY, Style, Window
from ich_cli.core.labels import ANY, LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.series import Series, load
from ich_cli.core.study import SeriesPrediction, SlicePrediction
from ich_cli.core.viz import ContactSheet, Panel, Thumbnail, spread, thumbnail


@dataclass(frozen=True)
class ExplainOptions:
    """Labels and method of explanations; the same for all slices of a run."""

    labels: tuple[str, ...] = ()
    """Without labels: for a slice those over their thresholds, else the one with the highest
    probability; for a series `any`."""
    method: str = AUTO
    seed: int = 0
    """Seed of the random regions for the faithfulness."""
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True)
class RenderOptions:
    """Windows and overlay style of pictures."""

    windows: tuple[Window, ...] = (BRAIN,)
    style: Style = "heat"
    opacity: float = OPACITY


@dataclass(frozen=True, eq=False)
class Explained:
    """Explanation of a slice with the faithfulness of its maps."""

    explanation: Explanation
    faithfulness: dict[str, Faithfulness] = field(default_factory=dict)
    """Label → faithfulness of its map; without labels whose map is empty."""

    def panel(self, predictor: Predictor, render: RenderOptions) -> Panel:
        """Return the content of a picture of the slice."""
        found = self.explanation
        return Panel(
            found.ct, found.maps, found.probabilities, predictor.thresholds, found.method,
            predictor.caveat, render.windows, render.style, render.opacity, self.faithfulness,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ExplainedSeries:
    """Predictions for a series, and explanations of the slices with the highest probability."""

    rows: Sequence[SlicePrediction]
    """One for each slice of the series."""
    worst: Sequence[tuple[int, Explained]]
    """Index of the slice and its explanation, by falling probability."""
    thumbnails: Sequence[Thumbnail]
    ranked_by: str
    """Label whose probability ranks the slices."""

    def sheet(self, predictor: Predictor, render: RenderOptions) -> ContactSheet:
        """Return the content of a picture of the series."""
        worst = [(index, one.panel(predictor, render)) for index, one in self.worst]
        six = [row.probabilities for row in self.rows]
        return ContactSheet(six, worst, self.thumbnails, self.ranked_by)


def explain_slice(
    predictor: Predictor, series: Series, index: int, options: ExplainOptions
) -> Explained:
    """Read a slice of a series, explain it, and measure the faithfulness of its maps.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    ct, around = predictor.read(series, index, options.limits)
    found = explain(predictor, ct, options.labels, method=options.method, neighbours=around)
    return Explained(found, faithfulness(predictor, found, around, seed=options.seed))


def explain_series(
    predictor: Predictor,
    prediction: SeriesPrediction,
    options: ExplainOptions,
    *,
    count: int = 3,
    window: Window = BRAIN,
) -> ExplainedSeries:
    """Explain the slices of a series with the highest probability.

    Parameters
    ----------
    predictor
        Single model or ensemble.
    prediction
        Its prediction for the series; at least one slice has probabilities.
    options
        The first of several labels ranks the slices; `any` without labels.
    count
        Maximum number of slices to explain.
    window
        Window of the thumbnails.
    """
    series = prediction.series
    rows = prediction.slices[: len(series)]
    labels = options.labels or (LABELS[ANY],)
    chosen = replace(options, labels=labels)
    worst = [
        (index, _with_row(explain_slice(predictor, series, index, chosen), rows[index]))
        for index in top_slices(rows, labels[0], count)
    ]
    small = [
        thumbnail(load(series.slices[index], options.limits), index, window)
        for index in spread(len(series))
        if rows[index].probabilities
    ]
    return ExplainedSeries(rows, worst, small, labels[0])


def _with_row(explained: Explained, row: SlicePrediction) -> Explained:
    """Take the probabilities of a row: a sequence stage uses the series, maps only the slice."""
    if row.probabilities is None:
        return explained
    found = replace(explained.explanation, probabilities=row.probabilities, positive=row.positive)
    return replace(explained, explanation=found)


def top_slices(
    rows: Sequence[SlicePrediction], label: str = LABELS[ANY], count: int = 3
) -> list[int]:
    """Return the indices of the slices with the highest probability, in falling order.

    Neighbours look nearly the same: no two are returned unless only neighbours are left.
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


def by_urgency(predictions: Iterable[SeriesPrediction]) -> list[SeriesPrediction]:
    """Sort series by their highest probability of `any`; leave out those without a prediction."""
    found = [one for one in predictions if any(row.probabilities for row in one.slices)]
    return sorted(found, key=lambda one: -_highest(one.slices))


def _highest(rows: Sequence[SlicePrediction]) -> float:
    return max(row.probabilities[ANY] for row in rows if row.probabilities)
