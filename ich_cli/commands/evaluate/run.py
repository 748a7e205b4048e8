"""The steps of ``ich evaluate``: bring answers and labels together, measure, compare, write."""

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
    from ich_cli.core.evaluate import Assessment, Compared, Measured, RuleComparison, Targets
    from ich_cli.core.predict import Predictor
    from ich_cli.core.study import StudyRule


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    bundles: list[str] = field(default_factory=list)
    data: Path | None = None
    predictions: list[Path] = field(default_factory=list)
    labels: Path | None = None
    folds: list[Path] = field(default_factory=list)
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


def run(request: Request) -> None:
    """Do what was asked."""
    from ich_cli.core.evaluate import to_json

    if request.calibrate:
        models, before = _calibrated(request)
    else:
        models, before = [_measured(request, one) for one in _assessments(request)], None
    models = _told_apart(models)
    for model in models:
        for remark in model.assessment.remarks:
            console.warn(remark)
    compared = _compared(request, models) if len(models) > 1 else []
    values = to_json(models, compared)
    if request.output:
        from ich_cli.core.evaluate import render_page, write_evaluation

        page = render_page(models, compared, names=request.names, before=before)
        write_evaluation(request.output, models, page, values, names=request.names, before=before)
    if request.json and len(request.folds) == 1 and request.by == "study":
        rows, rule, called = _aggregations(request)
        values["aggregations"] = {one.aggregation: vars(one) for one in rows}
        values |= {"study_rule": rule.to_dict() if rule else None, "verdicts": called}
    if request.json:
        console.stdout().file.write(json.dumps(values) + "\n")
    else:
        _print(request, models, compared)
    if request.output:
        console.note(f"written: {request.output / 'report.html'}", quiet=request.quiet)


def _assessments(request: Request) -> list[Assessment]:
    from ich_cli.core.evaluate import assessment

    kinds = (bool(request.predictions), bool(request.folds), request.data is not None)
    if request.folds and not request.predictions and not request.labels and not request.bundles:
        given = parse_thresholds(request.thresholds, _half()) if request.thresholds else None
        found = [assessment.of_folds(path, given) for path in request.folds]
        return [assessment.beside(one, _open(request.data)) for one in found] if (
            request.data
        ) else found  # fmt: skip
    if request.predictions and request.labels and kinds == (True, False, False):
        cut = parse_thresholds(request.thresholds, _half())
        return [assessment.of_tables(path, request.labels, cut) for path in request.predictions]
    if kinds == (False, False, True) and not request.labels:
        return _of_bundles(request, [*request.bundles] or [None], _open(request.data))
    raise UsageError("give --predictions and --labels, or --data (and --bundle), or --out-of-fold")


def _half() -> dict[str, float]:
    return dict.fromkeys(LABELS, 0.5)


def _open(folder: Path | None) -> PreparedDataset:
    from ich_cli.core.data import PreparedDataset

    if folder is None:
        raise UsageError("name a prepared data set by --data")
    data = PreparedDataset.open(folder)
    if not data.labelled:
        raise DataError(f"{folder}: prepared without labels, so there is nothing to measure by")
    return data


def _of_bundles(
    request: Request, weights: Sequence[str | None], data: PreparedDataset
) -> list[Assessment]:
    """Load all of them before one is run: a wrong one costs nothing."""
    from ich_cli.core.evaluate import check_prepared
    from ich_cli.core.predict import Predictor

    found = []
    for one in weights:
        predictor = Predictor.load(
            one, device=request.device, batch_size=request.batch_size,
            engine=request.engine, slices=len(data),
        )  # fmt: skip
        found.append(predictor)
        check_prepared(found[-1], data)
    return [_of_bundle(request, one, data) for one in found]


def _of_bundle(request: Request, predictor: Predictor, data: PreparedDataset) -> Assessment:
    from ich_cli.core.evaluate import of_bundle

    if predictor.caveat:
        console.warn(predictor.caveat)
    cut = parse_thresholds(request.thresholds, predictor.thresholds)
    with console.progress("Predicting", len(data), quiet=request.quiet) as advance:
        return of_bundle(predictor, data, cut, advance)


def _measured(request: Request, one: Assessment) -> Measured:
    from ich_cli.core.evaluate import Measured

    with console.progress(
        "Bootstrap", 2 * request.bootstrap, unit="draws", quiet=request.quiet
    ) as advance:
        slices = one.slices.report(request.bootstrap, request.seed, advance)
        studies = one.studies.report(request.bootstrap, request.seed, advance)
    return Measured(one, slices, studies)


