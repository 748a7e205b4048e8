from __future__ import annotations

import json

import pytest

from ich_cli.core.preprocessing import PreprocessConfig


def test_the_rsna_preset_is_the_default() -> None:
    config = PreprocessConfig()
    assert config.windows == ((40, 80), (80, 200), (600, 2800))
    assert config.channels == 3


def test_the_dlmi_preset_has_its_own_bone_window() -> None:
    assert PreprocessConfig.dlmi().windows == ((40, 80), (80, 200), (40, 380))


def test_context_multiplies_the_channels() -> None:
    assert PreprocessConfig(context=1).channels == 9  # 3 windows of 3 slices


def test_survives_json() -> None:
    config = PreprocessConfig(size=256, context=2, windows=((35, 70),), mean=(0.5,), std=(0.5,))
    assert PreprocessConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "brainy"}, "preset must be one of rsna, dlmi"),
        ({"size": 8}, "size must be between"),
        ({"size": "big"}, "size must be a whole number"),
        ({"context": -1}, "context must be between"),
        ({"windows": []}, "there must be 1"),
        ({"windows": [[40, 0]], "mean": [0], "std": [1]}, "width must be positive"),
        ({"windows": [[40]]}, "do not parse"),
        ({"mean": [0.5]}, "one value per window"),
        ({"std": [1, 0, 1]}, "std must be positive"),
        ({"preset": "dlmi"}, "fixed windows"),
        ({"colour": "red"}, "the key ich.preprocess.colour is unknown"),
    ],
)
def test_refuses_what_makes_no_sense(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PreprocessConfig.from_dict(values)
