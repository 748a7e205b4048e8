"""Report of a study as a self-contained HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.errors import InputError
from ich_cli.core.explain import methods_of
from ich_cli.core.labels import ANY, LABELS, RESEARCH_ONLY, SHORT
from ich_cli.core.report.pictures import (
    MappedSlice,
    Png,
    explain_slice,
    mask_background,
    overlay_map,
    to_png,
)
from ich_cli.core.report.probability_lanes import Lane, lanes
from ich_cli.core.report.study_result import PredictedSlice, StudyResult, refusals
from ich_cli.core.series import shows_patient
from ich_cli.core.system import replacing
from ich_cli.core.viz import METHOD_NAMES, render_html

_PACKAGE: Final = "ich_cli.core.report"
MAX_IMAGES: Final = 4
"""Maximum number of slices shown as images."""
NAMES: Final = {"any": "any hemorrhage", **{label: label for label in LABELS[1:]}}


@dataclass(frozen=True)
class MapImage:
    """Image of a slice with the map of one label over it."""

    label: str
    probability: float
    threshold: float
    picture: Png
    empty: bool
    """True if the map is zero everywhere."""


@dataclass(frozen=True)
class SliceImages:
    """Images of a slice that the report highlights."""

    number: int
    probability: float
    """Probability of `any`."""
    plain: Png | None = None
    maps: tuple[MapImage, ...] = ()
    reason: str = ""
    """Reason for a missing image, else empty."""


def write_report(result: StudyResult, path: Path) -> None:
    """Write the report of a study atomically.

    Parameters
    ----------
    result
        Study from `study_results`.
    path
        HTML file; `StudyResult.name` is a file name without patient data.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    page = render_report(result)
    with replacing(path) as file:
        file.write(page.encode("utf-8"))


