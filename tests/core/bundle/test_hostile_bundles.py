"""Malicious weights and configs: each is refused by name, in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file, save_file

from ich_cli.core.bundle import load_bundle
from ich_cli.core.errors import BundleError
from ich_cli.core.model import check_safetensors, read_shapes, read_weights
from ich_cli.core.system import sha256_of


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1200
    return text


def reseal(folder: Path) -> None:
    """Correct the checksum, as an attacker would."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["ich"]["sha256"] = sha256_of(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    reseal(folder)


def change_config(folder: Path, *path: str, value: Any) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    node = config
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite(bundle: Path, value: float) -> None:
    change_weights(bundle, lambda tensors: tensors["fc.weight"].fill_(value))
    assert "fc.weight has values that are not finite" in refusal(bundle)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_a_weight_that_is_not_a_float(bundle: Path, dtype: torch.dtype) -> None:
    change_weights(bundle, lambda t: t.update({"fc.weight": t["fc.weight"].to(dtype)}))
    text = refusal(bundle)
    assert "fc.weight" in text
    assert str(dtype).removeprefix("torch.") in text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_accepted(bundle: Path, dtype: torch.dtype) -> None:
    change_weights(bundle, lambda t: t.update({"fc.weight": t["fc.weight"].to(dtype)}))
    (model,) = load_bundle(bundle).models
    assert model.state_dict()["fc.weight"].dtype == torch.float32


HEADERS: dict[str, bytes] = {
    "overlapping": b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    b'"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "a hole": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    "past the end": b'{"a":{"dtype":"F32","shape":[99],"data_offsets":[0,396]}}',
    "shape and offsets": b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}',
    "backwards": b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}',
    "overflow": b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}',
    "negative": b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
    "no such dtype": b'{"a":{"dtype":"O","shape":[2],"data_offsets":[0,8]}}',
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "no JSON": b"\xff\xfe{}",
    "empty": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_false_header(tmp_path: Path, name: str) -> None:
    path, head = tmp_path / "w.safetensors", HEADERS[name]
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    for read in (read_shapes, read_weights):
        with pytest.raises(BundleError, match=r"w\.safetensors: not a valid safetensors file"):
            read(path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 100_000_001, 17])
def test_a_header_longer_than_the_file(tmp_path: Path, length: int) -> None:
    (tmp_path / "w.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(BundleError, match="its header is longer"):
        check_safetensors(tmp_path / "w.safetensors")


def test_weights_over_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "w.safetensors").open("wb") as file:
        file.truncate(2**34)  # takes no space
    with pytest.raises(BundleError, match="bytes exceed the limit of"):
        check_safetensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["architecture"], "hf-hub:someone/evil", "there is no model"),
        (["architecture"], "local-dir:/tmp/evil", "there is no model"),
        (["architecture"], "../../evil.py", "there is no model"),
        (["architecture"], "os.system", "there is no model"),
        (["model_args"], {"in_chans": 3, "pretrained": True}, "model_args not allowed: pretr"),
        (["model_args"], {"in_chans": 3, "checkpoint_path": "x.pt"}, "not allowed: checkpoint_p"),
        (["model_args"], {"in_chans": 3, "pretrained_cfg": {"file": "x"}}, "not allowed: pretra"),
        (["ich", "preprocess", "size"], 10**9, "size must be between 16"),
        (["ich", "preprocess", "size"], 10**400, "size must be between 16"),
        (["ich", "preprocess", "size"], 64.5, "size must be a whole number"),
        (["ich", "preprocess", "size"], True, "size must be a whole number"),
        (["ich", "preprocess", "context"], 1.0, "context must be a whole number"),
        (["ich", "preprocess", "windows"], [[10**400, 1]] * 3, "preprocess settings do not parse"),
        (["ich", "preprocess", "windows"], [[1e308 * 10, 1]] * 3, "not JSON"),
        (["ich", "preprocess", "windows"], 7, "preprocess settings do not parse"),
        (["ich", "preprocess", "loader"], "evil.load", "the key ich.preprocess.loader is unknown"),
        (["ich", "thresholds", "any"], 10**400, "thresholds.any must lie in 0"),
        (["ich", "calibration", "bias"], [10**400] * 6, "must have 6 finite numbers"),
        (["ich", "study"], {"aggregation": []}, "ich.study."),
        (["ich", "hook"], "evil.run", "the key ich.hook is unknown"),
        (["ich", "members"], ["../elsewhere"], "config.json"),
    ],
)
def test_a_malicious_config(bundle: Path, path: list[str], value: Any, words: str) -> None:
    change_config(bundle, *path, value=value)
    assert words in refusal(bundle)


@settings(max_examples=300, deadline=None)
@given(head=st.binary(max_size=200), output=st.none() | st.integers(0, 2**64 - 1))
def test_any_header(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, output: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    length = len(head) if output is None else output
    path.write_bytes(length.to_bytes(8, "little") + head)
    with suppress(BundleError):
        assert isinstance(read_shapes(path), dict)
