"""The rule for studies: what it computes, and what a config may say of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ich_cli.core.bundle import BundleConfig, read_config
from ich_cli.core.errors import BundleError
from ich_cli.core.study import StudyRule

SLOPE = (2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
BIAS = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def test_a_plain_rule_gives_the_highest_slice() -> None:
    six = [[0.1] * 6, [0.9, 0.2, 0, 0, 0, 0.3]]

    assert StudyRule().probabilities(six).tolist() == [0.9, 0.2, 0.1, 0.1, 0.1, 0.3]


def test_slope_and_bias_act_on_the_logit() -> None:
    rule = StudyRule(slope=SLOPE, bias=BIAS)

    p = rule.probabilities([[0.5] * 6])

    # logit of 0.5 is 0: sigmoid(1) = 0.731059, 0.5 stays, sigmoid(-1) = 0.268941
    assert p.tolist() == pytest.approx([0.731059, 0.5, 0.5, 0.5, 0.5, 0.268941], abs=1e-6)
    assert rule.probabilities([[1.0] * 6])[0] <= 1


@pytest.mark.parametrize(
    ("p", "verdict"),
    [(0.0, "negative"), (0.199, "negative"), (0.2, "unsure"), (0.6, "positive"), (1, "positive")],
)
def test_unsure_is_between_the_two_thresholds(p: float, verdict: str) -> None:
    assert StudyRule(rule_out=0.2, rule_in=0.6).verdict(p) == verdict


@pytest.mark.parametrize(("threshold", "band"), [(0.044, (0.044, 0.5)), (0.7, (0.5, 0.7))])
def test_without_a_rule_the_band_comes_from_the_slices_threshold(
    threshold: float, band: tuple[float, float]
) -> None:
    rule = StudyRule.from_threshold(threshold)

    assert (rule.rule_out, rule.rule_in) == band
    assert rule.aggregation == "max"
    assert not rule.is_calibrated


def test_a_config_keeps_it_and_one_without_stays_valid(tiny_bundle: Path) -> None:
    config = read_config(tiny_bundle)
    own = config.to_dict()
    assert config.study is None
    assert "study" not in own
    whole = {**json.loads((tiny_bundle / "config.json").read_text())}
    rule = StudyRule("top3-mean", SLOPE, BIAS, 0.2, 0.6)

    whole["ich"] = replace(config, study=rule).to_dict()

    assert BundleConfig.from_json(json.loads(json.dumps(whole))).study == rule


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aggregation": "median"}, "study.aggregation must be one of max"),
        ({"slope": [1] * 5}, "study.slope must have 6 finite numbers"),
        ({"slope": [0, 1, 1, 1, 1, 1]}, "study.slope must be positive"),
        ({"bias": [float("nan")] * 6}, "study.bias must have 6 finite numbers"),
        ({"rule_out": 0.7}, "must be between 0 and 1, in ascending order"),
        ({"rule_in": 1.2}, "must be between 0 and 1, in ascending order"),
        ({"rule_in": True}, "study.rule_in must be a finite number"),
        ({"extra": 1}, "the key ich.study.extra is unknown to this version"),
        ({"bias": None}, "study.bias must have 6 finite numbers"),
    ],
)
def test_a_config_that_is_wrong_is_refused_by_name(change: dict[str, Any], reason: str) -> None:
    values = StudyRule("max", SLOPE, BIAS, 0.2, 0.6).to_dict() | change

    with pytest.raises(BundleError, match=reason):
        StudyRule.from_dict(values)


def test_a_missing_key_is_named() -> None:
    values = StudyRule().to_dict()
    del values["rule_in"]

    with pytest.raises(BundleError, match=r"the key ich\.study\.rule_in is missing"):
        StudyRule.from_dict(values)
