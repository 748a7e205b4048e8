"""Calibration and thresholds of a bundle, learned anew from data it has not seen, and written."""

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
from ich_cli.core.data import PreparedDataset
from ich_cli.core.errors import BundleError, DataError
from ich_cli.core.evaluate.assessment import Advance, Assessment, of_data
from ich_cli.core.evaluate.calibration import Targets
from ich_cli.core.evaluate.cross_fit import (
    FEWEST,
    Learned,
    folds_of,
    learn,
    shown_elsewhere,
    to_logits,
    too_few,
)
from ich_cli.core.evaluate.metrics import Report, bundle_metrics
from ich_cli.core.evaluate.run_bundle import has_learned_from, score, score_logits
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from ich_cli.core.system import replacing


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """What was learned, and how good it is on patients that it was not learned from."""

    learned: Learned
    shown: Assessment
    """Each part of the patients by what was learned from the others."""
    before: Assessment
    """The same slices by the bundle as it was."""


def recalibrate(
    predictor: Predictor, data: PreparedDataset, targets: Targets, advance: Advance = lambda n: None
) -> Recalibrated:
    """Learn temperature, bias, thresholds and rule for studies on a validation set.

    Raises
    ------
    DataError
        If the bundle learned from that very data, there are fewer than two patients, or no label
        is had, and lacked, by five slices.
    """
    if has_learned_from(predictor, data):
        raise DataError(
            f"this bundle learned from {data.name}, and is too sure there; calibrate it on others"
        )
    plain = not predictor.bundle.config.members and predictor.bundle.sequence is None
    single = len(predictor.bundle.models) == 1 and plain
    logits = (
        score_logits(predictor, data, advance)
        if single
        else to_logits(score(predictor, data, advance))
    )
    old = predictor.bundle.config.calibration if single else None
    known = Learned(old, dict(predictor.thresholds), predictor.bundle.config.study)
    cases = of_data(data, known.probabilities(logits), predictor.thresholds)
    if len(set(cases.patients.tolist())) < 2:
        raise DataError(f"{data.name} has one patient: nothing can be shown on others")
    if len(too_few(cases)) == len(LABELS):
        raise DataError(
            f"{data.name} has no label that {FEWEST} slices have and {FEWEST} lack: nothing can be "
            "learned from it; the bundle stays as it is"
        )
    learned = learn(cases, logits, targets, calibrated=not single, known=known)
    folds = folds_of(cases)
    slices, studies = shown_elsewhere(cases, logits, folds, targets, not single, known)
    name = predictor.bundle.path.resolve().name
    shown = Assessment(
        name=name, data=data.name,
        split=f"{np.unique(folds).size} parts by patient, each calibrated and cut by what the "
        "others have taught", remarks=_left_alone(learned, known, data.name, single),
        chosen="learned from other patients of the same data", slices=slices, studies=studies,
        pixels=data, caveat=predictor.caveat, data_sha256=data.sha256,
    )  # fmt: skip
    before = replace(
        shown, split="by the bundle as it was", chosen="the bundle's", slices=cases,
        studies=cases.by_study(predictor.study_rule()),
    )  # fmt: skip
    return Recalibrated(learned, shown, before)


def _left_alone(learned: Learned, known: Learned, data: str, single: bool) -> tuple[str, ...]:
    """Say what stays as it was, and why."""
    out = []
    if learned.kept:
        out.append(
            f"{', '.join(learned.kept)}: fewer than {FEWEST} slices of {data} have it, or lack it; "
            "left as in the bundle"
        )
    if learned.study is known.study:
        out.append(
            f"too few studies of {data} bleed, or do not; the rule for studies is left as is"
        )
    if not single:
        out.append("an ensemble, or a bundle with a second stage, keeps its calibration")
    return tuple(out)


def check_apart(calibration: PreparedDataset, test: PreparedDataset) -> None:
    """Refuse to report on slices that thresholds were chosen on.

    Raises
    ------
    DataError
        If a slice is in both, by the hash of its pixels.
    """
    shared = {row.hash for row in calibration.rows} & {row.hash for row in test.rows}
    if shared:
        raise DataError(
            f"{len(shared)} slices of {test.name} are in {calibration.name}, too: figures on what "
            "the thresholds were chosen on flatter; leave --data out, or name other data"
        )


def write_learned(
    folder: Path, found: Recalibrated, targets: Targets, measured: Assessment,
    slices: Report, studies: Report,
) -> None:  # fmt: skip
    """Write what was learned into a bundle's config, and its card if nobody has changed it.

    Raises
    ------
    BundleError
        If it is no bundle.
    OutputError
        If it cannot be written.
    """
    config, values = read_config(folder), read_config_values(folder)
    if not isinstance(values.get("ich"), dict):
        raise BundleError(f"{folder / CONFIG}: no bundle")
    learned, data = found.learned, found.shown
    note: dict[str, Any] = {
        "on": data.data,
        "sha256": data.data_sha256,
        "slices": len(data.slices),
        "thresholds": {
            label: "as before" if label in learned.kept else targets.of(label) for label in LABELS
        },
    }
    new = replace(
        config, calibration=learned.calibration or config.calibration,
        thresholds=learned.thresholds, study=learned.study,
        training={**config.training, "calibrated": note},
        metrics=bundle_metrics(measured.on, slices, studies),
    )  # fmt: skip
    card = folder / CARD
    plain = not card.is_file() or card.read_text("utf-8", "replace") == minimal_card(config)
    # both are made before one is written: nothing is half done
    texts = {folder / CONFIG: config_text({**values, "ich": new.to_dict()})}
    if plain:
        texts[card] = minimal_card(new)
    for path, text in texts.items():
        with replacing(path) as file:
            file.write(text.encode())
