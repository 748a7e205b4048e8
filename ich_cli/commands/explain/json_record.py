"""JSON records of ``ich explain``, and the reason for the labels that a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ich_cli.core.labels import LABELS, RESEARCH_ONLY

if TYPE_CHECKING:
    from ich_cli.core.explain import Explained, ExplainedSeries
    from ich_cli.core.predict import Predictor


def why(found: Explained, chosen: bool) -> str:
    """Return the labels that are shown, with their probabilities and the reason."""
    explanation = found.explanation
    names = ", ".join(
        f"{label} {explanation.probabilities[LABELS.index(label)]:.2f}"
        for label in explanation.maps
    )
    if chosen:
        return f"{names} (requested)"
    if explanation.positive:
        return f"{names} (at or over the threshold)"
    return f"{names} (none reaches its threshold: the most likely one)"


def record(path: Path, found: Explained, predictor: Predictor, *, chosen: bool) -> dict[str, Any]:
    """Return the record of a slice as plain JSON types."""
    explanation = found.explanation
    ct = explanation.ct
    return {
        **ct.id._asdict(),
        "picture": str(path),
        "probabilities": _six(explanation.probabilities),
        "positive": list(explanation.positive),
        "labels": list(explanation.maps),
        "reason": why(found, chosen),
        "peaks": {label: list(place) for label, place in explanation.peaks().items()},
        "faithfulness": {label: one.to_dict() for label, one in found.faithfulness.items()},
        "method": explanation.method,
        "status": ct.status,
        "note": "; ".join(ct.notes),
        "caveat": predictor.caveat,
        "use": RESEARCH_ONLY,
    }


def series_record(
    path: Path, one: ExplainedSeries, predictor: Predictor, *, chosen: bool
) -> dict[str, Any]:
    """Return the record of a series: its top slice, all explained slices, and all slices."""
    worst = [
        {"slice": index + 1, **record(path, found, predictor, chosen=chosen)}
        for index, found in one.worst
    ]
    slices = [
        {**row.id._asdict(), "probabilities": _six(row.probabilities), "status": row.status,
         "note": row.note}
        for row in one.rows
    ]  # fmt: skip
    return {**worst[0], "worst": worst, "slices": slices}


def _six(probabilities: Sequence[float] | None) -> dict[str, float] | None:
    if probabilities is None:
        return None
    return {label: round(p, 6) for label, p in zip(LABELS, probabilities, strict=True)}
