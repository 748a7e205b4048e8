"""Steps of ``ich evaluate``: match predictions with labels, compute metrics, compare, write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.labels import LABELS
from ich_cli.terminal import console, parse_thresholds

if TYPE_CHECKING:
    from ich_cli.core.data import PreparedDataset
    from ich_cli.core.evaluate import (
        AggregationResult,
        Comparison,
        Evaluation,
        LabelledPredictions,
        Targets,
    )
    from ich_cli.core.predict import Predictor
    from ich_cli.core.study import StudyRule

_HALF = dict.fromkeys(LABELS, 0.5)


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of ``ich evaluate``."""

    bundles: list[str] = field(default_factory=list)
    data: Path | None = None
    predictions: list[Path] = field(default_factory=list)
    labels: Path | None = None
    out_of_fold: list[Path] = field(default_factory=list)
    calibrate: Path | None = None
    sensitivity: list[str] = field(default_factory=list)
    specificity: list[str] = field(default_factory=list)
    thresholds: list[str] | None = None
    output: Path | None = None
    by: str = "slice"
    bootstrap: int = 1000
    seed: int = 0
    device: str = "auto"
    engine: str = "torch"
    batch_size: int | None = None
    names: bool = False
    quiet: bool = False
    json: bool = False
    allow_overlap: bool = False


def run(options: EvaluateOptions) -> None:
    """Evaluate, print the metrics, and write the files of ``--output``."""
    from ich_cli.core.evaluate import to_json

    if options.calibrate:
        models, before = _calibrate(options)
    else:
        models, before = [_evaluate(options, one) for one in _predictions(options)], None
    models = _with_unique_names(models)
    for model in models:
        for remark in model.predictions.remarks:
            console.warn(remark)
    compared = _compare(options, models) if len(models) > 1 else []
    values = to_json(models, compared)
    if options.output:
        from ich_cli.core.evaluate import render_page, write_evaluation

        page = render_page(models, compared, names=options.names, before=before)
        write_evaluation(options.output, models, page, values, names=options.names, before=before)
    if options.json and len(options.out_of_fold) == 1 and options.by == "study":
        rows, rule, verdicts = _aggregations(options)
        values["aggregations"] = {one.aggregation: vars(one) for one in rows}
        values |= {"study_rule": rule.to_dict() if rule else None, "verdicts": verdicts}
    if options.json:
        console.stdout().file.write(json.dumps(values) + "\n")
    else:
        _print(options, models, compared)
    if options.output:
        console.note(f"written: {options.output / 'report.html'}", quiet=options.quiet)


def _predictions(options: EvaluateOptions) -> list[LabelledPredictions]:
    from ich_cli.core.evaluate import from_folds, from_tables, with_images

    sources = (bool(options.predictions), bool(options.out_of_fold), options.data is not None)
    if options.out_of_fold and not (options.predictions or options.labels or options.bundles):
        given = parse_thresholds(options.thresholds, _HALF) if options.thresholds else None
        found = [from_folds(path, given) for path in options.out_of_fold]
        return [with_images(one, _open(options.data)) for one in found] if options.data else found
    if options.predictions and options.labels and sources == (True, False, False):
        thresholds = parse_thresholds(options.thresholds, _HALF)
        return [from_tables(path, options.labels, thresholds) for path in options.predictions]
    if sources == (False, False, True) and not options.labels:
        return _from_bundles(options, [*options.bundles] or [None], _open(options.data))
    raise UsageError("give --predictions and --labels, or --data (and --bundle), or --out-of-fold")


def _open(folder: Path | None) -> PreparedDataset:
    from ich_cli.core.data import PreparedDataset

    if folder is None:
        raise UsageError("give a prepared data set with --data")
    data = PreparedDataset.open(folder)
    if not data.labelled:
        raise DataError(f"{folder}: prepared without labels; prepare it with --labels to evaluate")
    return data


def _from_bundles(
    options: EvaluateOptions, weights: Sequence[str | None], data: PreparedDataset
) -> list[LabelledPredictions]:
    """Load and check all bundles before the first is run."""
    from ich_cli.core.evaluate import check_prepared

    predictors = [_load(options, one, len(data)) for one in weights]
    for predictor in predictors:
        check_prepared(predictor, data)
    return [_from_bundle(options, predictor, data) for predictor in predictors]


def _load(options: EvaluateOptions, weights: str | None, slices: int) -> Predictor:
    from ich_cli.core.predict import Predictor

    return Predictor.load(
        weights, device=options.device, batch_size=options.batch_size, engine=options.engine,
        slices=slices,
    )  # fmt: skip


def _from_bundle(
    options: EvaluateOptions, predictor: Predictor, data: PreparedDataset
) -> LabelledPredictions:
    from ich_cli.core.evaluate import from_bundle

    if predictor.caveat:
        console.warn(predictor.caveat)
    thresholds = parse_thresholds(options.thresholds, predictor.thresholds)
    with console.progress("Predicting", len(data), quiet=options.quiet) as advance:
        return from_bundle(predictor, data, thresholds, advance)


def _evaluate(options: EvaluateOptions, one: LabelledPredictions) -> Evaluation:
    with console.progress(
        "Bootstrap", 2 * options.bootstrap, unit="draws", quiet=options.quiet
    ) as advance:
        return one.evaluate(options.bootstrap, options.seed, advance)


