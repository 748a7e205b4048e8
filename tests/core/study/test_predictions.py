"""Slices gathered into studies, and labels over their thresholds."""

from __future__ import annotations

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import BrokenFileError, NotApplicableError, ReasonCode
from ich_cli.core.labels import LABELS
from ich_cli.core.study import (
    Probabilities,
    SliceFacts,
    SlicePrediction,
    StudyPrediction,
    StudyRule,
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


WHOLE = SliceFacts(skull_share=0.7, skull_cm2=150.0)
CHEST = SliceFacts(skull_share=0.0)


def series(study: str, name: str, six: Probabilities, facts: SliceFacts) -> list[SlicePrediction]:
    """Twenty slices of 5 mm."""
    return [
        SlicePrediction(
            SliceId(f"{name}{k}", study_uid=study, series_uid=name, instance=k),
            six,
            facts=facts._replace(along=5.0 * k, thickness=5.0),
        )
        for k in range(20)
    ]


BAND = StudyRule(rule_out=0.2, rule_in=0.8)


def test_verdicts_order_the_worklist() -> None:
    slices = [
        *series("1.1", "a", LOW, WHOLE),
        *series("1.2", "b", OTHER, WHOLE),
        *series("1.3", "c", HIGH, WHOLE),
        of("1.4", None),
    ]

    studies = by_study(slices, BAND)

    assert [(one.study_uid, one.verdict) for one in studies] == [
        ("1.3", "positive"),
        ("1.2", "unsure"),
        ("1.1", "negative"),
        ("1.4", ""),
    ]
    assert all(one.quality == () for one in studies)


def test_nothing_is_negative_that_could_not_be_judged_well() -> None:
    (study,) = by_study(series("1.1", "a", LOW, WHOLE)[:6], BAND)

    assert [reason.code for reason in study.quality] == ["few-slices"]
    assert study.verdict == "unsure"


def test_what_is_no_head_is_neither_positive_nor_negative() -> None:
    for six in (LOW, HIGH):
        (study,) = by_study(series("1.1", "a", six, CHEST), BAND)
        assert [reason.code for reason in study.quality] == ["not-a-head"]
        assert study.verdict == "unsure"


def test_a_chest_in_the_same_study_does_not_speak_for_the_head() -> None:
    slices = [*series("1.1", "head", LOW, WHOLE), *series("1.1", "chest", HIGH, CHEST)]

    (study,) = by_study(slices, BAND)

    assert study.probabilities == LOW
    assert study.verdict == "negative"
    assert study.quality == ()
    assert study.slices == 40


def test_coronal_views_are_no_fault_beside_axial_ones() -> None:
    error = NotApplicableError("c", "x", code=ReasonCode.NOT_AXIAL)
    error = error.with_uids("1.1", "coronal", "1.1.1")
    coronal = SlicePrediction.from_error(error)

    (beside,) = by_study([*series("1.1", "a", LOW, WHOLE), coronal], BAND)
    (alone,) = by_study([coronal], BAND)

    assert (beside.verdict, beside.quality, beside.refused) == ("negative", (), 1)
    assert [reason.text for reason in alone.quality] == ["1 slice not axial and left out"]
    assert alone.verdict == ""


def test_slices_of_the_same_series_that_cannot_be_read_are_told() -> None:
    damaged = SlicePrediction(SliceId("x", study_uid="1.1", series_uid="a"), status="failed")

    (study,) = by_study([*series("1.1", "a", LOW, WHOLE), damaged], BAND)

    assert [reason.text for reason in study.quality] == ["1 slice could not be read"]


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
