"""Slices gathered into studies, and labels over their thresholds."""

from __future__ import annotations

from ich_cli.core.ctslice import SliceId
from ich_cli.core.errors import BrokenFileError, NotApplicableError
from ich_cli.core.labels import LABELS
from ich_cli.core.prediction import (
    Probabilities,
    SlicePrediction,
    StudyPrediction,
    by_study,
    over_thresholds,
)

LOW: Probabilities = (0.1, 0.0, 0.0, 0.0, 0.0, 0.0)
HIGH: Probabilities = (0.9, 0.0, 0.8, 0.0, 0.0, 0.0)
OTHER: Probabilities = (0.5, 0.0, 0.0, 0.0, 0.0, 0.7)


def of(study: str, six: Probabilities | None, name: str = "a", *positive: str) -> SlicePrediction:
    return SlicePrediction(SliceId(name, study_uid=study), six, positive)


def test_a_study_takes_the_highest_probability_of_each_label_and_all_positive_labels() -> None:
    slices = [
        of("1.2", LOW, "a"),
        of("1.2", OTHER, "b", "subdural"),
        of("1.2", HIGH, "c", "any", "intraparenchymal"),
        of("1.2", None, "d"),
    ]

    assert by_study(slices) == [
        StudyPrediction(
            study_uid="1.2",
            probabilities=(0.9, 0.0, 0.8, 0.0, 0.0, 0.7),
            positive=("any", "intraparenchymal", "subdural"),
            worst=SliceId("c", study_uid="1.2"),
            slices=3,
            refused=1,
            verdict="positive",
        )
    ]


def test_the_most_urgent_study_comes_first_and_one_without_any_answer_last() -> None:
    slices = [of("1.1", None), of("1.2", LOW), of("1.3", HIGH), of("1.4", OTHER)]

    studies = by_study(slices)

    assert [study.study_uid for study in studies] == ["1.3", "1.4", "1.2", "1.1"]
    assert studies[-1].probabilities is None
    assert studies[-1].worst is None


def test_files_without_a_study_are_left_out_of_the_studies() -> None:
    assert by_study([of("", HIGH)]) == []


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
    assert of("1", OTHER).by_label()["subdural"] == 0.7
