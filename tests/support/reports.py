"""Studies with predictions, for tests of the reports."""

from __future__ import annotations

from pathlib import Path

from ich_cli.core.predict import Predictor
from ich_cli.core.report import StudyResult, study_results
from ich_cli.core.series import scan


def results(bundle: Path, *paths: Path, **thresholds: float) -> list[StudyResult]:
    """Predict the studies at `paths`; `thresholds` change the bundle's."""
    predictor = Predictor.load(bundle, device="cpu")
    found = scan(list(paths))
    cut = predictor.thresholds | thresholds
    predictions = [predictor.predict_series(one, workers=0, thresholds=cut) for one in found.series]
    return study_results(predictor, predictions, found.refused, thresholds=cut)


def result(bundle: Path, *paths: Path, **thresholds: float) -> StudyResult:
    """Predict the one study at `paths`, of which no file is refused."""
    (only,) = results(bundle, *paths, **thresholds)
    assert only.study.refused == 0
    return only
