"""The run of ``ich explain --evaluate``: score the methods on data with masks, tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ich_cli.console import note, progress, warn
from ich_cli.core.errors import DataError

if TYPE_CHECKING:
    from ich_cli.core.config import Limits
    from ich_cli.core.explain_scores import MapScore, Row
    from ich_cli.core.masked import MaskedData


def measure(
    data: Path,
    run: Path | None,
    output: Path | None,
    methods: Sequence[str],
    weights: str | None,
    device: str,
    seed: int,
    limits: Limits,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score a bundle's maps on a data set; with a run, each fold's on what it never saw."""
    from ich_cli.core.explain_scores import folds_of, table
    from ich_cli.explain_table import print_scores

    bundles = [(weights, None)] if run is None else [(str(b), names) for b, names in folds_of(run)]
    scores: list[MapScore] = []
    about: dict[str, Any] = {}
    for bundle, names in bundles:
        found, told = _score(data, names, bundle, methods, device, seed, limits, quiet)
        scores += found
        about = _joined(about, told)
    if not scores:
        raise DataError(f"{data}: no slice with a mask")
    about["seen"] = _seen(about, out_of_fold=run is not None)
    rows = table(scores, seed)
    if output:
        _write(output, about, rows)
        note(f"written: {output}", quiet=quiet)
    print_scores(about, rows, as_json=as_json)


def _score(
    data: Path,
    names: frozenset[str] | None,
    weights: str | None,
    methods: Sequence[str],
    device: str,
    seed: int,
    limits: Limits,
    quiet: bool,
) -> tuple[list[MapScore], dict[str, Any]]:
    from ich_cli.core.explain_scores import score, trained_on
    from ich_cli.core.masked import open_masked
    from ich_cli.core.predictor import Predictor

    masked: MaskedData = open_masked(data, names)
    predictor = Predictor.load(weights, device=device)
    if predictor.caveat:
        warn(predictor.caveat)
    with progress("Explaining", len(masked), quiet=quiet) as advance:
        found = score(predictor, masked, methods, seed=seed, limits=limits, progress=advance)
    slices = len({one.name for one in found})
    if slices < len(masked):
        warn(f"{len(masked) - slices} of {len(masked)} slices with a mask could not be read")
    return found, {"data": masked.kind, "slices": slices, **trained_on(predictor)}


def _write(path: Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write the table: Markdown where the file is called so, else CSV."""
    from ich_cli.core.atomic import replacing
    from ich_cli.core.explain_scores import write_table
    from ich_cli.explain_table import markdown

    if path.suffix.lower() != ".md":
        write_table(path, rows)
        return
    with replacing(path) as file:
        file.write(markdown(about, rows).encode())


def _joined(about: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Put what two folds say of themselves together."""
    if not about:
        return more
    kept = {"data": about["data"], "trained_on": about["trained_on"], "split": about["split"]}
    sums = f"{about['bundle']}, {more['bundle']}"
    return {**kept, "bundle": sums, "slices": about["slices"] + more["slices"]}


def _seen(about: dict[str, Any], *, out_of_fold: bool) -> str:
    """Say whether the bundle learned from these slices."""
    if out_of_fold:
        return "Out of fold: each slice by the fold that never saw its patient."
    if about["data"].startswith("phantoms"):
        learned = "phantoms" in about["trained_on"]
        return "The bundle learned from other heads of the same make." if learned else ""
    if "CT-ICH" in about["trained_on"]:
        return "In-sample: the bundle learned from CT-ICH, so this says little of new patients."
    return "The bundle never saw CT-ICH."
