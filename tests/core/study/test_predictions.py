"""Predictions: labels at their thresholds, rows of refused files."""

from __future__ import annotations

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import BrokenFileError, NotApplicableError
from ich_cli.core.labels import LABELS
from ich_cli.core.study import Probabilities, SlicePrediction, over_thresholds

HIGH: Probabilities = (0.9, 0.0, 0.8, 0.0, 0.0, 0.0)
OTHER: Probabilities = (0.5, 0.0, 0.0, 0.0, 0.0, 0.7)


def test_a_label_is_positive_from_its_threshold_on() -> None:
    thresholds = dict.fromkeys(LABELS, 0.5) | {"subdural": 0.71, "any": 0.51}

    assert over_thresholds(OTHER, thresholds) == ()
    assert over_thresholds(OTHER, thresholds | {"subdural": 0.7}) == ("subdural",)
    assert over_thresholds(HIGH, thresholds) == ("any", "intraparenchymal")


def test_a_refused_file_keeps_its_reason_on_one_line() -> None:
    failed = SlicePrediction.from_error(BrokenFileError("x.dcm", "cut\nshort", "copy it again"))
    skipped = SlicePrediction.from_error(NotApplicableError("y.dcm", "Modality is MR"))

    assert (failed.id.path, failed.status, failed.note) == (
        "x.dcm", "failed", "cut short; copy it again",
    )  # fmt: skip
    assert (skipped.status, skipped.by_label()) == ("skipped", {})


def test_probabilities_by_label() -> None:
    assert SlicePrediction(SliceId("a"), OTHER).by_label()["subdural"] == 0.7
