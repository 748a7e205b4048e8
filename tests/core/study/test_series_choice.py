"""The series of a study that its prediction is computed from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ich_cli.core.dicom import SliceId
from ich_cli.core.series import Series
from ich_cli.core.study import (
    Candidate,
    Probabilities,
    SeriesPrediction,
    SliceFacts,
    SlicePrediction,
    by_study,
    choose_series,
)
from ich_cli.core.study.series_choice import is_sharp

THICK = Candidate("1.5", "STANDARD", contrast=False, thickness=5.0, extent=(0, 150), slices=31)
THIN = replace(THICK, uid="1.1", thickness=1.0, slices=151)
BONE = replace(THICK, uid="1.2", kernel="BONE")
CONTRAST = replace(THICK, uid="1.3", contrast=True)
LOW: Probabilities = (0.1, 0.0, 0.0, 0.0, 0.0, 0.0)
HIGH: Probabilities = (0.9, 0.0, 0.8, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("other", [THIN, BONE, CONTRAST, replace(THICK, extent=(0, 60), slices=60)])
def test_the_series_that_fits_is_chosen_wherever_it_is(other: Candidate) -> None:
    assert choose_series([other, THICK]) == [1]
    assert choose_series([THICK, other]) == [0]


def test_the_kernel_comes_before_the_thickness_and_contrast_before_both() -> None:
    assert choose_series([BONE, THIN]) == [1]
    assert choose_series([CONTRAST, replace(THIN, kernel="BONE")]) == [1]


def test_the_two_halves_of_a_head_are_used_together() -> None:
    base = replace(THICK, uid="1.6", thickness=2.5, extent=(-45, -5), slices=17)

    assert choose_series([base, THIN, THICK]) == [0, 2]


@pytest.mark.parametrize("kernel", ["BONE", "BONEPLUS", "LUNG", "H60s", "B70f", "Hr68", "FC30"])
def test_kernels_for_bone_and_lung(kernel: str) -> None:
    assert is_sharp(kernel)


@pytest.mark.parametrize("kernel", ["", "STANDARD", "SOFT", "H31s", "J40f", "FC21", "FC64", "UB"])
def test_kernels_for_the_brain(kernel: str) -> None:
    assert not is_sharp(kernel)


def predicted(series: str, six: Probabilities, mm: float) -> SeriesPrediction:
    facts = SliceFacts(skull_share=0.7, skull_cm2=150.0, thickness=mm)
    rows = (
        SlicePrediction(
            SliceId(f"{series}/{k}", series_uid=series, instance=k), six,
            facts=facts._replace(along=mm * k),
        )
        for k in range(int(100 / mm))
    )  # fmt: skip
    return SeriesPrediction(Series("1.2", ()), tuple(rows))


def test_a_study_says_which_series_it_is_answered_from() -> None:
    series = [predicted("1.1", HIGH, 1.0), predicted("1.5", LOW, 5.0), predicted("1.6", HIGH, 8.0)]

    (one,) = by_study(series)
    (every,) = by_study(series, all_series=True)

    assert one.probabilities == LOW
    assert one.slices == 132
    assert one.note == "answered from series 1.5: 5.0 mm; 2 other series not used"
    assert every.probabilities == pytest.approx(HIGH)
    assert every.note == ""


def test_a_kernel_is_named_only_if_it_is_a_known_one() -> None:
    assert THICK.about(" of ") == " of 5.0 mm, kernel STANDARD"
    assert replace(THICK, kernel="Miller^Ann").about(": ") == ": 5.0 mm"
