from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ich_cli.core.bundle import BundleConfig, LearnedFrom, read_config, shipped_path, to_numbers
from ich_cli.core.bundle.learned_from import FILTER_BYTES, MOST_HASHES
from ich_cli.core.errors import BundleError

FEW = LearnedFrom.from_hashes(
    ["00000000000000ff", "", "8000000000000001", "00000000000000ff"],
    sets=("CQ500",), patients=("CQ500 12",), other_patients=3,
)  # fmt: skip


def many(first: int, count: int) -> list[str]:
    rng = np.random.default_rng(first)
    return [f"{one:016x}" for one in rng.integers(2**63, size=count, dtype=np.uint64)]


def config(learned: LearnedFrom | None) -> BundleConfig:
    return BundleConfig("test_resnet", {"real_ct": True, "data": "x"}, learned_from=learned)


def written(learned: LearnedFrom) -> dict[str, Any]:
    own = config(learned).to_dict() | {"sha256": "0" * 64}
    head = {"architecture": "test_resnet", "num_classes": 6}
    return {**head, "label_names": list(config(learned).label_names), "ich": own}


def test_hashes_are_sorted_and_counted_once() -> None:
    assert FEW.slices == 2
    assert FEW.hashes.hex() == "00000000000000ff8000000000000001"
    numbers = to_numbers(["00000000000000ff", "0000000000000001", "8000000000000001"])
    assert FEW.contains(numbers).tolist() == [True, False, True]
    assert FEW.chance_of_error == 0.0


def test_as_json() -> None:
    assert FEW.to_dict() == {
        "sets": ["CQ500"], "patients": ["CQ500 12"], "other_patients": 3, "slices": 2,
        "complete": True, "hashes": "AAAAAAAAAP-AAAAAAAAAAQ==",
    }  # fmt: skip
    assert LearnedFrom.from_dict(json.loads(json.dumps(FEW.to_dict()))) == FEW


def test_union() -> None:
    other = LearnedFrom.from_hashes(["0000000000000001"], sets=("CT-ICH",), other_patients=5)
    both = FEW.union(other)
    assert both.slices == 3
    assert both.sets == ("CQ500", "CT-ICH")
    assert both.patients == ("CQ500 12",)
    assert both.other_patients == 5
    assert both.complete
    assert not FEW.union(None).complete


def test_a_filter_finds_all_of_many_slices_and_few_others() -> None:
    hashes = many(1, MOST_HASHES + 1)
    learned = LearnedFrom.from_hashes(hashes)
    assert learned.hashes == b""
    assert len(learned.filter) == FILTER_BYTES
    assert learned.slices == MOST_HASHES + 1
    assert learned.contains(to_numbers(hashes)).all()
    assert learned.contains(to_numbers(many(2, 100_000))).sum() <= 3
    assert learned.chance_of_error < 1e-6
    again = LearnedFrom.from_dict(learned.to_dict())
    assert again == learned
    both = FEW.union(again)
    assert both.contains(to_numbers(["00000000000000ff", hashes[0]])).all()


def test_a_filter_of_rsna_errs_once_in_a_hundred() -> None:
    learned = LearnedFrom.from_hashes(many(1, 750_000))
    assert 0.004 < learned.chance_of_error < 0.008
    found = learned.contains(to_numbers(many(2, 100_000))).mean()
    assert abs(found - learned.chance_of_error) < 0.001


@pytest.mark.parametrize("number", [1, 2])
def test_read_in_both_formats(number: int) -> None:
    values = written(FEW)
    values["ich"]["format"] = number
    assert BundleConfig.from_json(values).learned_from == FEW


def test_config_without_it_reads() -> None:
    assert "learned_from" not in config(None).to_dict()
    path = shipped_path("default")
    assert path is not None
    assert read_config(Path(path)).learned_from is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": []}, "ich.learned_from.names"),
        ({"patients": [1]}, "ich.learned_from.patients must be a list of texts"),
        ({"slices": -1}, "ich.learned_from.slices must be a whole number"),
        ({"slices": 3}, "ich.learned_from.hashes has a wrong length"),
        ({"complete": 1}, "ich.learned_from.complete must be true or false"),
        ({"hashes": "*"}, "ich.learned_from.hashes is not URL-safe base64"),
        ({"hashes": 7}, "ich.learned_from.hashes is not URL-safe base64"),
        ({"filter": "AAAA"}, "ich.learned_from"),
    ],
)
def test_invalid_parts_are_named(change: dict[str, Any], message: str) -> None:
    values = written(FEW)
    values["ich"]["learned_from"] |= change
    with pytest.raises(BundleError, match=message):
        BundleConfig.from_json(values)


def test_it_is_no_object() -> None:
    values = written(FEW)
    values["ich"]["learned_from"] = []
    with pytest.raises(BundleError, match=r"ich\.learned_from must be an object"):
        BundleConfig.from_json(values)


def test_equal_configs_are_equal() -> None:
    assert config(FEW) == config(replace(FEW))
