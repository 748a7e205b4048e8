"""Description of data and bundles by `ich explain --data`."""

from __future__ import annotations

import pytest

from ich_cli.commands.explain.benchmark import _joined, _seen_in_training


@pytest.mark.parametrize(
    ("data", "trained_on", "out_of_fold", "stated"),
    [
        ("CT-ICH, boxes", "CT-ICH", True, "Out of fold: each slice by the fold that left"),
        ("phantoms, masks exact", "phantoms 0 to 9", False, "trained on other phantoms"),
        ("phantoms, masks exact", "CT-ICH", False, ""),
        (
            "CT-ICH, boxes",
            "CT-ICH, 2501 slices; phantoms",
            False,
            "In-sample: the bundle was trained",
        ),
        ("CT-ICH, boxes", "RSNA 2019", False, "The bundle was not trained on CT-ICH."),
    ],
)
def test_training_on_the_slices_is_stated(
    data: str, trained_on: str, out_of_fold: bool, stated: str
) -> None:
    about = {"data": data, "trained_on": trained_on}
    found = _seen_in_training(about, out_of_fold=out_of_fold)
    assert stated in found
    assert bool(found) == bool(stated)


def test_folds_are_described_together() -> None:
    one = {"data": "d", "trained_on": "t", "split": "s", "bundle": "aa", "slices": 3}
    assert _joined({}, one) == one
    both = _joined(one, {**one, "bundle": "bb", "slices": 4})
    assert both == {**one, "bundle": "aa, bb", "slices": 7}
