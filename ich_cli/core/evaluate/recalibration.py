"""Recalibration of a bundle on other data than it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ich_cli.core.bundle import (
    CARD,
    CONFIG,
    config_text,
    minimal_card,
    read_config,
    read_config_values,
)
from ich_cli.core.data import PreparedDataset, find_overlap
from ich_cli.core.errors import BundleError, DataError
from ich_cli.core.evaluate.calibration import Targets
from ich_cli.core.evaluate.cross_fit import (
    FEWEST,
    LearnedParameters,
    cross_fitted_cases,
    finite_logits,
    learn_parameters,
    rare_labels,
    split_patients,
)
from ich_cli.core.evaluate.labelled_predictions import (
    Advance,
    Evaluation,
    LabelledPredictions,
    from_data,
)
from ich_cli.core.evaluate.metrics import bundle_metrics
from ich_cli.core.evaluate.run_bundle import predict_logits, predict_prepared, seen_by
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.system import replacing


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """Learned parameters, and predictions that show how good they are on other patients."""

    learned: LearnedParameters
    cross_fitted: LabelledPredictions
    """Each fold of the patients, by the parameters learned on the other folds."""
    before: LabelledPredictions
    """The same slices by the bundle before recalibration."""


def recalibrate(
    predictor: Predictor,
    data: PreparedDataset,
    targets: Targets,
    progress: Advance = lambda n: None,
    *,
    allow_overlap: bool = False,
) -> Recalibrated:
    """Learn temperature, bias, thresholds and study rule on a validation set.

    Parameters
    ----------
    predictor
        The bundle.
    data
        Validation set.
    targets
        Aims of the thresholds.
    progress
        Called with the number of slices after each batch.
    allow_overlap
        Accept slices and patients that the bundle was trained on, with a remark.

    Raises
    ------
    DataError
        If the bundle was trained on some of that data, there are fewer than two patients, or no
        label has five positive and five negative slices.
    """
    seen = seen_by(predictor, data)
    if seen.of_patients.any() and not allow_overlap:
        raise DataError(
            f"this bundle was trained on {seen.counts()}, where it is overconfident; calibrate it "
            "on other data, or add --allow-overlap"
        )
    plain = not predictor.bundle.config.members and predictor.bundle.sequence is None
    single = len(predictor.bundle.models) == 1 and plain
    logits = (
        predict_logits(predictor, data, progress)
        if single
        else finite_logits(predict_prepared(predictor, data, progress))
    )
    old = predictor.bundle.config.calibration if single else None
    known = LearnedParameters(old, dict(predictor.thresholds), predictor.bundle.config.study)
    cases = from_data(data, known.probabilities(logits), predictor.thresholds)
    if len(set(cases.patients.tolist())) < 2:
        raise DataError(f"{data.name} has one patient: nothing can be tested on others")
    if len(rare_labels(cases)) == len(LABELS):
        raise DataError(
            f"{data.name} has no label with {FEWEST} positive and {FEWEST} negative slices; "
            "nothing can be learned from it, and the bundle is unchanged"
        )
    learned = learn_parameters(cases, logits, targets, calibrated=not single, known=known)
    folds = split_patients(cases)
    slices, studies = cross_fitted_cases(cases, logits, folds, targets, not single, known)
    name = predictor.bundle.path.resolve().name
    after = LabelledPredictions(
        name=name, data=data.name,
        split=f"{np.unique(folds).size} folds by patient, each with calibration and thresholds "
        "learned on the others", remarks=(
            *filter(None, (seen.remark(),)), *_kept(learned, known, data.name, single),
        ),
        threshold_source="learned from other patients of the same data", slices=slices,
        studies=studies, images=data, caveat=predictor.caveat, data_sha256=data.sha256,
    )  # fmt: skip
    before = replace(
        after, split="before calibration", threshold_source="the bundle's", slices=cases,
        studies=cases.by_study(predictor.study_rule()),
    )  # fmt: skip
    return Recalibrated(learned, after, before)


def _kept(
    learned: LearnedParameters, known: LearnedParameters, data: str, single: bool
) -> tuple[str, ...]:
    """List the parameters that were kept, with the reason."""
    out = []
    if learned.kept:
        out.append(
            f"{', '.join(learned.kept)}: fewer than {FEWEST} positive or negative slices in "
            f"{data}; the bundle's calibration and threshold are kept"
        )
    if learned.study is known.study:
        out.append(
            f"too few studies with, or without, hemorrhage in {data}; the study rule is kept"
        )
    if not single:
        out.append("the calibration of an ensemble, or of a bundle with a second stage, is kept")
    return tuple(out)


def check_disjoint(
    calibration: PreparedDataset, test: PreparedDataset, *, allow_overlap: bool = False
) -> str:
    """Check that calibration and test data share no patients and slices.

    Returns
    -------
    str
        Warning about what they share, where that is allowed; else empty.

    Raises
    ------
    DataError
        If they share a patient or slice, and `allow_overlap` is False.
    """
    overlap = find_overlap((calibration, test))
    shared = overlap.shared_with_first(1)
    if not shared.any():
        return ""
    patients = np.unique(test.patients[shared]).size
    text = (
        f"{int(shared.sum())} slices of {test.name}, of {patients} patients, are of patients in "
        f"{calibration.name}, too: metrics on the data that thresholds were chosen on are "
        "optimistic"
    )
    if not allow_overlap:
        raise DataError(f"{text}; give other --data, or add --allow-overlap")
    return text


def write_learned(
    folder: Path, found: Recalibrated, targets: Targets, evaluation: Evaluation
) -> None:
    """Write learned parameters into a bundle's config, and renew its card if it is unedited.

    Parameters
    ----------
    folder
        The bundle.
    found
        Parameters to write.
    targets
        Aims of the thresholds, which the config records.
    evaluation
        Metrics of the cross-fitted predictions.

    Raises
    ------
    BundleError
        If the folder is not a bundle.
    OutputError
        If it cannot be written.
    """
    config, values = read_config(folder), read_config_values(folder)
    if not isinstance(values.get("ich"), dict):
        raise BundleError(f"{folder / CONFIG}: not a bundle's config")
    learned, data = found.learned, found.cross_fitted
    note: dict[str, Any] = {
        "on": data.data,
        "sha256": data.data_sha256,
        "slices": len(data.slices),
        "thresholds": {
            label: "as before" if label in learned.kept else targets.describe(label)
            for label in LABELS
        },
    }
    new = replace(
        config, calibration=learned.calibration or config.calibration,
        thresholds=learned.thresholds, study=learned.study,
        training={**config.training, "calibrated": note},
        metrics=bundle_metrics(
            evaluation.predictions.data_and_split, evaluation.slices, evaluation.studies
        ),
    )  # fmt: skip
    card = folder / CARD
    plain = not card.is_file() or card.read_text("utf-8", "replace") == minimal_card(config)
    # both texts are complete before one is written
    texts = {folder / CONFIG: config_text({**values, "ich": new.to_dict()})}
    if plain:
        texts[card] = minimal_card(new)
    for path, text in texts.items():
        with replacing(path) as file:
            file.write(text.encode())