def _told_apart(models: list[Measured]) -> list[Measured]:
    """Put a number behind models that have the same name."""
    names = [one.name for one in models]
    if len(set(names)) == len(names):
        return models
    return [
        replace(one, assessment=replace(one.assessment, name=f"{one.name} {n}"))
        for n, one in enumerate(models, 1)
    ]


def _compared(
    request: Request, models: Sequence[Measured]
) -> list[tuple[str, list[Compared], int]]:
    from ich_cli.core.evaluate import compare

    whole = [one.assessment for one in models]
    return [
        (unit, *compare(whole, unit, request.bootstrap, request.seed))
        for unit in ("slice", "study")
    ]


def _print(
    request: Request,
    models: Sequence[Measured],
    compared: Sequence[tuple[str, list[Compared], int]],
) -> None:
    from ich_cli.terminal import print_comparison, print_report

    for unit, rows, shared in compared:
        if unit == request.by:
            print_comparison(models[0].assessment.on, unit, rows, shared)
    for one in models if not compared else ():
        report = one.studies if request.by == "study" else one.slices
        print_report(f"{one.name} on {one.assessment.on}", report.to_dict())
        console.stdout().print(f"Thresholds: {one.assessment.chosen}.")
    if request.folds and request.by == "study" and not compared:
        from ich_cli.terminal import print_aggregations

        print_aggregations(request.folds[0].name, *_aggregations(request))


def _aggregations(
    request: Request,
) -> tuple[list[RuleComparison], StudyRule | None, dict[str, tuple[int, int]]]:
    """Return how well aggregations tell a run's patients apart, and the rule learned from them."""
    from ich_cli.core.data import read_out_of_fold
    from ich_cli.core.evaluate import compare_rules, learn_rule, verdicts

    path = request.folds[0]
    found = read_out_of_fold(path / "oof.csv" if path.is_dir() else path)
    rule = learn_rule(found.labels, found.probabilities, found.patients)
    called = verdicts(found, rule) if rule else {}
    return compare_rules(found, bootstrap=request.bootstrap, seed=request.seed), rule, called


def _calibrated(request: Request) -> tuple[list[Measured], Measured]:
    """Learn on one data set, write into the bundle, and return what is shown elsewhere."""
    from ich_cli.core.evaluate import check_apart, check_prepared, recalibrate, write_learned
    from ich_cli.core.predict import Predictor

    if len(request.bundles) != 1 or not Path(request.bundles[0]).is_dir():
        raise UsageError("--calibrate writes into a bundle: name its folder by one --bundle")
    if request.predictions or request.folds or request.thresholds:
        raise UsageError("--calibrate goes with --bundle, and --data if it is to be tested")
    folder, validation = Path(request.bundles[0]), _open(request.calibrate)
    test = _open(request.data) if request.data else None
    if test:
        check_apart(validation, test)
    predictor = Predictor.load(
        str(folder), device=request.device, batch_size=request.batch_size,
        engine=request.engine, slices=len(validation),
    )  # fmt: skip
    if test:
        check_prepared(predictor, test)
    targets = _targets(request)
    with console.progress("Predicting", len(validation), quiet=request.quiet) as advance:
        found = recalibrate(predictor, validation, targets, advance)
    shown, before = _measured(request, found.shown), _measured(request, found.before)
    write_learned(folder, found, targets, found.shown, shown.slices, shown.studies)
    console.note(f"calibrated on {validation.name}: {folder / 'config.json'}", quiet=request.quiet)
    if not test:
        return [shown], before
    from ich_cli.core.evaluate import choosing_on

    (after,) = _of_bundles(request, [str(folder)], test)
    told = (*after.remarks, *found.shown.remarks)
    after = replace(after, chosen=f"chosen on {validation.name}", remarks=told)
    after = choosing_on(after, found.shown)
    return [_measured(request, after)], before


def _targets(request: Request) -> Targets:
    from ich_cli.core.evaluate import Targets

    if not request.sensitivity and not request.specificity:
        return Targets()
    return Targets(_shares("--sensitivity", request.sensitivity),
                   _shares("--specificity", request.specificity))  # fmt: skip


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
            raise UsageError(f"{option} {one}: a share lies in 0 … 1")
        out.update(dict.fromkeys([label] if equals else LABELS, value))
    return out
