"""Studies: grouping, aggregation, verdicts and their order."""

from __future__ import annotations

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import NotApplicableError, ReasonCode
from ich_cli.core.series import Refused, Series
from ich_cli.core.study import (
    Probabilities,
    SeriesPrediction,
    SliceFacts,
    SlicePrediction,
    StudyPrediction,
    StudyRule,
    by_study,
)

LOW: Probabilities = (0.1, 0.0, 0.0, 0.0, 0.0, 0.0)
HIGH: Probabilities = (0.9, 0.0, 0.8, 0.0, 0.0, 0.0)
OTHER: Probabilities = (0.5, 0.0, 0.0, 0.0, 0.0, 0.7)


def row(six: Probabilities | None, name: str = "a", *positive: str) -> SlicePrediction:
    return SlicePrediction(SliceId(name), six, positive)


def predicted(study: str, *rows: SlicePrediction) -> SeriesPrediction:
    return SeriesPrediction(Series(study, ()), rows)


def head(six: Probabilities, facts: SliceFacts) -> list[SlicePrediction]:
    """Twenty slices of 5 mm."""
    return [
        SlicePrediction(
            SliceId(f"{k}", instance=k), six, facts=facts._replace(along=5.0 * k, thickness=5.0)
        )
        for k in range(20)
    ]


def refused(study: str, series: str, code: ReasonCode | None = None) -> Refused:
    error = NotApplicableError("c", "x", code=code).with_uids(study, series, "1.1.1")
    return Refused.of(error)


def test_a_study_has_the_highest_probability_of_each_label_and_all_positive_labels() -> None:
    one = predicted(
        "1.2",
        row(LOW, "a"),
        row(OTHER, "b", "subdural"),
        row(HIGH, "c", "any", "intraparenchymal"),
        row(None, "d"),
    )

    assert by_study([one]) == [
        StudyPrediction(
            study_uid="1.2",
            probabilities=(0.9, 0.0, 0.8, 0.0, 0.0, 0.7),
            positive=("any", "intraparenchymal", "subdural"),
            worst=SliceId("c"),
            slices=3,
            refused=1,
            verdict="positive",
        )
    ]


def test_studies_are_in_the_order_of_a_worklist() -> None:
    rows = {"1.1": row(None), "1.2": row(LOW), "1.3": row(HIGH), "1.4": row(OTHER)}

    studies = by_study(predicted(study, one) for study, one in rows.items())

    assert [study.study_uid for study in studies] == ["1.3", "1.4", "1.2", "1.1"]
    assert studies[-1].probabilities is None
    assert studies[-1].worst is None


def test_several_series_of_a_study_are_one_study() -> None:
    series = [predicted("1.1", row(LOW)), predicted("1.2", row(LOW)), predicted("1.1", row(HIGH))]

    studies = by_study(series)

    assert [(one.study_uid, one.slices) for one in studies] == [("1.1", 2), ("1.2", 1)]


def test_two_patients_with_one_study_uid_are_two_studies() -> None:
    series = [
        SeriesPrediction(Series("1.1", (), patient=patient), (row(six),))
        for patient, six in (("A", LOW), ("B", HIGH))
    ]

    studies = by_study(series, refused=[refused("1.1", "1.2")])

    found = [(one.study_uid, one.probabilities, one.refused) for one in studies]
    assert found == [("1.1", HIGH, 0), ("1.1", LOW, 1)]


WHOLE = SliceFacts(skull_share=0.7, skull_cm2=150.0)
CHEST = SliceFacts(skull_share=0.0)
BAND = StudyRule(rule_out=0.2, rule_in=0.8)


def test_verdicts_decide_the_order_of_a_worklist() -> None:
    series = [
        predicted("1.1", *head(LOW, WHOLE)),
        predicted("1.2", *head(OTHER, WHOLE)),
        predicted("1.3", *head(HIGH, WHOLE)),
        predicted("1.4", row(None)),
    ]

    studies = by_study(series, BAND)

    assert [(one.study_uid, one.verdict) for one in studies] == [
        ("1.3", "positive"),
        ("1.2", "unsure"),
        ("1.1", "negative"),
        ("1.4", ""),
    ]
    assert all(one.quality == () for one in studies)


def test_a_study_of_few_slices_is_not_negative() -> None:
    (study,) = by_study([predicted("1.1", *head(LOW, WHOLE)[:6])], BAND)

    assert [reason.code for reason in study.quality] == ["few-slices"]
    assert study.verdict == "unsure"


def test_a_study_without_a_head_is_unsure() -> None:
    for six in (LOW, HIGH):
        (study,) = by_study([predicted("1.1", *head(six, CHEST))], BAND)
        assert [reason.code for reason in study.quality] == ["not-a-head"]
        assert study.verdict == "unsure"


def test_a_chest_in_the_same_study_does_not_count() -> None:
    series = [predicted("1.1", *head(LOW, WHOLE)), predicted("1.1", *head(HIGH, CHEST))]

    (study,) = by_study(series, BAND)

    assert study.probabilities == LOW
    assert study.verdict == "negative"
    assert study.quality == ()
    assert study.slices == 40


def test_coronal_series_matter_only_without_an_axial_one() -> None:
    coronal = refused("1.1", "coronal", ReasonCode.NOT_AXIAL)

    (beside,) = by_study([predicted("1.1", *head(LOW, WHOLE))], BAND, [coronal])
    (alone,) = by_study([], BAND, [coronal])

    assert (beside.verdict, beside.quality, beside.refused) == ("negative", (), 1)
    assert [reason.text for reason in alone.quality] == ["1 slice not axial and left out"]
    assert alone.verdict == ""


def test_unreadable_slices_of_a_series_are_a_reason() -> None:
    damaged = SlicePrediction(SliceId("x"), status="failed")

    (study,) = by_study([predicted("1.1", *head(LOW, WHOLE), damaged)], BAND)

    assert [reason.text for reason in study.quality] == ["1 slice could not be read"]


def test_files_without_a_study_are_left_out() -> None:
    assert by_study([predicted("", row(HIGH))], refused=[refused("", "")]) == []