def _with_unique_names(models: list[Evaluation]) -> list[Evaluation]:
    """Append numbers to the names if two models have the same name."""
    names = [one.name for one in models]
    if len(set(names)) == len(names):
        return models
    return [
        replace(one, predictions=replace(one.predictions, name=f"{one.name} {n}"))
        for n, one in enumerate(models, 1)
    ]


def _compare(
    options: EvaluateOptions, models: Sequence[Evaluation]
) -> list[tuple[str, list[Comparison], int]]:
    from ich_cli.core.evaluate import compare_models

    predictions = [one.predictions for one in models]
    return [
        (unit, *compare_models(predictions, unit, options.bootstrap, options.seed))
        for unit in ("slice", "study")
    ]


def _print(
    options: EvaluateOptions,
    models: Sequence[Evaluation],
    compared: Sequence[tuple[str, list[Comparison], int]],
) -> None:
    from ich_cli.terminal import print_aggregations, print_comparison, print_report

    for unit, rows, shared in compared:
        if unit == options.by:
            print_comparison(models[0].predictions.data_and_split, unit, rows, shared)
    if compared:
        return
    for one in models:
        by_study = options.by == "study" or one.predictions.slices.study_labels is not None
        report = one.studies if by_study else one.slices
        print_report(f"{one.name} on {one.predictions.data_and_split}", report.to_dict())
        console.stdout().print(f"Thresholds: {one.predictions.threshold_source}.")
    if options.out_of_fold and options.by == "study":
        print_aggregations(options.out_of_fold[0].name, *_aggregations(options))


def _aggregations(
    options: EvaluateOptions,
) -> tuple[list[AggregationResult], StudyRule | None, dict[str, tuple[int, int]]]:
    """Compare aggregations of a run's slices to studies, and learn a study rule from them."""
    from ich_cli.core.data import read_out_of_fold
    from ich_cli.core.evaluate import compare_aggregations, count_verdicts, learn_rule

    path = options.out_of_fold[0]
    found = read_out_of_fold(path / "oof.csv" if path.is_dir() else path)
    rule = learn_rule(found.labels, found.probabilities, found.patients)
    verdicts = count_verdicts(found, rule) if rule else {}
    rows = compare_aggregations(found, bootstrap=options.bootstrap, seed=options.seed)
    return rows, rule, verdicts


def _calibrate(options: EvaluateOptions) -> tuple[list[Evaluation], Evaluation]:
    """Calibrate a bundle and write it; return the metrics on other patients, and before."""
    from ich_cli.core.evaluate import (
        check_disjoint,
        check_prepared,
        recalibrate,
        with_best_f1_of,
        write_learned,
    )

    if len(options.bundles) != 1 or not Path(options.bundles[0]).is_dir():
        raise UsageError("--calibrate writes into a bundle: give its folder with one --bundle")
    if options.predictions or options.out_of_fold or options.thresholds:
        raise UsageError("--calibrate takes --bundle, and --data to test on")
    assert options.calibrate is not None
    folder, validation = Path(options.bundles[0]), _open(options.calibrate)
    if validation.study_labels is not None:
        raise DataError(f"{validation.name} has labels per study; calibrate on labels per slice")
    test = _open(options.data) if options.data else None
    shared = check_disjoint(validation, test, allow_overlap=options.allow_overlap) if test else ""
    if shared:
        console.warn(shared)
    predictor = _load(options, str(folder), len(validation))
    if test:
        check_prepared(predictor, test)
    targets = _targets(options)
    with console.progress("Predicting", len(validation), quiet=options.quiet) as advance:
        found = recalibrate(
            predictor, validation, targets, advance, allow_overlap=options.allow_overlap
        )
    fitted, before = _evaluate(options, found.cross_fitted), _evaluate(options, found.before)
    write_learned(folder, found, targets, fitted)
    config = folder / "config.json"
    console.note(f"calibrated on {validation.name}: {config}", quiet=options.quiet)
    if not test:
        return [fitted], before
    (after,) = _from_bundles(options, [str(folder)], test)
    remarks = (*after.remarks, *found.cross_fitted.remarks)
    after = replace(after, threshold_source=f"chosen on {validation.name}", remarks=remarks)
    return [_evaluate(options, with_best_f1_of(after, found.cross_fitted))], before


def _targets(options: EvaluateOptions) -> Targets:
    from ich_cli.core.evaluate import Targets

    if not options.sensitivity and not options.specificity:
        return Targets()
    return Targets(_shares("--sensitivity", options.sensitivity),
                   _shares("--specificity", options.specificity))  # fmt: skip


def _shares(option: str, given: Sequence[str]) -> dict[str, float]:
    """Read ``0.95`` for all labels or ``any=0.95``."""
    out: dict[str, float] = {}
    for one in given:
        label, equals, number = one.rpartition("=")
        if equals and label not in LABELS:
            raise UsageError(f"{option} {one}: a label is one of {', '.join(LABELS)}")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(f"{option} {one}: {number!r} is not a number") from None
        if not 0 < value <= 1:
            raise UsageError(f"{option} {one}: must be between 0 and 1")
        out.update(dict.fromkeys([label] if equals else LABELS, value))
    return out
