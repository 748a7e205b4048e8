"""A study's report as one HTML page: nothing outside it is needed, nothing leaves it."""

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
from ich_cli.core.report.pictures import Mapped, Png, head_alone, look, overlaid, to_png
from ich_cli.core.report.probability_lanes import Lane, lanes
from ich_cli.core.report.study_result import PredictedSlice, StudyResult, refusals
from ich_cli.core.series import shows_patient
from ich_cli.core.system import replacing
from ich_cli.core.viz import METHOD_NAMES, render_html

_PACKAGE: Final = "ich_cli.core.report"
LARGE: Final = 4
"""Slices shown as pictures, at most."""
NAMES: Final = {"any": "any hemorrhage", **{label: label for label in LABELS[1:]}}


@dataclass(frozen=True)
class Map:
    """A map over a slice, for one label."""

    label: str
    probability: float
    threshold: float
    picture: Png
    empty: bool
    """Whether nothing in the slice speaks for the label."""


@dataclass(frozen=True)
class Shown:
    """A slice that is shown large."""

    number: int
    probability: float
    """Of `any`."""
    plain: Png | None = None
    maps: tuple[Map, ...] = ()
    why: str = ""
    """Why there is no picture; empty where there is one."""


def write_report(result: StudyResult, path: Path) -> None:
    """Write a study's report, whole or not at all.

    Parameters
    ----------
    result
        The study, as `study_results` gave it.
    path
        Of the page; `StudyResult.name` gives a name that tells nothing of the patient.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    page = render_report(result)
    with replacing(path) as file:
        file.write(page.encode("utf-8"))


def write_worklist(results: Sequence[StudyResult], path: Path) -> None:
    """Write a page that lists studies in their order, each with a link to its report beside it.

    Parameters
    ----------
    results
        As `study_results` gave them; at least one.
    path
        Of the page; the reports lie in the same folder under `StudyResult.name`.

    Raises
    ------
    OutputError
        If it cannot be written.
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
    """Return the page as text.

    It holds the study's UID, numbers of series and instances, and no name of a patient or a file.
    """
    return render_html(_PACKAGE, "report.html.j2", **_context(result))


def choose_slices(result: StudyResult) -> dict[PredictedSlice, tuple[str, ...]]:
    """Choose the slices to show large, and the labels of their maps.

    The highest for `any`, the highest for each positive subtype, then others over the threshold of
    `any` at a distance of more than two slices from those.
    """
    if not result.slices:
        return {}
    p = _probabilities(result)
    wanted = ("any", *(label for label in result.study.positive if label != "any"))
    chosen: dict[int, tuple[str, ...]] = {}
    for label in wanted:
        place = int(np.argmax(p[:, LABELS.index(label)]))
        chosen[place] = (*chosen.get(place, ("any",)), label)
    for place in np.argsort(-p[:, ANY], kind="stable").tolist():
        apart = all(abs(place - other) > 2 for other in chosen)
        if apart and p[place, ANY] >= result.thresholds["any"]:
            chosen[place] = ("any",)
    some = list(chosen.items())[:LARGE]
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
        "answers": _answers(result),
        "lanes": _lanes(result),
        "shown": [_show(result, *one) for one in choose_slices(result).items()],
        "slices": (slices := _slices(result)),
        "series": max((one["series"] for one in slices), default=0),
        "short": SHORT,
        "notes": _notes(result),
        "refused": refusals(result).most_common(),
        "bundle": _bundle(result),
        "method": METHOD_NAMES[methods_of(result.predictor)[0]],
    }


def _answers(result: StudyResult) -> list[dict[str, Any]]:
    """Return one row a label: of the study, of its highest slice, and what a threshold says."""
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


def _show(result: StudyResult, one: PredictedSlice, labels: tuple[str, ...]) -> Shown:
    probability = one.row.by_label()["any"]
    try:
        if shows_patient(one.ref, result.limits):
            why = "A patient's data may be burned into its pixels: not shown."
            return Shown(one.number, probability, why=why)
        mapped = look(result, one, labels)
    except InputError:
        why = "Its file is gone or has changed since: not shown."
        return Shown(one.number, probability, why=why)
    maps = tuple(_map(result, mapped, one, label) for label in labels if label in mapped.maps)
    return Shown(one.number, probability, to_png(head_alone(mapped.ct), mapped.ct), maps)


def _map(result: StudyResult, mapped: Mapped, one: PredictedSlice, label: str) -> Map:
    return Map(
        label=label,
        probability=one.row.by_label()[label],
        threshold=result.thresholds[label],
        picture=to_png(overlaid(mapped, label), mapped.ct),
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
    """Return each remark on the slices with the number of slices that have it."""
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