def write_worklist(results: Sequence[StudyResult], path: Path) -> None:
    """Write an HTML worklist: studies in the given order, each with a link to its report.

    Parameters
    ----------
    results
        Studies from `study_results`; at least one.
    path
        HTML file; the reports are in the same folder, named by `StudyResult.name`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    caveat = results[0].predictor.caveat
    page = render_html(
        "ich_cli.core.report",
        "worklist.html.j2",
        results=results,
        research_only=RESEARCH_ONLY,
        caveat=caveat,
    )
    with replacing(path) as file:
        file.write(page.encode("utf-8"))


def render_report(result: StudyResult) -> str:
    """Return the report as HTML.

    It contains study UID, series and instance numbers, the UIDs of the used series if others were
    not used, and no patient data or file names.
    """
    return render_html(_PACKAGE, "report.html.j2", **_context(result))


def choose_slices(result: StudyResult) -> dict[PredictedSlice, tuple[str, ...]]:
    """Choose the slices to highlight and the labels of their maps.

    These are the top slice for `any`, the top slice for each positive subtype, then slices over
    the threshold of `any` that are at least three slices apart from those.
    """
    if not result.slices:
        return {}
    p = _probabilities(result)
    wanted = ("any", *(label for label in result.study.positive if label != "any"))
    chosen: dict[int, tuple[str, ...]] = {}
    for label in wanted:
        index = int(np.argmax(p[:, LABELS.index(label)]))
        chosen[index] = (*chosen.get(index, ("any",)), label)
    for index in np.argsort(-p[:, ANY], kind="stable").tolist():
        apart = all(abs(index - other) > 2 for other in chosen)
        if apart and p[index, ANY] >= result.thresholds["any"]:
            chosen[index] = ("any",)
    some = list(chosen.items())[:MAX_IMAGES]
    return {result.slices[at]: tuple(dict.fromkeys(labels)) for at, labels in some}


def _probabilities(result: StudyResult) -> NDArray[np.float64]:
    """Return ``(N, 6)`` of the predicted slices."""
    return np.array([one.row.probabilities for one in result.slices])


def _context(result: StudyResult) -> dict[str, Any]:
    study, config = result.study, result.predictor.bundle.config
    return {
        "version": __version__,
        "research_only": RESEARCH_ONLY,
        "caveat": config.caveat,
        "study": study,
        "any": study.probabilities[ANY] if study.probabilities else None,
        "rule": result.rule,
        "names": NAMES,
        "labels": LABELS,
        "label_rows": _label_rows(result),
        "lanes": _lanes(result),
        "highlights": [_slice_images(result, *one) for one in choose_slices(result).items()],
        "slices": (slices := _slices(result)),
        "series": max((one["series"] for one in slices), default=0),
        "short": SHORT,
        "notes": _notes(result),
        "refused": refusals(result).most_common(),
        "bundle": _bundle(result),
        "method": METHOD_NAMES[methods_of(result.predictor)[0]],
    }


def _label_rows(result: StudyResult) -> list[dict[str, Any]]:
    """Return a row per label: study probability, top slice, and slices over the threshold."""
    if not result.study.probabilities:
        return []
    p = _probabilities(result)
    return [
        {
            "label": label,
            "study": result.study.probabilities[k],
            "highest": float(p[:, k].max()),
            "at": int(p[:, k].argmax()) + 1,
            "threshold": result.thresholds[label],
            "over": int((p[:, k] >= result.thresholds[label]).sum()),
        }
        for k, label in enumerate(LABELS)
    ]


def _lanes(result: StudyResult) -> list[Lane]:
    p = _probabilities(result)
    return lanes(p, result.thresholds) if len(p) else []


def _slice_images(result: StudyResult, one: PredictedSlice, labels: tuple[str, ...]) -> SliceImages:
    probability = one.row.by_label()["any"]
    try:
        if shows_patient(one.ref, result.limits):
            reason = "Not shown: patient data may be burned into the pixels."
            return SliceImages(one.number, probability, reason=reason)
        mapped = explain_slice(result, one, labels)
    except InputError:
        reason = "Not shown: the file was deleted or changed after the prediction."
        return SliceImages(one.number, probability, reason=reason)
    maps = tuple(_map_image(result, mapped, one, label) for label in labels if label in mapped.maps)
    return SliceImages(one.number, probability, to_png(mask_background(mapped.ct), mapped.ct), maps)


def _map_image(
    result: StudyResult, mapped: MappedSlice, one: PredictedSlice, label: str
) -> MapImage:
    return MapImage(
        label=label,
        probability=one.row.by_label()[label],
        threshold=result.thresholds[label],
        picture=to_png(overlay_map(mapped, label), mapped.ct),
        empty=not mapped.maps[label].any(),
    )


def _slices(result: StudyResult) -> list[dict[str, Any]]:
    series = list(dict.fromkeys(one.series.key for one in result.slices))
    return [
        {
            "number": one.number,
            "series": series.index(one.series.key) + 1,
            "instance": one.row.id.instance,
            "frame": one.row.id.frame,
            "probabilities": one.row.probabilities,
            "positive": one.row.positive,
            "repaired": one.row.status == "repaired",
        }
        for one in result.slices
    ]


def _notes(result: StudyResult) -> list[tuple[str, int]]:
    """Return the notes on slices, each with the number of slices that have it."""
    counts = Counter(
        note for one in result.slices for note in dict.fromkeys(one.row.note.split("; ")) if note
    )
    return counts.most_common()


def _bundle(result: StudyResult) -> dict[str, Any]:
    loaded = result.predictor.bundle
    config, training = loaded.config, loaded.config.training
    macro = config.metrics.get("labels")
    auroc = macro.get("any", {}).get("auroc") if isinstance(macro, dict) else None
    return {
        "name": loaded.path.resolve().name,
        "architecture": config.architecture,
        "members": len(config.members),
        "sha256": config.sha256,
        "data": training["data"],
        "real_ct": training["real_ct"],
        "split": str(training.get("split", "")),
        "on": str(config.metrics.get("on", "")),
        "auroc": auroc if isinstance(auroc, int | float) else None,
        "stated": config.study is not None,
    }
