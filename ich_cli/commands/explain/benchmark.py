"""``ich explain --data``: benchmark of heat-map methods on data with masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ich_cli.core.errors import DataError
from ich_cli.terminal import note, progress, warn

if TYPE_CHECKING:
    from ich_cli.core.data import MaskedData
    from ich_cli.core.dicom import Limits
    from ich_cli.core.evaluate import MapScore, MapSummary
    from ich_cli.core.predict import Predictor


def run_benchmark(
    data: Path,
    runs: Sequence[Path],
    output: Path | None,
    method: str | None,
    weights: str | None,
    device: str,
    seed: int,
    limits: Limits,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score a bundle's maps on a data set; with runs, each fold's on the slices it left out.

    Without a method, all methods of the bundle are scored.
    """
    from ich_cli.core.evaluate import load_ensemble, summarize_scores, unseen_by_fold
    from ich_cli.core.predict import Predictor
    from ich_cli.terminal import print_scores

    scores: list[MapScore] = []
    about: dict[str, Any] = {}
    for bundles, names in unseen_by_fold(runs) if runs else [((), None)]:
        predictor = (
            load_ensemble(bundles, device) if bundles else Predictor.load(weights, device=device)
        )
        found, description = _score(data, names, predictor, method, seed, limits, quiet)
        scores += found
        about = _joined(about, description)
    if not scores:
        raise DataError(f"{data}: no slice has a lesion mask")
    about["seen"] = _seen_in_training(about, out_of_fold=bool(runs))
    rows = summarize_scores(scores, seed)
    if output:
        _write(output, about, rows)
        note(f"written: {output}", quiet=quiet)
    print_scores(about, rows, as_json=as_json)


def _score(
    data: Path,
    names: frozenset[str] | None,
    predictor: Predictor,
    method: str | None,
    seed: int,
    limits: Limits,
    quiet: bool,
) -> tuple[list[MapScore], dict[str, Any]]:
    from ich_cli.core.data import open_masked
    from ich_cli.core.evaluate import describe_training, score_maps
    from ich_cli.core.explain import methods_of

    masked: MaskedData = open_masked(data, names)
    if predictor.caveat:
        warn(predictor.caveat)
    with progress("Explaining", len(masked), quiet=quiet) as advance:
        methods = (method,) if method else methods_of(predictor)
        found = score_maps(predictor, masked, methods, seed=seed, limits=limits, progress=advance)
    slices = len({one.name for one in found})
    if slices < len(masked):
        warn(f"{len(masked) - slices} of {len(masked)} slices with a mask could not be read")
    return found, {"data": masked.kind, "slices": slices, **describe_training(predictor)}


def _write(path: Path, about: dict[str, Any], rows: Sequence[MapSummary]) -> None:
    """Write the table: Markdown if the file's suffix is .md, else CSV."""
    from ich_cli.core.evaluate import write_map_summaries
    from ich_cli.core.system import replacing
    from ich_cli.terminal import markdown

    if path.suffix.lower() != ".md":
        write_map_summaries(path, rows)
        return
    with replacing(path) as file:
        file.write(markdown(about, rows).encode())


def _joined(about: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Combine the descriptions of two folds."""
    if not about:
        return more
    bundles = f"{about['bundle']}, {more['bundle']}"
    return {**about, "bundle": bundles, "slices": about["slices"] + more["slices"]}


def _seen_in_training(about: dict[str, Any], *, out_of_fold: bool) -> str:
    """Return a sentence that says if the bundle was trained on these slices."""
    if out_of_fold:
        return "Out of fold: each slice by the fold that left its patient out."
    if about["data"].startswith("phantoms"):
        trained = "phantoms" in about["trained_on"]
        return "The bundle was trained on other phantoms." if trained else ""
    if "CT-ICH" in about["trained_on"]:
        return "In-sample: the bundle was trained on CT-ICH; these metrics are optimistic."
    return "The bundle was not trained on CT-ICH."
