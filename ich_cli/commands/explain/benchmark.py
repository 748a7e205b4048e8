"""The run of ``ich explain --evaluate``: score the methods on data with masks, tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ich_cli.core.errors import DataError
from ich_cli.terminal import note, progress, warn

if TYPE_CHECKING:
    from ich_cli.core.data import MaskedData
    from ich_cli.core.dicom import Limits
    from ich_cli.core.evaluate import MapScore, Row
    from ich_cli.core.predict import Predictor


def measure(
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
    """Score a bundle's maps on a data set; with runs, each fold's on what it never saw.

    Without a method, all that the bundle has.
    """
    from ich_cli.core.evaluate import folds_of, load_together, table
    from ich_cli.core.predict import Predictor
    from ich_cli.terminal import print_scores

    scores: list[MapScore] = []
    about: dict[str, Any] = {}
    for bundles, names in folds_of(runs) if runs else [((), None)]:
        predictor = (
            load_together(bundles, device) if bundles else Predictor.load(weights, device=device)
        )
        found, told = _score(data, names, predictor, method, seed, limits, quiet)
        scores += found
        about = _joined(about, told)
    if not scores:
        raise DataError(f"{data}: no slice with a mask")
    about["seen"] = _seen(about, out_of_fold=bool(runs))
    rows = table(scores, seed)
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
    from ich_cli.core.evaluate import score, trained_on
    from ich_cli.core.explain import methods_of

    masked: MaskedData = open_masked(data, names)
    if predictor.caveat:
        warn(predictor.caveat)
    with progress("Explaining", len(masked), quiet=quiet) as advance:
        methods = (method,) if method else methods_of(predictor)
        found = score(predictor, masked, methods, seed=seed, limits=limits, progress=advance)
    slices = len({one.name for one in found})
    if slices < len(masked):
        warn(f"{len(masked) - slices} of {len(masked)} slices with a mask could not be read")
    return found, {"data": masked.kind, "slices": slices, **trained_on(predictor)}


def _write(path: Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write the table: Markdown where the file is called so, else CSV."""
    from ich_cli.core.evaluate import write_table
    from ich_cli.core.system import replacing
    from ich_cli.terminal import markdown

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
