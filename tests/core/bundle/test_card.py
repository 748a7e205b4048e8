from __future__ import annotations

from dataclasses import replace
from typing import Any

from ich_cli.core.bundle import BundleConfig, minimal_card
from ich_cli.core.study import StudyRule
from tests.support.metrics import METRICS


def config(real_ct: bool = True, metrics: dict[str, Any] | None = None) -> BundleConfig:
    training = {"real_ct": real_ct, "data": "CT-X, 20 slices", "split": "all patients"}
    return BundleConfig(architecture="resnet18", training=training, metrics=metrics or {})


def test_metrics_are_shown_with_their_data_and_split() -> None:
    card = minimal_card(config(metrics=METRICS))
    assert "on CT-X, out of fold, 5 folds by patient: 20 slices of 4 patients" in card
    assert "| subdural | 0.900 | 0.500 | 0.250 | 0.950 | - | 0.010 |" in card
    assert "0.900 per slice (95 % interval 0.800 to 0.950" in card
    assert "Split: all patients." in card


def test_a_study_rule_is_described() -> None:
    rule = StudyRule("top3-mean", rule_out=0.25, rule_in=0.75)

    card = minimal_card(replace(config(), study=rule))

    assert "by the calibrated top3-mean of their slices: negative below 0.25, positive from" in card
    assert "Studies, by" not in minimal_card(config())


def test_intended_use_and_caveats() -> None:
    card = minimal_card(config())
    assert "Research use only, not a medical device." in card
    assert "No metrics were measured." in card
    assert "never saw a real CT" not in card
    assert "never saw a real CT" in minimal_card(config(real_ct=False))
