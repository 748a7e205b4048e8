"""What `ich explain --evaluate` says of the data and the bundles that it measured."""

from __future__ import annotations

import pytest

from ich_cli.commands.explain.benchmark import _joined, _seen


@pytest.mark.parametrize(
    ("data", "trained_on", "out_of_fold", "told"),
    [
        ("CT-ICH, boxes", "CT-ICH", True, "Out of fold: each slice by the fold that never saw"),
        ("phantoms, masks exact", "phantoms 0 to 9", False, "other heads of the same make"),
        ("phantoms, masks exact", "CT-ICH", False, ""),
        ("CT-ICH, boxes", "CT-ICH, 2501 slices; phantoms", False, "In-sample: the bundle learned"),
        ("CT-ICH, boxes", "RSNA 2019", False, "The bundle never saw CT-ICH."),
    ],
)
def test_whether_the_bundle_learned_from_the_slices_is_told(
    data: str, trained_on: str, out_of_fold: bool, told: str
) -> None:
    about = {"data": data, "trained_on": trained_on}
    found = _seen(about, out_of_fold=out_of_fold)
    assert told in found
    assert bool(found) == bool(told)


def test_folds_are_told_as_one_measurement() -> None:
    one = {"data": "d", "trained_on": "t", "split": "s", "bundle": "aa", "slices": 3}
    assert _joined({}, one) == one
    both = _joined(one, {**one, "bundle": "bb", "slices": 4})
    assert both == {**one, "bundle": "aa, bb", "slices": 7}
