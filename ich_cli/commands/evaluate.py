"""``ich evaluate``: how good predictions, or a bundle, are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ich_cli import console
from ich_cli.options import BatchSize, Device, Json, Quiet, Seed, Threshold, Weights

if TYPE_CHECKING:
    from ich_cli.core.dataset import PreparedDataset
    from ich_cli.core.evaluation import Report
    from ich_cli.core.matching import Matched
    from ich_cli.core.predictor import Predictor


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            "-p",
            help="Table that `ich predict` wrote, or RSNA's long layout.",
            metavar="CSV",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", "-l", help="Table of labels.", metavar="CSV", show_default=False),
    ] = None,
    weights: Weights = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Prepared data set to run the bundle on, in place of --predictions.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    oof: Annotated[
        Path | None,
        typer.Option(
            "--oof",
            help="oof.csv of a training run: which aggregation of slices tells patients apart "
            "best, and the rule for studies learned from it.",
            metavar="CSV",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        Literal["slice", "patient"],
        typer.Option("--by", help="What counts: each slice, or each patient's highest."),
    ] = "slice",
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Draws for the intervals; 0: none.")
    ] = 1000,
    seed: Seed = 0,
    threshold: Threshold = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure predictions against labels, or a bundle on a prepared data set.

    Example: ich evaluate --predictions out.csv --labels labels.csv
    """
    from ich_cli.core.errors import UsageError

    if oof is not None and not (predictions or labels or data):
        _of_aggregations(oof, bootstrap, seed, json)
        return
    if oof is None and data is not None and predictions is None and labels is None:
        title, report = _of_bundle(
            weights, data, by, bootstrap, seed, threshold, device, batch_size, quiet
        )
    elif oof is None and predictions is not None and labels is not None and data is None:
        title, report = _of_tables(predictions, labels, by, bootstrap, seed, threshold, quiet)
    else:
        raise UsageError("give --predictions and --labels, or --data (and --weights), or --oof")
    from ich_cli.metrics_table import print_report

    print_report(title, report.to_dict(), as_json=json)


def _of_aggregations(oof: Path, bootstrap: int, seed: int, json: bool) -> None:
    from ich_cli.core.study_level import compare, learn_rule, read_out_of_fold, verdicts
    from ich_cli.metrics_table import print_aggregations

    found = read_out_of_fold(oof)
    rule = learn_rule(found.labels, found.probabilities, found.patients)
    called = verdicts(found, rule) if rule else {}
    compared = compare(found, bootstrap=bootstrap, seed=seed)
    print_aggregations(oof.name, compared, rule, called, as_json=json)


def _of_tables(
    predictions: Path,
    labels: Path,
    by: str,
    bootstrap: int,
    seed: int,
    threshold: list[str] | None,
    quiet: bool,
) -> tuple[str, Report]:
    from ich_cli.core.evaluation import evaluate as measure
    from ich_cli.core.labels import LABELS
    from ich_cli.core.matching import match
    from ich_cli.options import parse_thresholds

    found = match(predictions, labels)
    _tell_matched(found, predictions, labels, quiet)
    cut = parse_thresholds(threshold, dict.fromkeys(LABELS, 0.5))
    with console.progress("Bootstrap", bootstrap, unit="draws", quiet=quiet) as advance:
        report = measure(
            found.labels, found.probabilities, found.groups, cut,
            unit=by, bootstrap=bootstrap, seed=seed, progress=advance,
        )  # fmt: skip
    return f"{predictions.name} against {labels.name}", report


def _tell_matched(found: Matched, predictions: Path, labels: Path, quiet: bool) -> None:
    if found.unmatched:
        console.warn(f"{found.unmatched} rows of {predictions} have no label in {labels}")
    if not found.grouped:
        console.note("no patients in the tables: intervals take slices as independent", quiet=quiet)


def _of_bundle(
    weights: str | None,
    folder: Path,
    by: str,
    bootstrap: int,
    seed: int,
    threshold: list[str] | None,
    device: str,
    batch_size: int | None,
    quiet: bool,
) -> tuple[str, Report]:
    from ich_cli.core.dataset import PreparedDataset
    from ich_cli.core.evaluation import evaluate as measure
    from ich_cli.core.predictor import Predictor
    from ich_cli.core.scoring import has_learned_from, score
    from ich_cli.options import parse_thresholds

    data = PreparedDataset.open(folder)
    predictor = Predictor.load(weights, device=device, batch_size=batch_size)
    if predictor.caveat:
        console.warn(predictor.caveat)
    seen = has_learned_from(predictor, data)
    if seen:
        console.warn(f"this bundle learned from {data.name}: these figures flatter it")
    with console.progress("Predicting", len(data), quiet=quiet) as advance:
        p = score(predictor, data, advance)
    cut = parse_thresholds(threshold, predictor.thresholds)
    report = measure(data.labels, p, data.patients, cut, unit=by, bootstrap=bootstrap, seed=seed)
    return _title(predictor, data, seen), report


def _title(predictor: Predictor, data: PreparedDataset, seen: bool) -> str:
    split = "the very slices it learned from" if seen else "slices it did not learn from"
    return f"{predictor.bundle.path.resolve().name} on {data.name} ({split})"
