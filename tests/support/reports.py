"""Studies with answers, for tests of the reports."""

from __future__ import annotations

from pathlib import Path

from ich_cli.core.errors import InputError
from ich_cli.core.predict import Predictor
from ich_cli.core.report import StudyResult, study_results
from ich_cli.core.series import scan


def results(bundle: Path, *paths: Path, **thresholds: float) -> list[StudyResult]:
    """Answer for what lies at `paths`; `thresholds` change the bundle's."""
    predictor = Predictor.load(bundle, device="cpu")
    entries = scan(list(paths)).rows
    cut = predictor.thresholds | thresholds
    rows = list(predictor.stream(entries, workers=0, thresholds=cut))
    return study_results(predictor, entries, rows, thresholds=cut)


def result(bundle: Path, *paths: Path, **thresholds: float) -> StudyResult:
    """Answer for the one study at `paths`."""
    (only,) = results(bundle, *paths, **thresholds)
    assert not any(isinstance(entry, InputError) for entry in only.entries)
    return only
